"""Curves of metrics over many runs, thinned by the database to what can be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hanok.core.tracking import Axis, Curve, Run
from hanok.ui.views.direction import higher_is_better
from hanok.ui.views.runs_state import RunsState

if TYPE_CHECKING:
    from hanok.engine.app import App

BINS, BINS_SMALL = 240, 140
LOOKED_AT_MAX = 60


@dataclass(frozen=True, slots=True)
class Line:
    """One run's curve; `place` chooses its tone and is the run's place among those drawn."""

    run: str
    name: str
    place: int
    curve: Curve


@dataclass(frozen=True, slots=True)
class Plot:
    key: str
    higher: bool | None
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Curves:
    """`missing` are metrics that have no curve: one point, or none that is finite."""

    axis: str
    log: bool
    smooth: int
    plots: tuple[Plot, ...]
    missing: tuple[str, ...]


def curves_of(
    app: App,
    runs: Sequence[Run],
    keys: Sequence[str],
    axis: str,
    *,
    log: bool = False,
    smooth: int = 0,
    low: int | None = None,
    high: int | None = None,
    bins: int = BINS,
) -> Curves:
    """The metrics of these runs, one plot each. `smooth` is the weight of the past in percent."""
    side: Axis = "time" if axis == "time" else "step"
    found = app.tracking.overview.curves([r.id for r in runs], keys, side, bins=bins, low=low, high=high)
    places = {r.id: (i, r.name) for i, r in enumerate(runs)}
    plots, missing = [], []
    for key, curves in found.items():
        if any(len(c.bins) > 1 for c in curves):
            lines = tuple(Line(c.run_id, places[c.run_id][1], places[c.run_id][0], c) for c in curves)
            plots.append(Plot(key, higher_is_better(key), lines))
        else:
            missing.append(key)
    return Curves(axis, log, smooth, tuple(plots), tuple(missing))


def first_curves(app: App, runs: Sequence[Run], keys: Sequence[str], state: RunsState, *, limit: int) -> Curves:
    """The first metrics that have curves; one with a single point for each run is looked at and passed over."""
    plots: list[Plot] = []
    missing: list[str] = []
    for start in range(0, min(len(keys), LOOKED_AT_MAX), limit):
        piece = keys[start : start + limit]
        drawn = curves_of(app, runs, piece, state.axis, bins=BINS_SMALL, low=state.low, high=state.high)
        plots += drawn.plots
        missing += drawn.missing
        if len(plots) >= limit:
            break
    return Curves(state.axis, state.log, state.smooth, tuple(plots[:limit]), tuple(missing))
