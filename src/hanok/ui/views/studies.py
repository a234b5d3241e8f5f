"""Studies: the best so far first, then what made it so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from hanok.core.json import Json, JsonObject
from hanok.core.tuning import COMPLETE, ENDED, MAXIMIZE, PRUNED, Study, Trial
from hanok.ui.parallel import Axis
from hanok.ui.svg import Series
from hanok.ui.views.common import Ask

if TYPE_CHECKING:
    from hanok.engine.app import App

TRIALS_SHOWN = 60
POINTS_MAX = 240
AXES_MAX = 8
VALUE = "value"


@dataclass(frozen=True, slots=True)
class StudyLine:
    name: str
    state: str
    trials: int
    running: int
    best: float | None
    direction: str
    sampler: str
    created: datetime


@dataclass(frozen=True, slots=True)
class Studies:
    now: datetime
    studies: tuple[StudyLine, ...]


@dataclass(frozen=True, slots=True)
class TrialLine:
    number: int
    state: str
    value: float | None
    params: JsonObject
    reason: str
    run: str
    seconds: float | None
    best: bool


@dataclass(frozen=True, slots=True)
class StudyPage:
    """`labels` and `series` draw values and the best so far by trial; `axes` and `rows` the parallel plot."""

    now: datetime
    name: str
    state: str
    directions: tuple[str, ...]
    sampler: str
    pruner: str
    limits: Mapping[str, Json]
    counts: Mapping[str, int]
    experiment: str
    space: JsonObject
    best: tuple[TrialLine, ...]
    trials: tuple[TrialLine, ...]
    total: int
    labels: tuple[str, ...]
    series: tuple[Series, ...]
    axes: tuple[Axis, ...]
    rows: tuple[Mapping[str, float | str], ...]
    higher: bool


def studies(app: App, ask: Ask) -> Studies:
    lines = []
    for study in app.tuning.studies():
        best, counts = app.tuning.best(study.name), app.tuning.counts(study.name)
        lines.append(
            StudyLine(
                study.name,
                study.state,
                sum(counts.values()),
                counts.get("running", 0),
                best[0].values[0] if best else None,
                study.direction,
                study.sampler.name,
                study.created,
            )
        )
    return Studies(app.clock.now(), tuple(reversed(lines)))


def study_page(app: App, ask: Ask) -> StudyPage:
    """Raises StudyNotFound."""
    study = app.tuning.study(ask.path["study"])
    trials = app.tuning.trials(study.name)
    best = app.tuning.best(study.name)
    winners = {t.id for t in best}
    done = [t for t in trials if t.state == COMPLETE]
    axes = tuple(_axes(study, done))
    limits = study.limits
    return StudyPage(
        app.clock.now(),
        study.name,
        study.state,
        study.directions,
        study.sampler.name,
        study.pruner.name if study.pruner else "",
        {"trials at most": limits.max_trials, "seconds at most": limits.max_seconds, "at a time": limits.concurrency},
        {str(state): n for state, n in app.tuning.counts(study.name).items()},
        study.experiment_id,
        study.space or {},
        tuple(_line(t, winners) for t in best),
        tuple(_line(t, winners) for t in reversed(trials[-TRIALS_SHOWN:])),
        len(trials),
        *_course(study, trials),
        axes,
        tuple(_row(t, axes) for t in done) if len(study.directions) == 1 else (),
        study.direction == MAXIMIZE,
    )


def _line(trial: Trial, winners: set[int]) -> TrialLine:
    value = trial.values[0] if trial.values else None
    if value is None and trial.reports and trial.state not in ENDED:
        value = trial.reports[max(trial.reports)]
    end, begin = trial.ended, trial.started
    seconds = (end - begin).total_seconds() if end and begin else None
    return TrialLine(
        trial.number, trial.state, value, trial.params, trial.reason, trial.run_id, seconds, trial.id in winners
    )


def _course(study: Study, trials: Sequence[Trial]) -> tuple[tuple[str, ...], tuple[Series, ...]]:
    """Value of each trial and the best so far; many trials are thinned, the best of each stretch is kept."""
    pick = max if study.direction == MAXIMIZE else min
    shown = [t for t in trials if t.state in (COMPLETE, PRUNED) and t.values]
    step = -(-len(shown) // POINTS_MAX) if shown else 1
    labels, values, best = [], [], []
    so_far: float | None = None
    for start in range(0, len(shown), step):
        part = shown[start : start + step]
        complete = [t.values[0] for t in part if t.state == COMPLETE]
        if complete:
            so_far = pick([*complete, *([] if so_far is None else [so_far])])
        labels.append(str(part[0].number))
        values.append(pick(t.values[0] for t in part))
        best.append(so_far)
    return tuple(labels), (Series("best so far", tuple(best)), Series("each trial", tuple(values), faint=True))


def _axes(study: Study, trials: Sequence[Trial]) -> Iterator[Axis]:
    names: dict[str, list[float | str]] = {}
    for trial in trials:
        for name, value in _flat(trial.params):
            names.setdefault(name, []).append(value)
    space = study.space or {}
    for name, values in list(names.items())[:AXES_MAX]:
        declared = space.get(name)
        kind = str(declared.get("_type")) if isinstance(declared, Mapping) else ""
        if any(isinstance(v, str) for v in values):
            yield Axis(name, tuple(sorted({str(v) for v in values})))
        else:
            yield Axis(name, log="log" in kind)


def _row(trial: Trial, axes: Sequence[Axis]) -> Mapping[str, float | str]:
    known = {a.name: a for a in axes}
    row = {n: str(v) if known[n].options else v for n, v in _flat(trial.params) if n in known}
    return row | {VALUE: trial.values[0]}


def _flat(params: JsonObject, prefix: str = "") -> Iterator[tuple[str, float | str]]:
    for name, value in params.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{name}", float(value)
        else:
            yield f"{prefix}{name}", str(value)
