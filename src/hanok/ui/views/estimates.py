"""Performance before labels: what is estimated now, what is known of it so far, and how estimates turned out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hanok.engine.app import App
from hanok.engine.verbs.monitoring import estimate

WEEKS = 12


@dataclass(frozen=True, slots=True)
class Week:
    start: str
    rows: int
    estimated: float | None
    low: float | None
    high: float | None
    realised: float | None
    inside: bool | None
    held: bool | None
    why: str


@dataclass(frozen=True, slots=True)
class Estimated:
    """`labelled` is the share of the newest week's answers that have their label, `known` the metric on those; `usual`
    is the error that `usual_share` of earlier weeks stayed within."""

    metric: str
    newest: Week
    labelled: float
    known: float | None
    assumption: str
    usual: float | None
    usual_share: float | None
    checked: int
    inside: int
    held: int
    held_inside: int
    weeks: tuple[Week, ...]


def estimated(app: App, name: str) -> Estimated | None:
    """None where nothing was estimated yet."""
    found: Mapping[str, Any] = estimate(app.tracking, app.training, app.monitoring, model=name, limit=WEEKS)
    newest, counts = found["newest"], found["record"]
    if newest is None:
        return None
    usual = newest["usual_error"] or {}
    return Estimated(
        newest["metric"],
        _week(newest),
        newest["labelled"],
        newest["known"],
        newest["assumption"],
        usual.get("within"),
        usual.get("share"),
        counts["checked"],
        counts["inside"],
        counts["held"],
        counts["held_inside"],
        tuple(_week(w) for w in reversed(found["windows"])),
    )


def _week(line: Mapping[str, Any]) -> Week:
    return Week(
        line["start"],
        line["rows"],
        line["estimated"],
        line["low"],
        line["high"],
        line["realised"],
        line["inside"],
        line["calibration_held"],
        line["why"],
    )
