"""The leaderboard of an AutoML search, as the training's durable step has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hanok.core.errors import HanokError
from hanok.core.json import JsonObject
from hanok.core.tracking import Run
from hanok.parts.access import GuardedMetadata
from hanok.parts.tracking.service import Tracking


def leaderboard_of(tracking: Tracking, metadata: GuardedMetadata, run: Run) -> Sequence[JsonObject]:
    """What was chosen first, then the candidates, best first; empty for a run that is no training."""
    model = run.tags.get("hanok.model", "")
    try:
        versions = tracking.registry.versions(model) if model else []
    except HanokError:  # the model was deleted since; its run stays readable
        return ()
    workflow = next((v.facts.get("workflow") for v in versions if v.run_id == run.id), None)
    if not isinstance(workflow, str) or not workflow:
        return ()
    steps = metadata.read(lambda r: r.workflows.steps(workflow))
    board = next((s.result.get("leaderboard", ()) for s in steps if s.name == "search"), ())
    return [dict(line) for line in board if isinstance(line, Mapping)] if isinstance(board, Sequence) else ()
