"""What tuning wants from tracking: a trial is a run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from hanok.core.tuning import Study, Trial
from hanok.stores.ports import Repositories


class TrialRuns(Protocol):
    """Each call happens within the commit of what it tells of."""

    def begin_study(self, r: Repositories, study: Study, now: datetime) -> Study:
        """The study with the experiment of its name, made when there is none, and with its place in the lineage."""
        ...

    def begin(self, r: Repositories, study: Study, trial: Trial, now: datetime, *, code_of: str = "") -> None:
        """Start the run of a trial, `trial.run_id`, with its parameters, and with the code of the run `code_of`."""
        ...

    def log(self, r: Repositories, run_id: str, metrics: Mapping[str, float], step: int, now: datetime) -> None: ...

    def end(self, r: Repositories, run_id: str, *, state: str, now: datetime) -> None: ...
