"""Runs: which is best, and which setting made it so. Thousands of them: the database counts and sorts."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hanok.core.errors import Invalid
from hanok.core.tracking import All, Comparison, Filter, Not, Order, Run, RunQuery
from hanok.ui.views.common import Ask
from hanok.ui.views.curves import Curves, curves_of
from hanok.ui.views.direction import held_out, higher_is_better, telling_first
from hanok.ui.views.run import CANDIDATE, SYSTEM
from hanok.ui.views.runs_state import RunsState, state_of
from hanok.ui.views.settings import Group, Setting, groups_of, settings_of
from hanok.wire.mlflow.search import parse_filter

if TYPE_CHECKING:
    from hanok.engine.app import App

PAGE = 50
COLUMNS_SHOWN, COLUMNS_MAX, CHOICES_MAX = 14, 60, 160
EXACT_BEST_MAX = 2000  # of more, or of filtered ones, the best are asked for by themselves after the page is there
BEST_METRICS = 7
STUDIED_MAX = 1000
CURVES_MAX = 20
HIDDEN_TAGS = ("mlflow.", "hanok.")


@dataclass(frozen=True, slots=True)
class Column:
    """`kind` is metric, param or tag. `best` is the value to mark, None where the name does not tell which is better
    or where it was not asked for."""

    kind: str
    key: str
    best: float | None = None

    @property
    def sort(self) -> str:
        return f"{self.kind}.{self.key}"

    @property
    def higher(self) -> bool | None:
        return higher_is_better(self.key) if self.kind == "metric" else None


@dataclass(frozen=True, slots=True)
class RunLine:
    id: str
    name: str
    experiment: str
    status: str
    user: str
    started: datetime
    seconds: float | None
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Best:
    """The best value of a metric over the whole selection, and whose it is."""

    column: str
    key: str
    value: float
    run: str
    name: str
    user: str


@dataclass(frozen=True, slots=True)
class Runs:
    """`best` is None when it is asked for by itself. `problem` says why the filter cannot be read."""

    now: datetime
    state: RunsState
    experiments: tuple[str, ...]
    total: int
    columns: tuple[Column, ...]
    choices: tuple[Column, ...]
    hidden: int
    several_users: bool
    rows: tuple[RunLine, ...]
    best: tuple[Best, ...] | None
    next_offset: int | None
    problem: str = ""
    hint: str = ""
    curves: Curves | None = None
    settings: tuple[Setting, ...] = ()
    groups: tuple[Group, ...] = ()
    studied: int = 0

    @property
    def http_status(self) -> int:
        return 400 if self.problem else 200

    @property
    def metrics(self) -> tuple[str, ...]:
        return tuple(c.key for c in self.choices if c.kind == "metric")

    @property
    def pinned(self) -> str:
        """The URL that names the columns of now, so that further rows come with the same ones."""
        columns = tuple(c.sort for c in self.columns) or ("none",)
        return f"{self.state.query(columns=columns)}&users={int(self.several_users)}"


def runs(app: App, ask: Ask) -> Runs:
    """A page of runs, the newest first unless the URL sorts. Raises Invalid for a sort or filter not understood."""
    state = state_of(ask)
    experiments, query = _query(app, state)
    if not query.experiment_ids:
        return Runs(app.clock.now(), state, tuple(sorted(experiments.values())), 0, (), (), 0, False, (), (), None)
    if state.view != "table":
        return _study(app, state, experiments, query)
    page = app.tracking.runs.search(replace(query, limit=PAGE, offset=state.offset, order=(state.order,)))
    found = page.items
    only = page.next_offset is None and not state.offset
    total = len(found) if only else app.tracking.overview.count(query)
    columns, hidden = _columns(found, state.columns)
    best = _best_of_rows(found, columns) if only else None
    if best is None and total <= EXACT_BEST_MAX and not state.filter:
        best = _best_of_all(app, query, columns)
    values = {b.column: b.value for b in best or ()}
    columns = tuple(replace(c, best=values.get(c.sort)) for c in columns)
    return Runs(
        app.clock.now(),
        state,
        tuple(sorted(experiments.values())),
        total,
        columns,
        _all_columns(found)[:CHOICES_MAX],
        hidden,
        ask.text("users") == "1" if ask.text("users") else len({r.user for r in found}) > 1,
        tuple(_line(r, experiments, columns) for r in found),
        best,
        page.next_offset,
        hint="" if found else _hint(app, query),
    )


def runs_page(app: App, ask: Ask) -> Runs:
    """As `runs`; a filter that cannot be read is explained beside its box."""
    try:
        return runs(app, ask)
    except Invalid as error:
        state = state_of(ask)
        names = tuple(sorted(e.name for e in app.tracking.experiments.search().items))
        return Runs(app.clock.now(), state, names, 0, (), (), 0, False, (), (), None, problem=error.message)


@dataclass(frozen=True, slots=True)
class Bests:
    now: datetime
    best: tuple[Best, ...]


def bests(app: App, ask: Ask) -> Bests:
    """The best run of the whole selection for each metric that the URL names as a column."""
    state = state_of(ask)
    _, query = _query(app, state)
    columns = tuple(c for c in map(_column, state.columns) if c is not None)
    return Bests(app.clock.now(), _best_of_all(app, query, columns))


def _query(app: App, state: RunsState) -> tuple[dict[str, str], RunQuery]:
    experiments = {e.id: e.name for e in app.tracking.experiments.search().items}
    wanted = state.experiments
    chosen = tuple(i for i, name in experiments.items() if not wanted or name in wanted)
    return experiments, RunQuery(chosen, filter=parse_filter(state.filter))


def _study(app: App, state: RunsState, experiments: Mapping[str, str], query: RunQuery) -> Runs:
    """The views that look at many runs together: curves, settings, groups."""
    found = app.tracking.runs.search(replace(query, limit=STUDIED_MAX)).items
    total = len(found) if len(found) < STUDIED_MAX else app.tracking.overview.count(query)
    choices = _all_columns(found)
    metrics = [c.key for c in choices if c.kind == "metric"]
    metric = state.metric if state.metric in metrics else _main_metric(found, metrics)
    state = replace(state, metric=metric)
    ranked = _ranked(found, metric)
    picked = [r for r in found if r.id in state.picked] or ranked[:CURVES_MAX]
    view: dict[str, Any] = {}
    if state.view == "curves" and metric:
        view["curves"] = _curves(app, picked, state)
    elif state.view == "settings" and metric:
        view["settings"] = settings_of(found, metric)
    elif state.view == "groups":
        by = state.by or next((c.sort for c in choices if c.kind == "param"), "user")
        state = replace(state, by=by)
        view["groups"] = groups_of(found, by, metric)
    return Runs(
        app.clock.now(),
        state,
        tuple(sorted(experiments.values())),
        total,
        (),
        choices[:CHOICES_MAX],
        0,
        len({r.user for r in found}) > 1,
        tuple(_line(r, experiments, (Column("metric", metric),)) for r in picked) if state.view == "curves" else (),
        (),
        None,
        hint="" if found else _hint(app, query),
        studied=len(found),
        **view,
    )


def _curves(app: App, picked: Sequence[Run], state: RunsState) -> Curves:
    keys = (state.metric,)
    return curves_of(app, picked, keys, state.axis, log=state.log, smooth=state.smooth, low=state.low, high=state.high)


def _main_metric(found: Sequence[Run], metrics: Sequence[str]) -> str:
    """The metric that most runs have, of those whose name tells a direction where there are any."""
    telling = [m for m in metrics if higher_is_better(m) is not None] or list(metrics)
    counts = {m: sum(m in r.latest for r in found[:100]) for m in telling}
    return max(telling, key=lambda m: (counts[m], held_out(m)), default="")


def _ranked(found: Sequence[Run], metric: str) -> list[Run]:
    """The best first; runs without the metric, or with NaN, last."""
    sign = -1.0 if higher_is_better(metric) else 1.0
    latest = {r.id: r.latest.get(metric) for r in found}
    return sorted(found, key=lambda r: (0, sign * v) if (v := latest[r.id]) is not None and v == v else (1, 0.0))


def _all_columns(found: Sequence[Run]) -> tuple[Column, ...]:
    metrics = sorted({m.key for r in found for m in r.metrics if not m.key.startswith(CANDIDATE)})
    params = sorted({k for r in found for k in r.params})
    tags = sorted({k for r in found for k in r.tags if not k.startswith(HIDDEN_TAGS)})
    metrics.sort(key=telling_first)
    return (
        *(Column("metric", k) for k in metrics),
        *(Column("param", k) for k in params),
        *(Column("tag", k) for k in tags),
    )


def _columns(found: Sequence[Run], chosen: Sequence[str]) -> tuple[tuple[Column, ...], int]:
    """The chosen columns, or those in which these runs differ: metrics first, the telling ones before the others."""
    there = _all_columns(found)
    if chosen == ("all",):
        return there[:COLUMNS_MAX], max(0, len(there) - COLUMNS_MAX)
    if chosen:
        named = tuple(c for c in map(_column, chosen) if c is not None)[:COLUMNS_MAX]
        return named, len(set(there) - set(named))
    differing = tuple(c for c in there if len(found) < 2 or _differs(found, c)) if found else ()
    metrics = [c for c in differing if c.kind == "metric" and not c.key.startswith(SYSTEM)][: COLUMNS_SHOWN // 2]
    others = [c for c in differing if c.kind != "metric"]
    shown = (*metrics, *others)[:COLUMNS_SHOWN]
    return shown, len(there) - len(shown)


def _column(text: str) -> Column | None:
    kind, _, key = text.partition(".")
    return Column(kind, key) if kind in ("metric", "param", "tag") and key else None


def _values(run: Run, kind: str) -> Mapping[str, Any]:
    return run.latest if kind == "metric" else run.params if kind == "param" else run.tags


def _differs(found: Sequence[Run], column: Column) -> bool:
    return len({repr(_values(r, column.kind).get(column.key)) for r in found}) > 1


def _best_of_rows(found: Sequence[Run], columns: Sequence[Column]) -> tuple[Best, ...]:
    bests = []
    for column in [c for c in columns if c.higher is not None][:BEST_METRICS]:
        known = [(v, r) for r in found if (v := r.latest.get(column.key)) is not None and v == v]
        if len(known) > 1:
            value, run = (max if column.higher else min)(known, key=lambda pair: pair[0])
            bests.append(Best(column.sort, column.key, value, run.id, run.name, run.user))
    return tuple(bests)


def _best_of_all(app: App, query: RunQuery, columns: Sequence[Column]) -> tuple[Best, ...]:
    bests = []
    for column in [c for c in columns if c.higher is not None][:BEST_METRICS]:
        one = replace(query, limit=1, offset=0, order=(Order("metric", column.key, not column.higher),))
        for run in app.tracking.runs.search(one).items:
            if (value := run.latest.get(column.key)) is not None and value == value:
                bests.append(Best(column.sort, column.key, value, run.id, run.name, run.user))
    return tuple(bests)


def _line(run: Run, experiments: Mapping[str, str], columns: Sequence[Column]) -> RunLine:
    by_kind = {kind: _values(run, kind) for kind in {c.kind for c in columns}}
    values = tuple(by_kind[c.kind].get(c.key) for c in columns)
    seconds = (run.ended - run.started).total_seconds() if run.ended else None
    experiment = experiments.get(run.experiment_id, "")
    return RunLine(run.id, run.name, experiment, run.status, run.user, run.started, seconds, values)


def _hint(app: App, query: RunQuery) -> str:
    """Why nothing may have been found: a key of the filter that no recent run has, and one that it may mean."""
    recent = app.tracking.runs.search(replace(query, filter=All(), limit=100)).items
    for wanted in _comparisons(query.filter):
        if wanted.subject not in ("metric", "param", "tag") or not recent:
            continue
        keys = {k for r in recent for k in _values(r, wanted.subject)}
        if wanted.key not in keys:
            near = difflib.get_close_matches(wanted.key, keys, n=1, cutoff=0.5)
            meant = f" Do you mean {near[0]}?" if near else ""
            return f"None of the newest {len(recent)} runs here has a {wanted.subject} {wanted.key[:80]!r}.{meant}"
    return ""


def _comparisons(wanted: Filter) -> list[Comparison]:
    if isinstance(wanted, Comparison):
        return [wanted]
    parts = (wanted.part,) if isinstance(wanted, Not) else wanted.parts
    return [c for part in parts for c in _comparisons(part)]
