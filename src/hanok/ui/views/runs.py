"""Runs: which is best, and why; one run; runs side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hanok.core.errors import HanokError, Invalid
from hanok.core.tracking import Artifact, Order, Run, RunQuery
from hanok.ui.views.common import Ask, higher_is_better
from hanok.ui.views.neighbours import Neighbour, neighbours

if TYPE_CHECKING:
    from hanok.engine.app import App

PAGE = 50
COLUMNS_MAX = 24
CANDIDATE = "candidate_"


@dataclass(frozen=True, slots=True)
class Column:
    """`kind` is metric or param. `best` is the value to mark, None where the name does not tell which is better."""

    kind: str
    key: str
    best: float | None = None

    @property
    def sort(self) -> str:
        return f"{self.kind}.{self.key}"


@dataclass(frozen=True, slots=True)
class RunLine:
    id: str
    name: str
    experiment: str
    status: str
    started: datetime
    seconds: float | None
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Runs:
    now: datetime
    experiment: str
    experiments: tuple[str, ...]
    columns: tuple[Column, ...]
    hidden: int
    everything: bool
    sort: str
    descending: bool
    rows: tuple[RunLine, ...]
    offset: int
    next_offset: int | None


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


def runs(app: App, ask: Ask) -> Runs:
    """A page of runs, the newest first unless the URL sorts. Raises Invalid for a sort that is not understood."""
    experiments = {e.id: e.name for e in app.tracking.experiments.search().items}
    wanted = ask.text("experiment")
    chosen = tuple(i for i, name in experiments.items() if not wanted or name == wanted)
    sort, descending = ask.text("sort", "started"), ask.text("order", "desc") != "asc"
    offset = ask.number("offset", 0, low=0, high=10_000_000)
    everything = ask.text("columns") == "all"
    query = RunQuery(chosen, order=(_order(sort, not descending),), limit=PAGE, offset=offset)
    page = app.tracking.runs.search(query) if chosen else None
    found = page.items if page else ()
    columns, hidden = _columns(found, everything)
    return Runs(
        app.clock.now(),
        wanted,
        tuple(sorted(experiments.values())),
        columns,
        hidden,
        everything,
        sort,
        descending,
        tuple(_line(r, experiments, columns) for r in found),
        offset,
        page.next_offset if page else None,
    )


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


def _order(sort: str, ascending: bool) -> Order:
    kind, _, key = sort.partition(".")
    if kind == "metric" and key:
        return Order("metric", key, ascending)
    if kind == "param" and key:
        return Order("param", key, ascending)
    if sort == "started":
        return Order("attribute", "start_time", ascending)
    if sort == "name":
        return Order("attribute", "run_name", ascending)
    raise Invalid(f"sort={sort[:60]!r} is not understood: started, name, metric.NAME or param.NAME")


def _columns(found: Sequence[Run], everything: bool) -> tuple[tuple[Column, ...], int]:
    """Metrics first, then params; those with one value in all runs are hidden unless everything is asked for."""
    metrics = _keys([r.latest for r in found], everything, lambda k: everything or not k.startswith(CANDIDATE))
    params = _keys([r.params for r in found], everything, lambda _: True)
    columns = [Column("metric", k, _best(k, [r.latest.get(k) for r in found])) for k in metrics]
    columns += [Column("param", k) for k in params]
    total = len({k for r in found for k in r.latest}) + len({k for r in found for k in r.params})
    shown = tuple(columns[:COLUMNS_MAX])
    return shown, total - len(shown)


def _keys(rows: Sequence[Mapping[str, Any]], everything: bool, wanted: Any) -> list[str]:
    names = sorted({k for row in rows for k in row if wanted(k)})
    if everything or len(rows) < 2:
        return names
    return [n for n in names if len({repr(row.get(n)) for row in rows}) > 1]


def _best(key: str, values: Sequence[float | None]) -> float | None:
    better = higher_is_better(key)
    known = [v for v in values if v is not None and v == v]
    if better is None or len(known) < 2:
        return None
    return max(known) if better else min(known)


def _line(run: Run, experiments: Mapping[str, str], columns: Sequence[Column]) -> RunLine:
    latest = run.latest
    values = tuple(latest.get(c.key) if c.kind == "metric" else run.params.get(c.key) for c in columns)
    seconds = (run.ended - run.started).total_seconds() if run.ended else None
    return RunLine(run.id, run.name, experiments.get(run.experiment_id, ""), run.status, run.started, seconds, values)


def _whole_id(text: str) -> str:
    return text.strip()[:200]
