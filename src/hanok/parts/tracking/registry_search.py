"""What registered models and their versions can be searched by."""

from __future__ import annotations

from hanok.core.clock import micros
from hanok.core.registry import ModelVersion, RegisteredModel
from hanok.core.tracking import Comparison, Order
from hanok.parts.tracking.matching import Value, unknown


def model_value(model: RegisteredModel, wanted: Comparison | Order) -> Value:
    if wanted.subject == "tag":
        return model.tags.get(wanted.key)
    values: dict[str, Value] = {
        "name": model.name,
        "creation_timestamp": micros(model.created) // 1000,
        "last_updated_timestamp": micros(model.updated) // 1000,
        "timestamp": micros(model.updated) // 1000,
    }
    if wanted.subject != "attribute" or wanted.key not in values:
        raise unknown("registered models", wanted)
    return values[wanted.key]


def version_value(version: ModelVersion, wanted: Comparison | Order) -> Value:
    if wanted.subject == "tag":
        return version.tags.get(wanted.key)
    values: dict[str, Value] = {
        "name": version.model,
        "version": version.version,
        "version_number": version.version,
        "run_id": version.run_id,
        "source": version.source,
        "source_path": version.source,
        "model_id": str(version.facts.get("logged_model_id", "")),
        "status": version.status,
        "current_stage": version.stage,
        "creation_timestamp": micros(version.created) // 1000,
        "last_updated_timestamp": micros(version.updated or version.created) // 1000,
    }
    if wanted.subject != "attribute" or wanted.key not in values:
        raise unknown("model versions", wanted)
    return values[wanted.key]
