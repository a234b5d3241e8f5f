"""The requests about experiments and runs, one Struct each. Field names are the protocol's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from hanok.core.tracking import ACTIVE, DELETED, Lifecycle

Required = Annotated[str, msgspec.Meta(min_length=1)]
ViewType = Literal["ACTIVE_ONLY", "DELETED_ONLY", "ALL"]
VIEWS: dict[ViewType, Sequence[Lifecycle]] = {
    "ACTIVE_ONLY": (ACTIVE,),
    "DELETED_ONLY": (DELETED,),
    "ALL": (ACTIVE, DELETED),
}
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
MaxRuns = Annotated[int, msgspec.Meta(ge=1, le=50_000)]


class Request(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Unknown fields are ignored, as the protocol demands."""


class Pair(Request, frozen=True, kw_only=True):
    key: Required
    value: str = ""


def pairs(items: Sequence[Pair]) -> dict[str, str]:
    return {item.key: item.value for item in items}


class Nothing(Request, frozen=True, kw_only=True):
    pass


class CreateExperiment(Request, frozen=True, kw_only=True):
    name: Required
    artifact_location: str = ""
    tags: tuple[Pair, ...] = ()


class ExperimentId(Request, frozen=True, kw_only=True):
    experiment_id: Required


class ExperimentName(Request, frozen=True, kw_only=True):
    experiment_name: Required


class UpdateExperiment(Request, frozen=True, kw_only=True):
    experiment_id: Required
    new_name: Required


class SearchExperiments(Request, frozen=True, kw_only=True):
    max_results: MaxRuns = 1000
    page_token: str = ""
    filter: str = ""
    order_by: tuple[str, ...] = ()
    view_type: ViewType = "ACTIVE_ONLY"


class SetExperimentTag(Request, frozen=True, kw_only=True):
    experiment_id: Required
    key: Required
    value: str = ""


class DeleteExperimentTag(Request, frozen=True, kw_only=True):
    experiment_id: Required
    key: Required


class CreateRun(Request, frozen=True, kw_only=True):
    experiment_id: str = ""
    user_id: str = ""
    run_name: str = ""
    start_time: Int64 = 0
    tags: tuple[Pair, ...] = ()


class RunId(Request, frozen=True, kw_only=True):
    """Old clients say run_uuid."""

    run_id: str = ""
    run_uuid: str = ""

    @property
    def run(self) -> str:
        return self.run_id or self.run_uuid


class UpdateRun(RunId, frozen=True, kw_only=True):
    status: str | None = None
    end_time: Int64 | None = None
    run_name: str | None = None


class LogMetric(RunId, frozen=True, kw_only=True):
    key: Required
    value: float
    timestamp: Int64
    step: Int64 = 0
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class LogParam(RunId, frozen=True, kw_only=True):
    key: Required
    value: str = ""


class SetTag(LogParam, frozen=True, kw_only=True):
    pass


class DeleteTag(RunId, frozen=True, kw_only=True):
    key: Required


class MetricPoint(Request, frozen=True, kw_only=True):
    key: Required
    value: float
    timestamp: Int64
    step: Int64 = 0
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class LogBatch(RunId, frozen=True, kw_only=True):
    metrics: Annotated[tuple[MetricPoint, ...], msgspec.Meta(max_length=1000)] = ()
    params: Annotated[tuple[Pair, ...], msgspec.Meta(max_length=100)] = ()
    tags: Annotated[tuple[Pair, ...], msgspec.Meta(max_length=100)] = ()


class LogModel(RunId, frozen=True, kw_only=True):
    model_json: Required


class WireDataset(Request, frozen=True, kw_only=True):
    name: Required
    digest: Required
    source_type: Required
    source: Required
    schema: str = ""
    profile: str = ""


class WireDatasetInput(Request, frozen=True, kw_only=True):
    dataset: WireDataset
    tags: tuple[Pair, ...] = ()


class WireModel(Request, frozen=True, kw_only=True):
    model_id: Required
    step: Int64 = 0


class LogInputs(RunId, frozen=True, kw_only=True):
    datasets: tuple[WireDatasetInput, ...] = ()
    models: tuple[WireModel, ...] = ()


class LogOutputs(RunId, frozen=True, kw_only=True):
    models: tuple[WireModel, ...] = ()


class SearchRuns(Request, frozen=True, kw_only=True):
    experiment_ids: tuple[str, ...] = ()
    filter: str = ""
    run_view_type: ViewType = "ACTIVE_ONLY"
    max_results: MaxRuns = 1000
    order_by: tuple[str, ...] = ()
    page_token: str = ""


class GetHistory(RunId, frozen=True, kw_only=True):
    metric_key: Required
    page_token: str = ""
    max_results: Annotated[int, msgspec.Meta(ge=1)] | None = None


class ListArtifacts(RunId, frozen=True, kw_only=True):
    path: str = ""
    page_token: str = ""
