"""One run: what went in, what it measured, what it left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hanok.core.errors import HanokError
from hanok.core.tracking import Artifact, Run
from hanok.ui.views.common import Ask
from hanok.ui.views.neighbours import Neighbour, neighbours

if TYPE_CHECKING:
    from hanok.engine.app import App

CANDIDATE = "candidate_"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One line of the leaderboard of an AutoML search. `rank` counts from 1."""

    rank: int
    name: str
    parameters: Mapping[str, Any]
    metrics: Mapping[str, float | None]
    seconds: float | None


@dataclass(frozen=True, slots=True)
class RunPage:
    now: datetime
    id: str
    name: str
    experiment: str
    status: str
    started: datetime
    ended: datetime | None
    user: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    histories: Mapping[str, tuple[float, ...]]
    tags: Mapping[str, str]
    candidates: tuple[Candidate, ...]
    neighbours: tuple[Neighbour, ...]
    artifacts: tuple[Artifact, ...]


def run_page(app: App, ask: Ask) -> RunPage:
    """Raises RunNotFound."""
    run = app.tracking.runs.get(_whole_id(ask.path["run"]))
    experiment = app.tracking.experiments.get(run.experiment_id).name
    metrics = {k: v for k, v in sorted(run.latest.items()) if not k.startswith(CANDIDATE)}
    histories = {k: tuple(m.value for m in app.tracking.runs.history(run.id, k, limit=400)) for k in list(metrics)[:24]}
    return RunPage(
        app.clock.now(),
        run.id,
        run.name,
        experiment,
        run.status,
        run.started,
        run.ended,
        run.user,
        dict(sorted(run.params.items())),
        metrics,
        {k: v for k, v in histories.items() if len(v) > 1},
        dict(sorted((k, v) for k, v in run.tags.items() if k != "mlflow.runName")),
        leaderboard(app, run),
        neighbours(app, run.id),
        _artifacts(app, run),
    )


def leaderboard(app: App, run: Run) -> tuple[Candidate, ...]:
    """The candidates of the search that this run recorded, best first: from the training's durable step, or from the
    points of the metrics `candidate_*`, whose step is the rank."""
    lines: Sequence[Mapping[str, Any]] = _from_workflow(app, run)
    if not lines:
        keys = [k for k in run.latest if k.startswith(CANDIDATE)]
        by_rank: dict[int, dict[str, float | None]] = {}
        for key in keys:
            for point in app.tracking.runs.history(run.id, key, limit=400):
                by_rank.setdefault(point.step, {})[key.removeprefix(CANDIDATE)] = point.value
        lines = [{"name": "", "parameters": {}, "metrics": by_rank[s], "seconds": None} for s in sorted(by_rank)]
    return tuple(
        Candidate(i + 1, str(c.get("name", "")), _flat(c.get("parameters", {})), c.get("metrics", {}), c.get("seconds"))
        for i, c in enumerate(lines[:60])
    )


def _from_workflow(app: App, run: Run) -> Sequence[Mapping[str, Any]]:
    model = run.tags.get("hanok.model", "")
    try:
        versions = app.tracking.registry.versions(model) if model else []
    except HanokError:  # the model was deleted since; its run stays readable
        return ()
    workflow = next((v.facts.get("workflow") for v in versions if v.run_id == run.id), None)
    if not workflow:
        return ()
    steps = app.metadata.read(lambda r: r.workflows.steps(workflow))
    board = next((s.result.get("leaderboard", ()) for s in steps if s.name == "search"), ())
    return list(board)


def _flat(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters without their kind, which the candidate's name says, and without nesting."""
    flat: dict[str, Any] = {}
    for key, value in parameters.items():
        flat |= dict(value) if isinstance(value, Mapping) else {} if key == "kind" else {key: value}
    return flat


def _artifacts(app: App, run: Run) -> tuple[Artifact, ...]:
    """The top of the run's artifact tree; nothing when it is kept elsewhere."""
    try:
        return tuple(app.tracking.artifacts.children_under(run.artifact_uri))
    except HanokError:
        return ()


def _whole_id(text: str) -> str:
    return text.strip()[:200]
