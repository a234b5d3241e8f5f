"""The requests about logged models, registered models and their versions."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from hanok.wire.mlflow.requests import Pair, Request, Required

LoggedModelStatus = Literal[
    "LOGGED_MODEL_STATUS_UNSPECIFIED", "LOGGED_MODEL_PENDING", "LOGGED_MODEL_READY", "LOGGED_MODEL_UPLOAD_FAILED"
]
Version = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class CreateLoggedModel(Request, frozen=True, kw_only=True):
    experiment_id: Required
    name: str = ""
    model_type: str = ""
    source_run_id: str = ""
    params: tuple[Pair, ...] = ()
    tags: tuple[Pair, ...] = ()


class ModelId(Request, frozen=True, kw_only=True):
    model_id: Required


class FinalizeLoggedModel(ModelId, frozen=True, kw_only=True):
    status: LoggedModelStatus


class SetLoggedModelTags(ModelId, frozen=True, kw_only=True):
    tags: tuple[Pair, ...] = ()


class LogLoggedModelParams(ModelId, frozen=True, kw_only=True):
    params: tuple[Pair, ...] = ()


class DeleteLoggedModelTag(ModelId, frozen=True, kw_only=True):
    tag_key: Required


class ListLoggedModelArtifacts(ModelId, frozen=True, kw_only=True):
    artifact_directory_path: str = ""


class ModelOrder(Request, frozen=True, kw_only=True):
    field_name: Required
    ascending: bool = True
    dataset_name: str = ""
    dataset_digest: str = ""


class MeasuredOn(Request, frozen=True, kw_only=True):
    dataset_name: Required
    dataset_digest: str = ""


class SearchLoggedModels(Request, frozen=True, kw_only=True):
    experiment_ids: tuple[str, ...] = ()
    filter: str = ""
    max_results: Annotated[int, msgspec.Meta(ge=1, le=5000)] = 100
    datasets: tuple[MeasuredOn, ...] = ()
    order_by: tuple[ModelOrder, ...] = ()
    page_token: str = ""


class CreateRegisteredModel(Request, frozen=True, kw_only=True):
    name: Required
    tags: tuple[Pair, ...] = ()
    description: str = ""


class ModelName(Request, frozen=True, kw_only=True):
    name: Required


class RenameRegisteredModel(ModelName, frozen=True, kw_only=True):
    new_name: Required


class UpdateRegisteredModel(ModelName, frozen=True, kw_only=True):
    description: str = ""


class SearchRegisteredModels(Request, frozen=True, kw_only=True):
    filter: str = ""
    max_results: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    order_by: tuple[str, ...] = ()
    page_token: str = ""


class GetLatestVersions(ModelName, frozen=True, kw_only=True):
    stages: tuple[str, ...] = ()


class CreateModelVersion(ModelName, frozen=True, kw_only=True):
    source: Required
    run_id: str = ""
    tags: tuple[Pair, ...] = ()
    run_link: str = ""
    description: str = ""
    model_id: str = ""


class ModelVersionId(ModelName, frozen=True, kw_only=True):
    version: Version


class UpdateModelVersion(ModelVersionId, frozen=True, kw_only=True):
    description: str = ""


class TransitionStage(ModelVersionId, frozen=True, kw_only=True):
    stage: Required
    archive_existing_versions: bool = False


class SearchModelVersions(Request, frozen=True, kw_only=True):
    filter: str = ""
    max_results: Annotated[int, msgspec.Meta(ge=1, le=200_000)] = 10_000
    order_by: tuple[str, ...] = ()
    page_token: str = ""


class SetModelTag(ModelName, frozen=True, kw_only=True):
    key: Required
    value: str = ""


class DeleteModelTag(ModelName, frozen=True, kw_only=True):
    key: Required


class SetVersionTag(ModelVersionId, frozen=True, kw_only=True):
    key: Required
    value: str = ""


class DeleteVersionTag(ModelVersionId, frozen=True, kw_only=True):
    key: Required


class SetAlias(ModelVersionId, frozen=True, kw_only=True):
    alias: Required


class AliasOfModel(ModelName, frozen=True, kw_only=True):
    alias: Required
