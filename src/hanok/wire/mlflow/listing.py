"""Long answers: pages of runs and histories, from rows to JSON bytes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from hanok.core.tracking import PointRow, RunListing, RunRow
from hanok.wire.mlflow.entities import Json, dataset_input, number

_NONE = "[]"


def runs(found: RunListing, token: str) -> bytes:
    """The body of runs/search."""
    return orjson.dumps({"runs": [_run(found, row) for row in found.rows], "next_page_token": token})


def history(key: str, rows: Sequence[PointRow], token: str | None = None) -> bytes:
    """The body of metrics/get-history."""
    values: list[Any] = [row[2] for row in rows]
    if None in values or not math.isfinite(sum(values)):
        values = [number(math.nan if value is None else value) for value in values]
    body: Json = {
        "metrics": [
            {"key": key, "value": value, "timestamp": row[1], "step": row[0]}
            for row, value in zip(rows, values, strict=True)
        ]
    }
    return orjson.dumps(body if token is None else body | {"next_page_token": token})


def _run(found: RunListing, row: RunRow) -> Json:
    key = row.key
    info: Json = {
        "run_id": row.id,
        "run_uuid": row.id,
        "run_name": row.name,
        "experiment_id": str(row.experiment),
        "user_id": row.user,
        "status": row.status,
        "start_time": row.started_us // 1000,
        "artifact_uri": row.artifact_uri,
        "lifecycle_stage": row.lifecycle,
    }
    if row.ended_us is not None:
        info["end_time"] = row.ended_us // 1000
    return {
        "info": info,
        "data": {
            "metrics": _points(found.metrics.get(key, ())),
            "params": orjson.Fragment(found.params.get(key, _NONE)),
            "tags": orjson.Fragment(found.tags.get(key, _NONE)),
        },
        "inputs": {
            "dataset_inputs": [dataset_input(used) for used in found.datasets.get(key, ())],
            "model_inputs": [{"model_id": m.model_id} for m in found.models_read.get(key, ())],
        },
        "outputs": {
            "model_outputs": [{"model_id": m.model_id, "step": m.step} for m in found.models_written.get(key, ())]
        },
    }


def _points(measured: Iterable[tuple[str, float, int, int]]) -> list[dict[str, Any]]:
    """A dict is written faster than text is put together. What is not finite is rare: it is looked for afterwards."""
    found: list[dict[str, Any]] = [
        {"key": key, "value": value, "timestamp": timestamp_ms, "step": step}
        for key, value, timestamp_ms, step in measured
    ]
    if not math.isfinite(sum([point["value"] for point in found])):
        for point in found:
            point["value"] = number(point["value"])
    return found
