"""experiments/*"""

from __future__ import annotations

from hanok.server.mlflow.endpoint import Call, Json, edit, read
from hanok.wire.mlflow import entities
from hanok.wire.mlflow import requests as ask
from hanok.wire.mlflow.search import parse_filter, parse_order
from hanok.wire.mlflow.tokens import offset_of, offset_token


def create(call: Call, asked: ask.CreateExperiment) -> Json:
    made = call.tracking.experiments.create(
        asked.name, location=asked.artifact_location.rstrip("/"), tags=ask.pairs(asked.tags)
    )
    return {"experiment_id": made.id}


def get(call: Call, asked: ask.ExperimentId) -> Json:
    return {"experiment": entities.experiment(call.tracking.experiments.get(asked.experiment_id))}


def get_by_name(call: Call, asked: ask.ExperimentName) -> Json:
    return {"experiment": entities.experiment(call.tracking.experiments.named(asked.experiment_name))}


def delete(call: Call, asked: ask.ExperimentId) -> Json:
    call.tracking.experiments.delete(asked.experiment_id)
    return {}


def restore(call: Call, asked: ask.ExperimentId) -> Json:
    call.tracking.experiments.restore(asked.experiment_id)
    return {}


def update(call: Call, asked: ask.UpdateExperiment) -> Json:
    call.tracking.experiments.rename(asked.experiment_id, asked.new_name)
    return {}


def set_tag(call: Call, asked: ask.SetExperimentTag) -> Json:
    call.tracking.experiments.set_tag(asked.experiment_id, asked.key, asked.value)
    return {}


def delete_tag(call: Call, asked: ask.DeleteExperimentTag) -> Json:
    call.tracking.experiments.delete_tag(asked.experiment_id, asked.key)
    return {}


def search(call: Call, asked: ask.SearchExperiments) -> Json:
    page = call.tracking.experiments.search(
        parse_filter(asked.filter),
        order=parse_order(asked.order_by),
        lifecycles=ask.VIEWS[asked.view_type],
        limit=asked.max_results,
        offset=offset_of(asked.page_token),
    )
    body: Json = {"experiments": [entities.experiment(found) for found in page.items]}
    return body if page.next_offset is None else body | {"next_page_token": offset_token(page.next_offset)}


ENDPOINTS = (
    edit("/experiments/create", ask.CreateExperiment, create),
    read("/experiments/get", ask.ExperimentId, get),
    read("/experiments/get-by-name", ask.ExperimentName, get_by_name),
    edit("/experiments/delete", ask.ExperimentId, delete),
    edit("/experiments/restore", ask.ExperimentId, restore),
    edit("/experiments/update", ask.UpdateExperiment, update),
    edit("/experiments/set-experiment-tag", ask.SetExperimentTag, set_tag),
    edit("/experiments/delete-experiment-tag", ask.DeleteExperimentTag, delete_tag),
    read("/experiments/search", ask.SearchExperiments, search, "POST"),
    read("/experiments/search", ask.SearchExperiments, search),
)
