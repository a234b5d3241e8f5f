"""What the URL of the Runs page says: the whole view, so that a link shows another person the same."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from hanok.core.errors import Invalid
from hanok.core.tracking import Order
from hanok.ui.views.common import Ask

VIEWS = ("table", "curves", "settings", "groups")
AXES = ("step", "time")
PICKED_MAX = 20


@dataclass(frozen=True, slots=True)
class RunsState:
    """`columns` are chosen ones ("metric.loss"); empty means those that differ, ("all",) all of them."""

    experiments: tuple[str, ...] = ()
    filter: str = ""
    sort: str = "started"
    descending: bool = True
    columns: tuple[str, ...] = ()
    offset: int = 0
    view: str = "table"
    metric: str = ""
    by: str = ""
    axis: str = "step"
    log: bool = False
    smooth: int = 0
    low: int | None = None
    high: int | None = None
    picked: tuple[str, ...] = ()

    @property
    def order(self) -> Order:
        """Raises Invalid for a sort that is not understood."""
        return _order(self.sort, not self.descending)

    def fields(self, **changes: Any) -> list[tuple[str, str]]:
        """The query of a URL, what is at its default left out; a change of what is shown starts at the first run."""
        if changes and "offset" not in changes:
            changes["offset"] = 0
        state = replace(self, **changes) if changes else self
        found = [("experiment", e) for e in state.experiments]
        plain = {
            "q": state.filter,
            "sort": "" if state.sort == "started" else state.sort,
            "order": "" if state.descending else "asc",
            "view": "" if state.view == "table" else state.view,
            "metric": state.metric,
            "by": state.by,
            "axis": "" if state.axis == "step" else state.axis,
            "log": "1" if state.log else "",
            "smooth": str(state.smooth) if state.smooth else "",
            "from": "" if state.low is None else str(state.low),
            "to": "" if state.high is None else str(state.high),
            "offset": str(state.offset) if state.offset else "",
        }
        found += [(k, v) for k, v in plain.items() if v]
        found += [("col", c) for c in state.columns] + [("run", r) for r in state.picked]
        return found

    def query(self, **changes: Any) -> str:
        return "?" + urlencode(self.fields(**changes))

    def without(self, *names: str) -> list[tuple[str, str]]:
        """Fields that a form carries along; those that it asks for itself are left out."""
        return [(k, v) for k, v in self.fields(offset=0) if k not in names]


def state_of(ask: Ask) -> RunsState:
    """Raises Invalid for a view, an axis or a sort that there is none of."""
    view, axis = ask.text("view", "table"), ask.text("axis", "step")
    if view not in VIEWS:
        raise Invalid(f"view={view[:40]!r} is not one of {', '.join(VIEWS)}")
    if axis not in AXES:
        raise Invalid(f"axis={axis[:40]!r} is not one of {', '.join(AXES)}")
    columns = tuple(dict.fromkeys(ask.query.get("col", ())))
    made = RunsState(
        tuple(dict.fromkeys(e for e in ask.query.get("experiment", ()) if e)),
        ask.text("q").strip(),
        ask.text("sort", "started"),
        ask.text("order", "desc") != "asc",
        ("all",) if ask.text("columns") == "all" else columns,
        ask.number("offset", 0, low=0, high=10_000_000),
        view,
        ask.text("metric"),
        ask.text("by"),
        axis,
        ask.text("log") == "1",
        ask.number("smooth", 0, low=0, high=99),
        _end(ask, "from"),
        _end(ask, "to"),
        tuple(dict.fromkeys(ask.many("run")))[:PICKED_MAX],
    )
    assert made.order
    return made


def _end(ask: Ask, name: str) -> int | None:
    return ask.number(name, 0, low=-(10**18), high=10**18) if ask.text(name) else None


def _order(sort: str, ascending: bool) -> Order:
    kind, _, key = sort.partition(".")
    if kind in ("metric", "param", "tag") and key:
        return Order(kind, key, ascending)  # type: ignore[arg-type]
    known = {"started": "start_time", "ended": "end_time", "name": "run_name", "status": "status", "user": "user_id"}
    if sort in known:
        return Order("attribute", known[sort], ascending)
    raise Invalid(f"sort={sort[:60]!r} is not understood: {', '.join(known)}, metric.NAME, param.NAME or tag.NAME")
