"""When to retrain: a pure reading of the declaration against what has happened."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from hanok.core.declare import Retrain
from hanok.core.durations import shortest
from hanok.core.training import Trigger
from hanok.parts.training.decline import WATCH, WATCH_ROWS_MIN, Level, worse_by


@dataclass(frozen=True, slots=True)
class Situation:
    """What the triggers look at. `recent` is the watched metric over the last `watched`, `reference` that of the gate.
    `certain` says whether it is worse beyond chance; None where nobody looked."""

    now: datetime
    last_trained: datetime
    last_attempt: datetime
    label_rows: int
    label_rows_then: int
    recent: Level | None
    recent_rows: int
    reference: Level | None
    watched: timedelta = WATCH
    certain: bool | None = None


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
    """A drop of the watched metric that the difficulty of the rows does not explain, and chance does not either."""
    if retrain.drop is None or s.recent is None or s.reference is None or s.certain is False:
        return None
    if s.recent_rows < WATCH_ROWS_MIN and not s.certain:
        return None
    metric, allowed = retrain.drop
    raw, explained = worse_by(metric, s.recent, s.reference)
    worse = raw - explained
    if not worse > allowed:
        return None
    said = (
        f"{metric} over the last {shortest(s.watched)} is {s.recent.value:.4f} on {s.recent_rows} answers, worse than "
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
