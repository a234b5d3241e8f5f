"""One run: what went in, what it measured, what it left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hanok.core.tracking import DELETED, RUN_NAME_TAG, Comparison, DatasetInput, Run, RunQuery
from hanok.engine.leaderboard import leaderboard_of
from hanok.ui.views.artifacts import Listing, listing
from hanok.ui.views.capture import (
    BRANCH,
    COMMAND,
    COMMIT,
    ERROR,
    PLATFORM,
    PYTHON,
    SOURCE,
    Captured,
    artifact_text,
    captured,
)
from hanok.ui.views.common import Ask
from hanok.ui.views.curves import Curves, first_curves
from hanok.ui.views.direction import telling_first
from hanok.ui.views.neighbours import Neighbour, neighbours
from hanok.ui.views.runs_state import RunsState, state_of

if TYPE_CHECKING:
    from hanok.engine.app import App

CANDIDATE, SYSTEM = "candidate_", "system/"
NOTE_TAG, PARENT_TAG = "mlflow.note.content", "mlflow.parentRunId"
KNOWN_TAGS = (RUN_NAME_TAG, NOTE_TAG, PARENT_TAG, COMMIT, BRANCH, SOURCE, COMMAND, PYTHON, PLATFORM, "mlflow.user")
PLOTS_MAX, CHILDREN_MAX, CONSOLE_LINES = 12, 200, 200


@dataclass(frozen=True, slots=True)
class Candidate:
    """One line of the leaderboard of an AutoML search. `rank` counts from 1; the rest is what `core.training.Line`
    says."""

    rank: int
    name: str
    parameters: Mapping[str, Any]
    metrics: Mapping[str, float | None]
    seconds: float | None
    error: float | None = None
    weight: float | None = None
    size_bytes: int | None = None
    row_us: float | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Child:
    """A run that names this one as its parent."""

    id: str
    name: str
    status: str
    started: datetime
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class RunPage:
    """`metrics` are latest values. `curves` are of the first of them that have more than one point, `system` of those
    that the machine told."""

    now: datetime
    id: str
    name: str
    experiment: str
    status: str
    started: datetime
    ended: datetime | None
    user: str
    note: str
    error: str
    parent: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    state: RunsState
    curves: Curves
    system: Curves
    tags: Mapping[str, str]
    datasets: tuple[DatasetInput, ...]
    code: Captured
    console: str
    candidates: tuple[Candidate, ...]
    children: tuple[Child, ...]
    child_metrics: tuple[str, ...]
    neighbours: tuple[Neighbour, ...]
    files: Listing
    deleted: bool
    experiments: tuple[str, ...]

    @property
    def seconds(self) -> float | None:
        return (self.ended - self.started).total_seconds() if self.ended else None


def run_page(app: App, ask: Ask) -> RunPage:
    """Raises RunNotFound, Invalid."""
    state = state_of(ask)
    run = app.tracking.runs.get(ask.path["run"].strip()[:200])
    experiment = app.tracking.experiments.get(run.experiment_id).name
    names = sorted((k for k in run.latest if not k.startswith(CANDIDATE)), key=telling_first)
    own, system = [k for k in names if not k.startswith(SYSTEM)], [k for k in names if k.startswith(SYSTEM)]
    wanted = [k for k in ask.query.get("metric", ()) if k in own]
    taken = captured(app, run)
    children = _children(app, run)
    return RunPage(
        app.clock.now(),
        run.id,
        run.name,
        experiment,
        run.status,
        run.started,
        run.ended,
        run.user,
        run.tags.get(NOTE_TAG, ""),
        run.tags.get(ERROR, ""),
        run.tags.get(PARENT_TAG, ""),
        dict(sorted(run.params.items())),
        {k: run.latest[k] for k in own},
        state,
        first_curves(app, [run], wanted or own, state, limit=PLOTS_MAX),
        first_curves(app, [run], system, replace(state, axis="time"), limit=PLOTS_MAX),
        dict(sorted((k, v) for k, v in run.tags.items() if k not in KNOWN_TAGS)),
        run.datasets,
        taken,
        _last_lines(app, run, taken.console),
        leaderboard(app, run),
        children,
        tuple(sorted({k for c in children for k in c.metrics}, key=telling_first)[:5]),
        neighbours(app, run.id),
        listing(app, run, ask.text("folder")),
        run.lifecycle == DELETED,
        tuple(sorted(e.name for e in app.tracking.experiments.search().items if e.id != run.experiment_id)),
    )


def _children(app: App, run: Run) -> tuple[Child, ...]:
    child_of = Comparison("tag", PARENT_TAG, "=", run.id)
    found = app.tracking.runs.search(RunQuery([run.experiment_id], filter=child_of, limit=CHILDREN_MAX)).items
    return tuple(Child(c.id, c.name, c.status, c.started, c.latest) for c in found)


def _last_lines(app: App, run: Run, pieces: Sequence[str]) -> str:
    """The end of what the run printed."""
    text = "".join(artifact_text(app, run, piece) for piece in pieces[-2:])
    return "\n".join(text.splitlines()[-CONSOLE_LINES:])


def leaderboard(app: App, run: Run) -> tuple[Candidate, ...]:
    """The candidates of the search that this run recorded, best first: from the training's durable step, or from the
    points of the metrics `candidate_*`, whose step is the rank."""
    lines: Sequence[Mapping[str, Any]] = leaderboard_of(app.tracking, app.metadata, run)
    if not lines:
        keys = [k for k in run.latest if k.startswith(CANDIDATE)]
        by_rank: dict[int, dict[str, float | None]] = {}
        for key in keys:
            for point in app.tracking.runs.history(run.id, key, limit=400):
                by_rank.setdefault(point.step, {})[key.removeprefix(CANDIDATE)] = point.value
        lines = [{"name": "", "parameters": {}, "metrics": by_rank[s], "seconds": None} for s in sorted(by_rank)]
    return tuple(
        Candidate(
            i + 1,
            str(c.get("name", "")),
            _flat(c.get("parameters", {})),
            c.get("metrics", {}),
            c.get("seconds"),
            c.get("error"),
            c.get("weight"),
            c.get("size_bytes"),
            c.get("row_us"),
            str(c.get("why", "")),
        )
        for i, c in enumerate(lines[:60])
    )


def _flat(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters without their kind, which the candidate's name says, and without nesting."""
    flat: dict[str, Any] = {}
    for key, value in parameters.items():
        flat |= dict(value) if isinstance(value, Mapping) else {} if key == "kind" else {key: value}
    return flat
