"""Evaluation datasets in the protocol: documents travel as JSON text inside the JSON body."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec

from hanok.core.clock import from_micros, micros
from hanok.core.errors import Invalid
from hanok.core.evaluation import EvaluationDataset, EvaluationRecord
from hanok.wire.mlflow.decode import invalid_value
from hanok.wire.mlflow.entities import Json, millis
from hanok.wire.mlflow.requests import Request, Required

Results = Annotated[int, msgspec.Meta(ge=1, le=50_000)]


class CreateDataset(Request, frozen=True, kw_only=True):
    name: Required
    experiment_ids: tuple[str, ...] = ()
    tags: str = ""


class DatasetId(Request, frozen=True, kw_only=True):
    dataset_id: Required


class SearchDatasets(Request, frozen=True, kw_only=True):
    experiment_ids: tuple[str, ...] = ()
    filter_string: str = ""
    max_results: Results = 1000
    order_by: tuple[str, ...] = ()
    page_token: str = ""


class SetTags(DatasetId, frozen=True, kw_only=True):
    tags: Required


class DeleteTag(DatasetId, frozen=True, kw_only=True):
    key: Required


class UpsertRecords(DatasetId, frozen=True, kw_only=True):
    records: Required

    @property
    def sent(self) -> list[Mapping[str, Any]]:
        """Raises Invalid."""
        found = _document("records", self.records)
        if not isinstance(found, list):
            raise invalid_value("records", self.records[:200], "a JSON list of records is needed")
        return found


class GetRecords(DatasetId, frozen=True, kw_only=True):
    max_results: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 1000
    page_token: str = ""

    @property
    def after(self) -> tuple[datetime, str] | None:
        """Raises Invalid for a token that is not ours."""
        if not self.page_token:
            return None
        try:
            created, _, record = base64.b64decode(self.page_token, validate=True).decode().partition(":")
            return from_micros(int(created)), record
        except (binascii.Error, ValueError, OverflowError):
            raise invalid_value("page_token", self.page_token, "it is not a token that this server gave out") from None


class DeleteRecords(DatasetId, frozen=True, kw_only=True):
    dataset_record_ids: tuple[str, ...]


class Experiments(DatasetId, frozen=True, kw_only=True):
    experiment_ids: tuple[str, ...]


def tags_of(text: str) -> dict[str, str]:
    """Tags from their JSON text; what is null is left out. Raises Invalid."""
    found = _document("tags", text) if text else {}
    if not isinstance(found, dict):
        raise invalid_value("tags", text[:200], "a JSON object of names and values is needed")
    return {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in found.items() if value is not None
    }


def token_after(record: EvaluationRecord) -> str:
    return base64.b64encode(f"{micros(record.created)}:{record.id}".encode()).decode()


def dataset(found: EvaluationDataset) -> Json:
    body: Json = {
        "dataset_id": found.id,
        "name": found.name,
        "digest": found.digest,
        "created_time": millis(found.created),
        "last_update_time": millis(found.updated),
        "tags": json.dumps(dict(found.tags)),
        "experiment_ids": list(found.experiment_ids),
    }
    if found.schema is not None:
        body |= {"schema": json.dumps(found.schema), "profile": json.dumps({"num_records": found.records})}
    if found.created_by:
        body["created_by"] = found.created_by
    return body | ({"last_updated_by": found.updated_by} if found.updated_by else {})


def records(dataset_id: str, found: list[EvaluationRecord]) -> str:
    return json.dumps([_record(dataset_id, record) for record in found])


def _record(dataset_id: str, found: EvaluationRecord) -> Json:
    body: Json = {
        "dataset_record_id": found.id,
        "dataset_id": dataset_id,
        "inputs": found.inputs,
        "created_time": millis(found.created),
        "last_update_time": millis(found.updated),
    }
    told = {name: getattr(found, name) for name in ("outputs", "expectations", "tags", "source", "created_by")}
    body |= {name: value for name, value in told.items() if value not in (None, "")}
    if found.source is not None and "source_type" in found.source:
        body["source_type"] = found.source["source_type"]
    return body | ({"last_updated_by": found.updated_by} if found.updated_by else {})


def _document(name: str, text: str) -> Any:
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise invalid_value(name, text[:200], f"JSON is needed: {error}") from None
    if "\\u0000" in text:
        raise Invalid(f"{name} hold a NUL character, which no name or value may have")
    return found
