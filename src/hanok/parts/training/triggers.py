"""When to retrain: a pure reading of the declaration against what has happened."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from hanok.core.declare import Retrain
from hanok.core.durations import shortest
from hanok.core.metric_names import HIGHER_IS_BETTER
from hanok.core.training import Trigger

WATCH = timedelta(days=3)
WATCH_ROWS_MIN = 300


@dataclass(frozen=True, slots=True)
class Level:
    """A metric on some rows, and that of the best constant in hindsight on the same rows: how hard they were."""

    value: float
    constant: float | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """What the triggers look at. `recent` is the watched metric over the last days, `reference` that of the gate."""

    now: datetime
    last_trained: datetime
    last_attempt: datetime
    label_rows: int
    label_rows_then: int
    recent: Level | None
    recent_rows: int
    reference: Level | None


def due(retrain: Retrain, situation: Situation) -> Trigger | None:
    """The first trigger that fires, in the order drop, new rows, schedule; None within the cooldown."""
    s = situation
    if s.now - s.last_attempt < retrain.cooldown:
        return None
    dropped = _drop(retrain, s)
    if dropped is not None:
        return dropped
    fresh = s.label_rows - s.label_rows_then
    if retrain.new_rows is not None and fresh >= retrain.new_rows:
        return Trigger(
            "new_rows",
            f"{fresh} new labelled rows (>= {retrain.new_rows})",
            {"rows": fresh, "needed": retrain.new_rows},
        )
    if retrain.every is not None and s.now - s.last_trained >= retrain.every:
        days = (s.now - s.last_trained) / timedelta(days=1)
        return Trigger(
            "schedule", f"{days:.0f} days since the last training (every {shortest(retrain.every)})", {"days": days}
        )
    return None


def _drop(retrain: Retrain, s: Situation) -> Trigger | None:
    """A drop of the watched metric that the difficulty of the rows does not explain.

    A month in which all is harder lowers the metric of any model. So what is compared is the distance to the best
    constant of the same rows, where that is known of both.
    """
    if retrain.drop is None or s.recent is None or s.reference is None or s.recent_rows < WATCH_ROWS_MIN:
        return None
    metric, allowed = retrain.drop
    sign = -1.0 if HIGHER_IS_BETTER.get(metric) else 1.0
    raw = sign * (s.recent.value - s.reference.value)
    worse, explained = raw, 0.0
    if s.recent.constant is not None and s.reference.constant is not None:
        explained = sign * (s.recent.constant - s.reference.constant)
        worse = raw - explained
    if not worse > allowed:
        return None
    said = (
        f"{metric} over the last {shortest(WATCH)} is {s.recent.value:.4f} on {s.recent_rows} answers, worse than "
        f"the gate's {s.reference.value:.4f} by {raw:.4f}"
    )
    if explained:
        said += f", of which {explained:+.4f} is the difficulty of the rows and {worse:.4f} is not"
    facts: dict[str, str | int | float | None] = {
        "metric": metric,
        "recent": s.recent.value,
        "reference": s.reference.value,
        "difficulty": explained,
        "rows": s.recent_rows,
    }
    return Trigger("metric_drop", f"{said} (> {allowed:g})", facts)
