"""Verbs of models: train, deploy, predict, promote, roll back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from hanok.core.access import Access
from hanok.core.clock import utc
from hanok.core.errors import Invalid
from hanok.core.records import to_body
from hanok.core.registry import CHAMPION
from hanok.core.training import result_of
from hanok.engine.hindsight import hindsight
from hanok.engine.verbs.registry import verb


@verb("train", Access.EDIT)
def train(app: Any, actor: str, *, model: str, reason: str = "on request", promote: bool = True) -> dict[str, Any]:
    """Train, judge and register a new version; one that passes its gate starts its rollout."""
    app.bus.drain()
    result = app.training.train(model, reason=reason, actor=actor, promote=promote)
    app.bus.drain()
    return dict(result_of(result))


@verb("deploy", Access.EDIT)
def deploy(app: Any, actor: str, *, model: str, version: int = 0, reason: str = "deployed by hand") -> dict[str, Any]:
    """Let a version (the newest by default) answer all requests at once, without a rollout."""
    number = version or app.training.newest(model)
    app.training.deploy(model, number, actor=actor, reason=reason)
    deployment = app.serving.deployment(model)
    return {"model": model, "version": number, "generation": deployment.generation}


@verb("promote", Access.EDIT)
def promote(
    app: Any, actor: str, *, model: str, version: int = 0, reason: str = "promoted by hand", force: bool = False
) -> dict[str, Any]:
    """Start the rollout of a version (the newest by default)."""
    number = version or app.training.newest(model)
    begun = app.training.promote(model, number, actor=actor, reason=reason, force=force)
    return {"model": model} | dict(to_body(begun))


@verb("rollback", Access.EDIT)
def rollback(
    app: Any,
    actor: str,
    *,
    model: str,
    to: int = 0,
    reason: str = "rolled back by hand",
    alias: str = "",
    stage: str = "",
) -> dict[str, Any]:
    """Let the version that served before (or `to`) answer again, and prove it. For a model that Hanok does not serve,
    or with `alias` or `stage`: put that alias or stage back to the version where it was before."""
    if stage:
        moved = app.tracking.registry_history.roll_back_stage(model, stage, to=to or None, actor=actor, reason=reason)
        return {
            "model": model,
            "node": moved.id,
            "stage": stage,
            "version": moved.version,
            "actor": actor,
            "reason": reason,
        }
    if alias or app.serving.deployment(model) is None:
        change = app.tracking.registry_history.roll_back(
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
    return dict(to_body(app.training.rollback(model, to=to or None, actor=actor, reason=reason)))


@verb("model.history", Access.READ)
def history(app: Any, actor: str, *, name: str) -> list[dict[str, Any]]:
    """Everything that happened to a model: registrations, moves of aliases and stages, deployments."""
    rows = [dict(row) for row in app.tracking.registry_history.of(name)]
    deployments = app.serving.history(name)
    primaries = [d.primary for d in deployments]
    for newer, before in zip(deployments, [*primaries[1:], None], strict=False):
        facts = {"before": before, "after": newer.primary, "actor": newer.actor, "reason": newer.reason}
        rows.append({"at": newer.at, "what": f"deployment {newer.generation}", **facts})
    rows.sort(key=lambda row: row["at"], reverse=True)
    return [row | {"at": row["at"].isoformat()} for row in rows]


@verb("hindsight", Access.EDIT)
def look_back(app: Any, actor: str, *, model: str, version: int = 1) -> dict[str, Any]:
    """What a version would have answered had it never been replaced, month by month beside what was answered."""
    return hindsight(app, model, version)


@verb("predict.batch", Access.USE)
def predict_batch(app: Any, actor: str, *, model: str, start: str, end: str) -> dict[str, Any]:
    """Predict every row that is due in [start, end) in bulk, with features as they were known at each row's instant."""
    try:
        first, last = (utc(datetime.fromisoformat(t)) for t in (start, end))
    except ValueError as error:
        raise Invalid(f"not an instant: {error}; write it like 2013-12-31 or 2013-12-31T14:00") from None
    ids = app.predicting.predict_window(model, first, last, key=f"batch {first.isoformat()} {last.isoformat()}")
    app.bus.drain()
    return {"model": model, "predictions": len(ids), "first": ids[0] if ids else None, "last": ids[-1] if ids else None}


@verb("predict", Access.USE)
def predict(app: Any, actor: str, *, model: str, match: Mapping[str, Any]) -> dict[str, Any]:
    """Predict one entity, with its features read from the online store."""
    return dict(app.predicting.predict_entity(model, match))
