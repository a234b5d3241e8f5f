"""Verbs of models: train, deploy, predict, promote, roll back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime

from hanok.core.access import Access
from hanok.core.batches import BATCH, Wanted
from hanok.core.clock import utc
from hanok.core.durations import duration
from hanok.core.json import JsonObject
from hanok.core.performance import HINDSIGHT
from hanok.core.records import to_body
from hanok.core.registry import CHAMPION
from hanok.core.traffic_replay import TRAFFIC_REPLAY
from hanok.core.training import result_of
from hanok.engine.arguments import Cell, Count
from hanok.engine.batching import Batching
from hanok.engine.bus import Bus
from hanok.engine.evidence import Evidence
from hanok.engine.hindsight import hindsight
from hanok.engine.predicting import Predicting
from hanok.engine.traffic_replay import replay
from hanok.engine.verbs.registry import verb
from hanok.parts.serving.service import Serving
from hanok.parts.tracking.service import Tracking
from hanok.parts.training.service import Training

PIECE_ROWS_MAX = 200_000


@verb("train", Access.EDIT, "long")
def train(
    bus: Bus,
    training: Training,
    *,
    actor: str,
    model: str,
    reason: str = "on request",
    promote: bool = True,
    resume: bool = False,
) -> JsonObject:
    """Train, judge and register a new version; one that passes its gate starts its rollout."""
    bus.drain()
    result = training.train(model, reason=reason, actor=actor, promote=promote, resume=resume)
    bus.drain()
    return dict(result_of(result))


@verb("deploy", Access.EDIT, "urgent")
def deploy(
    training: Training,
    serving: Serving,
    *,
    actor: str,
    model: str,
    version: Count = 0,
    reason: str = "deployed by hand",
) -> JsonObject:
    """Let a version (the newest by default) answer all requests at once, without a rollout."""
    number = version or training.newest(model)
    training.deploy(model, number, actor=actor, reason=reason)
    deployment = serving.deployment(model)
    return {"model": model, "version": number, "generation": deployment.generation if deployment else 0}


@verb("promote", Access.EDIT, "urgent")
def promote(
    training: Training,
    *,
    actor: str,
    model: str,
    version: Count = 0,
    reason: str = "promoted by hand",
    force: bool = False,
) -> JsonObject:
    """Start the rollout of a version (the newest by default)."""
    number = version or training.newest(model)
    begun = training.promote(model, number, actor=actor, reason=reason, force=force)
    return {"model": model} | dict(to_body(begun))


@verb("rollback", Access.EDIT, "urgent")
def rollback(
    tracking: Tracking,
    serving: Serving,
    training: Training,
    *,
    actor: str,
    model: str,
    to: Count = 0,
    reason: str = "rolled back by hand",
    alias: str = "",
    stage: str = "",
) -> JsonObject:
    """Let the version that served before (or `to`) answer again, and prove it. For a model that Hanok does not serve,
    or with `alias` or `stage`: put that alias or stage back to the version where it was before."""
    if stage:
        moved = tracking.registry_history.roll_back_stage(model, stage, to=to or None, actor=actor, reason=reason)
        return {
            "model": model,
            "node": moved.id,
            "stage": stage,
            "version": moved.version,
            "actor": actor,
            "reason": reason,
        }
    if alias or serving.deployment(model) is None:
        change = tracking.registry_history.roll_back(
            model, alias or CHAMPION, to=to or None, actor=actor, reason=reason
        )
        return {
            "model": model,
            "node": change.id,
            "alias": change.alias,
            "before": change.before,
            "version": change.after,
            "actor": actor,
            "reason": reason,
        }
    return dict(to_body(training.rollback(model, to=to or None, actor=actor, reason=reason)))


@verb("model.history", Access.READ, "read")
def history(tracking: Tracking, serving: Serving, *, actor: str, name: str) -> Sequence[JsonObject]:
    """Everything that happened to a model: registrations, moves of aliases and stages, deployments."""
    rows = [asdict(row) for row in tracking.registry_history.of(name)]
    deployments = serving.history(name)
    primaries = [d.primary for d in deployments]
    for newer, before in zip(deployments, [*primaries[1:], None], strict=False):
        facts = {"before": before, "after": newer.primary, "actor": newer.actor, "reason": newer.reason}
        rows.append({"at": newer.at, "what": f"deployment {newer.generation}", **facts})
    rows.sort(key=lambda row: row["at"], reverse=True)
    return [row | {"at": row["at"].isoformat()} for row in rows]


@verb("hindsight", Access.EDIT, "long")
def look_back(parts: Evidence, *, model: str, version: Count = 1) -> JsonObject:
    """What a version would have answered had it never been replaced, month by month beside what was answered."""
    return HINDSIGHT.body(hindsight(parts, model, version))


@verb("replay", Access.EDIT, "long")
def replay_version(
    parts: Evidence, *, model: str, version: Count, since: str = "7d", until: datetime | None = None
) -> JsonObject:
    """Score logged traffic with a version before it ships: what it would have answered otherwise, slice by slice, and
    how long it takes. `since` is a time back from now, like 7d, or an instant."""
    end = until or parts.clock.now()
    return TRAFFIC_REPLAY.body(replay(parts, model, version, _since(since, end), end))


def _since(text: str, end: datetime) -> datetime:
    try:
        return utc(datetime.fromisoformat(text))
    except ValueError:
        return end - duration(text)


@verb("predict.batch", Access.USE, "heavy", away="away_bulk")
def predict_batch(predicting: Predicting, bus: Bus, *, model: str, start: datetime, end: datetime) -> JsonObject:
    """Predict every row that is due in [start, end) in bulk, with features as they were known at each row's instant.
    Asked again, only rows that came since are answered; `answered_before` says how many were. `by_version` says which
    version answered which ids (of up to 10,000)."""
    ids, before = predicting.predict_due(model, start, end)
    bus.drain()
    return {
        "model": model,
        "predictions": len(ids),
        "answered_before": before,
        "first": ids[0] if ids else None,
        "last": ids[-1] if ids else None,
        "by_version": [to_body(part) for part in predicting.answered_by(model, start, end)],
    }


@verb("predict.reading", Access.USE, "read")
def reading_of(batching: Batching, *, model: str) -> JsonObject:
    """How text files with rows for a model are read where nobody says it: the words that mean no value (none: the usual
    ones), the encoding, and the columns that are numbers."""
    reading, numbers = batching.reading(model)
    nulls = None if reading.nulls is None else list(reading.nulls)
    return {"nulls": nulls, "encoding": reading.encoding, "numbers": numbers}


@verb("predict.begin", Access.USE, "read")
def begin_batch(
    batching: Batching,
    *,
    actor: str,
    model: str,
    source: str,
    digest: str = "",
    columns: Sequence[str] = (),
    version: Count = 0,
    keys: Mapping[str, str] | None = None,
    at: str = "",
    keep: Sequence[str] = (),
    piece_rows: Count = 0,
    out: str = "",
    rows: Count = 0,
) -> JsonObject:
    """Begin to answer a file (`digest` of its bytes, its `columns`) or a table (`source`, without a digest) in pieces,
    or go on with the same one; `rows` are those of the file, where it is known. Each piece is then PUT to
    /api/v1/predictions/MODEL/batches/ID/PLACE."""
    wanted = Wanted(
        source, digest, tuple(columns), version, dict(keys or {}), at, tuple(keep), min(piece_rows, PIECE_ROWS_MAX), out
    )
    return BATCH.body(batching.begin(model, wanted, actor, rows))


@verb("predict.finish", Access.USE, "heavy")
def finish_batch(
    serving: Serving, bus: Bus, *, model: str, batch: str, rows: Count, refused: Count = 0, failed: Count = 0
) -> JsonObject:
    """Say that all pieces of a batch are answered."""
    done = serving.batches.finish(serving.batches.get(model, batch), rows=rows, refused=refused, failed=failed)
    bus.drain()
    return BATCH.body(done)


@verb("predict", Access.USE, "urgent", away="away")
def predict(predicting: Predicting, *, model: str, match: Mapping[str, Cell], explain: bool = False) -> JsonObject:
    """Predict one entity, with its features read from the online store; `explain` says what each input did to it."""
    return dict(predicting.predict_entity(model, match, explain=explain))
