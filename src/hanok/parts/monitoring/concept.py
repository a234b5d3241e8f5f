"""Concept drift on the stream of labelled errors: days that lose more than their scores explain.

The stream has one value a day, because rows of a day err together: the day's loss less the loss that was estimated
before its labels, in units of how far earlier days were off. Hard days (storms that the scores saw coming) are
therefore none of its business. Page-Hinkley adds up what goes beyond half a unit and alarms at six.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from hanok.compute.change_points import PageHinkley
from hanok.core.clock import Clock
from hanok.core.monitoring import CONCEPT, ConceptState
from hanok.core.performance import WindowEstimate
from hanok.parts.monitoring.alerts import Alerts
from hanok.stores.ports import Metadata

LOSS = {"binary": "log_loss", "multiclass": "log_loss", "regression": "mae"}
DELTA, THRESHOLD, GRACE = 0.5, 6.0, 14
CLIPPED = 3.0  # one day alone, however bad, is no new concept
SPREAD_DAYS = 60
LASTING, RECOVERED = 7, 1 / 3
SPREAD_FACTOR = 1.4826  # of the median absolute deviation, for a normal distribution


@dataclass(frozen=True, slots=True)
class Change:
    """The loss has been `excess` above what was estimated, on average since `since`; found on `day`."""

    day: str
    since: str
    excess: float
    metric: str


def excesses(days: Sequence[WindowEstimate], task: str) -> tuple[list[str], np.ndarray]:
    """The checked and reliable days, oldest first, and by how much each lost more than was estimated."""
    metric = LOSS[task]
    checked = [(d.start, d.checked.errors) for d in days if d.reliable and d.checked]
    known = [(start, errors[metric]) for start, errors in checked if metric in errors]
    return [start for start, _ in known], np.array([error for _, error in known])


def standardised(values: np.ndarray) -> np.ndarray:
    """Each value in units of the typical deviation of the (up to 60) values before it; NaN until there are 14."""
    found = np.full(len(values), np.nan)
    for i in range(GRACE, len(values)):
        spread = SPREAD_FACTOR * float(np.median(np.abs(values[max(0, i - SPREAD_DAYS) : i])))
        found[i] = np.clip(values[i] / max(spread, 1e-9), -CLIPPED, CLIPPED)
    return found


def changes(values: np.ndarray) -> list[int]:
    """The places at which the values were found to have become higher."""
    detector = PageHinkley(DELTA, THRESHOLD, forgetting=1.0, grace=GRACE)
    found = []
    for i, z in enumerate(standardised(values)):
        if np.isfinite(z) and detector.update(float(z)) and z > 0:
            found.append(i)
    return found


def latest_change(days: Sequence[WindowEstimate], task: str, *, after: str = "") -> Change | None:
    """The newest rise of the loss over its estimate that was found after the day `after`, while it lasts: None where
    the last seven days lost on average less than a third of a unit more than was estimated."""
    names, values = excesses(days, task)
    found = [i for i in changes(values) if names[i] > after]
    if not found or float(np.nanmean(standardised(values)[-LASTING:])) < RECOVERED:
        return None
    last = begin = found[-1]
    while begin > 0 and values[begin - 1] > 0:
        begin -= 1
    return Change(names[last], names[begin], float(values[begin:].mean()), LOSS[task])


class ConceptDrift:
    """Raises an alert while the labels lose more than the scores explain."""

    def __init__(self, *, metadata: Metadata, alerts: Alerts, clock: Clock) -> None:
        self._metadata, self._alerts, self._clock = metadata, alerts, clock

    def follow(self, model: str, task: str, days: Sequence[WindowEstimate]) -> Change | None:
        """Look at the checked estimates of days; what was over once is not found again."""
        kept = self._metadata.read(lambda r: r.records.get(CONCEPT.name, model, "state"))
        state = CONCEPT.open(kept) or ConceptState()
        change = latest_change(days, task, after=state.after)
        if change is not None:
            self._alerts.raise_(
                model,
                "concept",
                "concept",
                f"labels of {model} have lost more than its scores explain since {change.since}: {change.metric} is "
                f"{change.excess:.3f} above its estimate",
                facts=asdict(change) | {"detector": "page-hinkley on daily loss less its estimate"},
            )
            self._keep(model, ConceptState(change.day, state.after))
        elif state.open:
            self._alerts.resolve(model, "concept", "the loss is again what the scores explain")
            self._keep(model, ConceptState("", state.open))
        return change

    def _keep(self, model: str, state: ConceptState) -> None:
        now = self._clock.now()
        self._metadata.write(lambda r: r.records.put(CONCEPT.name, model, "state", CONCEPT.body(state), now))
