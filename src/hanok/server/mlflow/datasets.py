"""datasets/*: evaluation datasets."""

from __future__ import annotations

from hanok.core.evaluation import EvaluationQuery
from hanok.server.mlflow.endpoint import Call, Json, edit, read
from hanok.wire.mlflow import datasets as ask
from hanok.wire.mlflow.search import DATASETS, parse_filter, parse_order
from hanok.wire.mlflow.tokens import offset_of, offset_token


def create(call: Call, asked: ask.CreateDataset) -> Json:
    made = call.tracking.evaluation.create(
        asked.name, experiment_ids=asked.experiment_ids, tags=ask.tags_of(asked.tags)
    )
    return {"dataset": ask.dataset(made)}


def get(call: Call, asked: ask.DatasetId) -> Json:
    return {"dataset": ask.dataset(call.tracking.evaluation.get(asked.dataset_id))}


def delete(call: Call, asked: ask.DatasetId) -> Json:
    call.tracking.evaluation.delete(asked.dataset_id)
    return {}


def search(call: Call, asked: ask.SearchDatasets) -> Json:
    page = call.tracking.evaluation.search(
        EvaluationQuery(
            asked.experiment_ids,
            parse_filter(asked.filter_string, DATASETS),
            parse_order(asked.order_by, DATASETS),
            asked.max_results,
            offset_of(asked.page_token),
        )
    )
    body: Json = {"datasets": [ask.dataset(found) for found in page.items]}
    return body if page.next_offset is None else body | {"next_page_token": offset_token(page.next_offset)}


def set_tags(call: Call, asked: ask.SetTags) -> Json:
    return {"dataset": ask.dataset(call.tracking.evaluation.set_tags(asked.dataset_id, ask.tags_of(asked.tags)))}


def delete_tag(call: Call, asked: ask.DeleteTag) -> Json:
    call.tracking.evaluation.delete_tag(asked.dataset_id, asked.key)
    return {}


def upsert_records(call: Call, asked: ask.UpsertRecords) -> Json:
    new, changed = call.tracking.evaluation.merge_records(asked.dataset_id, asked.sent)
    return {"inserted_count": new, "updated_count": changed}


def get_records(call: Call, asked: ask.GetRecords) -> Json:
    found, more = call.tracking.evaluation.records(asked.dataset_id, after=asked.after, limit=asked.max_results or 1000)
    body: Json = {"records": ask.records(asked.dataset_id, found)}
    return body | {"next_page_token": ask.token_after(found[-1])} if more else body


def delete_records(call: Call, asked: ask.DeleteRecords) -> Json:
    return {"deleted_count": call.tracking.evaluation.delete_records(asked.dataset_id, asked.dataset_record_ids)}


def experiment_ids(call: Call, asked: ask.DatasetId) -> Json:
    return {"experiment_ids": list(call.tracking.evaluation.get(asked.dataset_id).experiment_ids)}


def add_experiments(call: Call, asked: ask.Experiments) -> Json:
    return {"dataset": ask.dataset(call.tracking.evaluation.add_to(asked.dataset_id, asked.experiment_ids))}


def remove_experiments(call: Call, asked: ask.Experiments) -> Json:
    return {"dataset": ask.dataset(call.tracking.evaluation.remove_from(asked.dataset_id, asked.experiment_ids))}


ENDPOINTS = (
    edit("/datasets/create", ask.CreateDataset, create),
    read("/datasets/search", ask.SearchDatasets, search, "POST"),
    read("/datasets/search", ask.SearchDatasets, search),
    read("/datasets/{dataset_id}", ask.DatasetId, get),
    edit("/datasets/{dataset_id}", ask.DatasetId, delete, "DELETE"),
    edit("/datasets/{dataset_id}/tags", ask.SetTags, set_tags, "PATCH"),
    edit("/datasets/{dataset_id}/tags/{key:path}", ask.DeleteTag, delete_tag, "DELETE"),
    read("/datasets/{dataset_id}/records", ask.GetRecords, get_records),
    edit("/datasets/{dataset_id}/records", ask.UpsertRecords, upsert_records),
    edit("/datasets/{dataset_id}/records", ask.DeleteRecords, delete_records, "DELETE"),
    read("/datasets/{dataset_id}/experiment-ids", ask.DatasetId, experiment_ids),
    edit("/datasets/{dataset_id}/add-experiments", ask.Experiments, add_experiments),
    edit("/datasets/{dataset_id}/remove-experiments", ask.Experiments, remove_experiments),
)
