"""registered-models/* and model-versions/*"""

from __future__ import annotations

from hanok.core.registry import RegisteredModel
from hanok.server.mlflow.endpoint import Call, Json, edit, read
from hanok.wire.mlflow import entities
from hanok.wire.mlflow import requests_models as ask
from hanok.wire.mlflow.prompts import without_prompts
from hanok.wire.mlflow.requests import pairs
from hanok.wire.mlflow.search import parse_filter, parse_order
from hanok.wire.mlflow.sources import check_source, local_path
from hanok.wire.mlflow.tokens import offset_of, offset_token

REASON_TAG = "hanok.reason"


def create_model(call: Call, asked: ask.CreateRegisteredModel) -> Json:
    tags = pairs(asked.tags)
    made = call.tracking.registry.create_model(asked.name, description=asked.description, tags=tags)
    return {"registered_model": entities.registered_model(made)}


def get_model(call: Call, asked: ask.ModelName) -> Json:
    return {"registered_model": _with_latest(call, call.tracking.registry.model(asked.name))}


def rename_model(call: Call, asked: ask.RenameRegisteredModel) -> Json:
    return {"registered_model": _with_latest(call, call.tracking.registry.rename_model(asked.name, asked.new_name))}


def update_model(call: Call, asked: ask.UpdateRegisteredModel) -> Json:
    changed = call.tracking.registry.describe_model(asked.name, asked.description)
    return {"registered_model": _with_latest(call, changed)}


def delete_model(call: Call, asked: ask.ModelName) -> Json:
    call.tracking.registry.delete_model(asked.name)
    return {}


def search_models(call: Call, asked: ask.SearchRegisteredModels) -> Json:
    page = call.tracking.registry.search_models(
        without_prompts(parse_filter(asked.filter)),
        order=parse_order(asked.order_by),
        limit=asked.max_results,
        offset=offset_of(asked.page_token),
    )
    return {
        "registered_models": [_with_latest(call, found) for found in page.items],
        "next_page_token": offset_token(page.next_offset),
    }


def latest_versions(call: Call, asked: ask.GetLatestVersions) -> Json:
    found = call.tracking.registry.latest_versions(asked.name, asked.stages)
    return {"model_versions": [entities.model_version(version) for version in found]}


def set_model_tag(call: Call, asked: ask.SetModelTag) -> Json:
    call.tracking.registry.set_model_tag(asked.name, asked.key, asked.value)
    return {}


def delete_model_tag(call: Call, asked: ask.DeleteModelTag) -> Json:
    call.tracking.registry.delete_model_tag(asked.name, asked.key)
    return {}


def set_alias(call: Call, asked: ask.SetAlias) -> Json:
    call.tracking.registry.move_alias(
        asked.name,
        asked.alias,
        asked.version,
        actor=call.actor.name,
        reason=_reason(call, asked.name, asked.version) or "set by an MLflow client",
    )
    return {}


def delete_alias(call: Call, asked: ask.AliasOfModel) -> Json:
    call.tracking.registry.move_alias(
        asked.name, asked.alias, None, actor=call.actor.name, reason=call.reason or "deleted by an MLflow client"
    )
    return {}


def version_at_alias(call: Call, asked: ask.AliasOfModel) -> Json:
    return {"model_version": entities.model_version(call.tracking.registry.version_at(asked.name, asked.alias))}


def create_version(call: Call, asked: ask.CreateModelVersion) -> Json:
    _check_source(call, asked)
    made = call.tracking.registry.register(
        asked.name,
        source=asked.source,
        run_id=asked.run_id,
        description=asked.description,
        tags=pairs(asked.tags),
        facts={"run_link": asked.run_link},
        logged_model_id=asked.model_id,
        actor=call.actor.name,
    )
    return {"model_version": entities.model_version(made)}


def get_version(call: Call, asked: ask.ModelVersionId) -> Json:
    return {"model_version": entities.model_version(call.tracking.registry.version(asked.name, asked.version))}


def update_version(call: Call, asked: ask.UpdateModelVersion) -> Json:
    changed = call.tracking.registry.describe_version(asked.name, asked.version, asked.description)
    return {"model_version": entities.model_version(changed)}


def transition_stage(call: Call, asked: ask.TransitionStage) -> Json:
    moved = call.tracking.registry.move_to_stage(
        asked.name,
        asked.version,
        asked.stage,
        archive_others=asked.archive_existing_versions,
        actor=call.actor.name,
        reason=_reason(call, asked.name, asked.version),
    )
    return {"model_version": entities.model_version(moved)}


def delete_version(call: Call, asked: ask.ModelVersionId) -> Json:
    call.tracking.registry.delete_version(asked.name, asked.version, actor=call.actor.name)
    return {}


def search_versions(call: Call, asked: ask.SearchModelVersions) -> Json:
    page = call.tracking.registry.search_versions(
        without_prompts(parse_filter(asked.filter)),
        order=parse_order(asked.order_by),
        limit=asked.max_results,
        offset=offset_of(asked.page_token),
    )
    return {
        "model_versions": [entities.model_version(found) for found in page.items],
        "next_page_token": offset_token(page.next_offset),
    }


def download_uri(call: Call, asked: ask.ModelVersionId) -> Json:
    return {"artifact_uri": call.tracking.registry.download_uri(asked.name, asked.version)}


def set_version_tag(call: Call, asked: ask.SetVersionTag) -> Json:
    call.tracking.registry.set_version_tag(asked.name, asked.version, asked.key, asked.value)
    return {}


def delete_version_tag(call: Call, asked: ask.DeleteVersionTag) -> Json:
    call.tracking.registry.delete_version_tag(asked.name, asked.version, asked.key)
    return {}


def _reason(call: Call, model: str, version: int) -> str:
    """Why it moves: from the request's header, else from a tag that the version was given before."""
    return call.reason or call.tracking.registry.version(model, version).tags.get(REASON_TAG, "")


def _check_source(call: Call, asked: ask.CreateModelVersion) -> None:
    """A source must not climb, and a path on some machine's disk must lie inside its run's or model's artifacts."""
    roots: list[str] = []
    if local_path(asked.source) is not None:
        roots += [call.tracking.runs.get(asked.run_id).artifact_uri] if asked.run_id else []
        roots += [call.tracking.logged_models.get(asked.model_id).artifact_uri] if asked.model_id else []
    check_source(asked.source, roots)


def _with_latest(call: Call, model: RegisteredModel) -> Json:
    return entities.registered_model(model, call.tracking.registry.latest_versions(model.name))


ENDPOINTS = (
    edit("/registered-models/create", ask.CreateRegisteredModel, create_model),
    read("/registered-models/get", ask.ModelName, get_model),
    edit("/registered-models/rename", ask.RenameRegisteredModel, rename_model),
    edit("/registered-models/update", ask.UpdateRegisteredModel, update_model, "PATCH"),
    edit("/registered-models/delete", ask.ModelName, delete_model, "DELETE"),
    read("/registered-models/search", ask.SearchRegisteredModels, search_models),
    read("/registered-models/get-latest-versions", ask.GetLatestVersions, latest_versions),
    read("/registered-models/get-latest-versions", ask.GetLatestVersions, latest_versions, "POST"),
    edit("/registered-models/set-tag", ask.SetModelTag, set_model_tag),
    edit("/registered-models/delete-tag", ask.DeleteModelTag, delete_model_tag, "DELETE"),
    edit("/registered-models/alias", ask.SetAlias, set_alias),
    edit("/registered-models/alias", ask.AliasOfModel, delete_alias, "DELETE"),
    read("/registered-models/alias", ask.AliasOfModel, version_at_alias),
    edit("/model-versions/create", ask.CreateModelVersion, create_version),
    read("/model-versions/get", ask.ModelVersionId, get_version),
    edit("/model-versions/update", ask.UpdateModelVersion, update_version, "PATCH"),
    edit("/model-versions/transition-stage", ask.TransitionStage, transition_stage),
    edit("/model-versions/delete", ask.ModelVersionId, delete_version, "DELETE"),
    read("/model-versions/search", ask.SearchModelVersions, search_versions),
    read("/model-versions/get-download-uri", ask.ModelVersionId, download_uri),
    edit("/model-versions/set-tag", ask.SetVersionTag, set_version_tag),
    edit("/model-versions/delete-tag", ask.DeleteVersionTag, delete_version_tag, "DELETE"),
)
