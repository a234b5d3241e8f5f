"""Requests for many runs at once, their limits in the protocol's words, and the choice of steps to draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from hanok.core.errors import Invalid
from hanok.wire.mlflow.decode import missing_value
from hanok.wire.mlflow.requests import Request

RUNS_MAX = 100
POINTS_MAX = 2_500
EXPERIMENTS_MAX = 20
DATASETS_MAX = 1_000


class HistoryBulk(Request, frozen=True, kw_only=True):
    metric_key: str = ""
    run_id: tuple[str, ...] = ()
    max_results: Annotated[int, msgspec.Meta(ge=1, le=25_000)] = 25_000


class HistoryInterval(Request, frozen=True, kw_only=True):
    metric_key: str = ""
    run_ids: tuple[str, ...] = ()
    start_step: int | None = None
    end_step: int | None = None
    max_results: int = POINTS_MAX


class SearchDatasets(Request, frozen=True, kw_only=True):
    experiment_ids: tuple[str, ...] = ()


def check(asked: HistoryBulk) -> None:
    """Raises Invalid."""
    if not asked.run_id:
        raise Invalid("GetMetricHistoryBulk request must specify at least one run_id.")
    if len(asked.run_id) > RUNS_MAX:
        raise Invalid(
            f"GetMetricHistoryBulk request cannot specify more than {RUNS_MAX} run_ids. "
            f"Received {len(asked.run_id)} run_ids."
        )
    if not asked.metric_key:
        raise Invalid("GetMetricHistoryBulk request must specify a metric_key.")


def check_interval(asked: HistoryInterval) -> None:
    """Raises Invalid."""
    if not asked.run_ids:
        raise missing_value("run_ids")
    if len(asked.run_ids) > RUNS_MAX:
        raise Invalid(f"GetMetricHistoryBulkInterval request must specify at most {RUNS_MAX} run_ids.")
    if not asked.metric_key:
        raise missing_value("metric_key")
    if not 1 <= asked.max_results <= POINTS_MAX:
        raise Invalid(f"max_results must be between 1 and {POINTS_MAX}, got {asked.max_results}")
    if (asked.start_step is None) != (asked.end_step is None):
        raise Invalid("If either start step or end step are specified, both must be specified.")
    if asked.start_step is not None and asked.end_step is not None and asked.start_step > asked.end_step:
        raise Invalid(
            "end_step must be greater than start_step. "
            f"Found start_step={asked.start_step} and end_step={asked.end_step}."
        )


def check_datasets(asked: SearchDatasets) -> None:
    """Raises Invalid."""
    if not asked.experiment_ids:
        raise Invalid("SearchDatasets request must specify at least one experiment_id.")
    if len(asked.experiment_ids) > EXPERIMENTS_MAX:
        raise Invalid(
            f"SearchDatasets request cannot specify more than {EXPERIMENTS_MAX} experiment_ids. "
            f"Received {len(asked.experiment_ids)} experiment_ids."
        )


def check_upload(run_id: str, path: str) -> None:
    """Raises Invalid."""
    if not run_id:
        raise Invalid("Request must specify run_uuid.")
    if not path:
        raise Invalid("Request must specify path.")


def chosen_steps(runs: Sequence[Sequence[int]], limit: int) -> set[int]:
    """All steps when there are at most `limit`; else every n-th of them, and each run's first and last."""
    steps = sorted({step for run in runs for step in run})
    if len(steps) <= limit:
        return set(steps)
    ends = {end for run in runs if run for end in (min(run), max(run))}
    return {*steps[:: len(steps) // limit], *ends}
