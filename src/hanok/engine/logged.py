"""How a model that a run logged becomes a version of a registered model."""

from __future__ import annotations

from collections.abc import Sequence

from hanok.core.errors import ArtifactNotFound
from hanok.core.json import JsonObject
from hanok.core.registry import ModelVersion
from hanok.parts.tracking.artifacts import in_tree
from hanok.parts.tracking.service import Tracking

PACKAGE_FILE = "package.json"


def register_logged(
    tracking: Tracking,
    name: str,
    model_id: str,
    *,
    run: str,
    package: str,
    actor: str,
    facts: JsonObject | None = None,
    read: Sequence[str] = (),
    description: str = "",
) -> ModelVersion:
    """A version of a logged model, with the metrics of its run; the one that is there when this is a repetition."""
    registry = tracking.registry
    registry.ensure_model(name)
    for version in registry.versions(name):
        if version.facts.get("logged_model_id") == model_id:
            return version
    latest = tracking.runs.get(run).latest
    return registry.register(
        name,
        source=f"models:/{model_id}",
        run_id=run,
        package=package,
        logged_model_id=model_id,
        facts={**(facts or {}), "metrics": {k: v for k, v in latest.items() if not k.startswith("system/")}},
        description=description,
        read=read,
        actor=actor,
    )


def package_of(tracking: Tracking, artifact_uri: str) -> str:
    """The digest of a logged model's servable package; "" for a model that has none."""
    try:
        return tracking.artifacts.get(f"{in_tree(artifact_uri)}/{PACKAGE_FILE}").digest
    except ArtifactNotFound:
        return ""
