"""When to retrain: a pure reading of the declaration against what has happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hanok.compute.metrics import HIGHER_IS_BETTER
from hanok.core.declare import Retrain
from hanok.core.durations import shortest

WATCH = timedelta(days=3)
WATCH_ROWS_MIN = 300


@dataclass(frozen=True, slots=True)
class Trigger:
    """Why a retraining is due, with its numbers."""

    kind: str
    reason: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Situation:
    """What the triggers look at. `recent` is the watched metric over the last days, `reference` that of the gate."""

    now: datetime
    last_trained: datetime
    last_attempt: datetime
    label_rows: int
    label_rows_then: int
    recent: float | None
    recent_rows: int
    reference: float | None


def due(retrain: Retrain, situation: Situation) -> Trigger | None:
    """The first trigger that fires, in the order drop, new rows, schedule; None within the cooldown."""
    s = situation
    if s.now - s.last_attempt < retrain.cooldown:
        return None
    if (
        retrain.drop is not None
        and s.recent is not None
        and s.reference is not None
        and s.recent_rows >= WATCH_ROWS_MIN
    ):
        metric, allowed = retrain.drop
        worse = s.reference - s.recent if HIGHER_IS_BETTER.get(metric) else s.recent - s.reference
        if worse > allowed:
            return Trigger(
                "metric_drop",
                f"{metric} over the last {shortest(WATCH)} is {s.recent:.4f} on {s.recent_rows} answers, worse than "
                f"the gate's {s.reference:.4f} by {worse:.4f} (> {allowed:g})",
                {"metric": metric, "recent": s.recent, "reference": s.reference, "rows": s.recent_rows},
            )
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
