"""What the charts of a UI ask for: points of many runs at once, thinned to what can be drawn."""

from __future__ import annotations

from hanok.core.tracking import Metric
from hanok.server.mlflow.endpoint import Call, Json, read
from hanok.wire.mlflow import bulk, entities


def get_history_bulk(call: Call, asked: bulk.HistoryBulk) -> Json:
    bulk.check(asked)
    found = [
        entities.metric(point) | {"run_id": run}
        for run in asked.run_id
        for point in call.tracking.runs.history(run, asked.metric_key, limit=asked.max_results)
    ]
    return {"metrics": found[: asked.max_results]}


def get_history_bulk_interval(call: Call, asked: bulk.HistoryInterval) -> Json:
    """Points at evenly chosen steps, the first and last step of each run among them."""
    bulk.check_interval(asked)
    points = {run: _within(call.tracking.runs.history(run, asked.metric_key), asked) for run in asked.run_ids}
    kept = bulk.chosen_steps([[p.step for p in of_run] for of_run in points.values()], asked.max_results)
    return {
        "metrics": [
            entities.metric(point) | {"run_id": run}
            for run, of_run in points.items()
            for point in of_run
            if point.step in kept
        ]
    }


def _within(points: list[Metric], asked: bulk.HistoryInterval) -> list[Metric]:
    ordered = sorted(points, key=lambda p: (p.step, p.timestamp_ms))
    if asked.start_step is None or asked.end_step is None:
        return ordered
    return [p for p in ordered if asked.start_step <= p.step <= asked.end_step]


def search_datasets(call: Call, asked: bulk.SearchDatasets) -> Json:
    bulk.check_datasets(asked)
    found = call.tracking.runs.datasets(asked.experiment_ids, limit=bulk.DATASETS_MAX)
    return {
        "dataset_summaries": [
            {"experiment_id": experiment, "name": name, "digest": digest, "context": context}
            for experiment, name, digest, context in found
        ]
    }


ENDPOINTS = (
    read("/metrics/get-history-bulk", bulk.HistoryBulk, get_history_bulk),
    read("/metrics/get-history-bulk-interval", bulk.HistoryInterval, get_history_bulk_interval),
    read("/experiments/search-datasets", bulk.SearchDatasets, search_datasets, "POST"),
)
