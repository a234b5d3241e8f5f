"""logged-models/*"""

from __future__ import annotations

from hanok.core.tracking import Order
from hanok.server.mlflow.endpoint import Call, Json, edit, read
from hanok.wire.mlflow import entities
from hanok.wire.mlflow import requests_models as ask
from hanok.wire.mlflow.decode import invalid_value
from hanok.wire.mlflow.requests import pairs
from hanok.wire.mlflow.search import parse_filter, parse_order
from hanok.wire.mlflow.tokens import offset_of, offset_token


def create(call: Call, asked: ask.CreateLoggedModel) -> Json:
    made = call.tracking.logged_models.create(
        asked.experiment_id,
        name=asked.name,
        model_type=asked.model_type,
        source_run_id=asked.source_run_id,
        params=pairs(asked.params),
        tags=pairs(asked.tags),
    )
    return {"model": entities.logged_model(made)}


def get(call: Call, asked: ask.ModelId) -> Json:
    return {"model": entities.logged_model(call.tracking.logged_models.get(asked.model_id))}


def finalize(call: Call, asked: ask.FinalizeLoggedModel) -> Json:
    status = asked.status.removeprefix("LOGGED_MODEL_")
    if status == "STATUS_UNSPECIFIED":
        raise invalid_value("status", asked.status, "READY or UPLOAD_FAILED is needed")
    return {"model": entities.logged_model(call.tracking.logged_models.finalize(asked.model_id, status))}


def delete(call: Call, asked: ask.ModelId) -> Json:
    call.tracking.logged_models.delete(asked.model_id)
    return {}


def set_tags(call: Call, asked: ask.SetLoggedModelTags) -> Json:
    return {"model": entities.logged_model(call.tracking.logged_models.set_tags(asked.model_id, pairs(asked.tags)))}


def delete_tag(call: Call, asked: ask.DeleteLoggedModelTag) -> Json:
    call.tracking.logged_models.delete_tag(asked.model_id, asked.tag_key)
    return {}


def log_params(call: Call, asked: ask.LogLoggedModelParams) -> Json:
    call.tracking.logged_models.add_params(asked.model_id, pairs(asked.params))
    return {}


def search(call: Call, asked: ask.SearchLoggedModels) -> Json:
    page = call.tracking.logged_models.search(
        asked.experiment_ids,
        parse_filter(asked.filter),
        datasets=[(data.dataset_name, data.dataset_digest) for data in asked.datasets],
        order=[_order(term) for term in asked.order_by],
        limit=asked.max_results,
        offset=offset_of(asked.page_token),
    )
    return {
        "models": [entities.logged_model(found) for found in page.items],
        "next_page_token": offset_token(page.next_offset),
    }


def list_artifacts(call: Call, asked: ask.ListLoggedModelArtifacts) -> Json:
    model = call.tracking.logged_models.get(asked.model_id)
    found = call.tracking.artifacts.children_under(model.artifact_uri, asked.artifact_directory_path)
    return {"root_uri": model.artifact_uri, "files": entities.files(found)}


def _order(term: ask.ModelOrder) -> Order:
    key = parse_order([term.field_name])[0]
    return Order(key.subject, key.key, term.ascending, term.dataset_name, term.dataset_digest)


ENDPOINTS = (
    edit("/logged-models", ask.CreateLoggedModel, create),
    read("/logged-models/search", ask.SearchLoggedModels, search, "POST"),
    read("/logged-models/{model_id}", ask.ModelId, get),
    edit("/logged-models/{model_id}", ask.FinalizeLoggedModel, finalize, "PATCH"),
    edit("/logged-models/{model_id}", ask.ModelId, delete, "DELETE"),
    edit("/logged-models/{model_id}/tags", ask.SetLoggedModelTags, set_tags, "PATCH"),
    edit("/logged-models/{model_id}/tags/{tag_key:path}", ask.DeleteLoggedModelTag, delete_tag, "DELETE"),
    edit("/logged-models/{model_id}/params", ask.LogLoggedModelParams, log_params),
    read("/logged-models/{model_id}/artifacts/directories", ask.ListLoggedModelArtifacts, list_artifacts),
)
