"""What tuning wants from tracking: a trial is a run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from hanok.core.tuning import Study, Trial
from hanok.stores.ports import Repositories


class TrialRuns(Protocol):
    """Each call happens within the commit of what it tells of."""

    def experiment(self, r: Repositories, name: str, now: datetime) -> str:
        """The id of the experiment of this name, made when there is none."""
        ...

    def begin(self, r: Repositories, study: Study, trial: Trial, now: datetime) -> None:
        """Start the run of a trial, `trial.run_id`, with its parameters."""
        ...

    def log(self, r: Repositories, run_id: str, metrics: Mapping[str, float], step: int, now: datetime) -> None: ...

    def end(self, r: Repositories, run_id: str, *, state: str, now: datetime) -> None: ...
