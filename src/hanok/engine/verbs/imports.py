"""The verb that brings another store over."""

from __future__ import annotations

from pathlib import Path

from hanok.core.access import Access
from hanok.core.json import JsonObject
from hanok.engine.mlflow_import import import_mlflow, source_of
from hanok.engine.verbs.registry import verb
from hanok.parts.access import GuardedMetadata
from hanok.parts.tracking.service import Tracking


@verb("import.mlflow", Access.OWN, "long", on_this_machine=True)
def bring_mlflow(
    metadata: GuardedMetadata,
    tracking: Tracking,
    *,
    actor: str,
    uri: str,
    artifacts: Path | None = None,
    token: str = "",
) -> JsonObject:
    """Bring an MLflow store over: experiments, runs, artifacts, models; what is there already stays."""
    source = source_of(uri, artifacts=artifacts, token=token)
    return import_mlflow(metadata, tracking, source, uri, actor=actor).as_dict()
