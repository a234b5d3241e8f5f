"""What tuning wants from storage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hanok.core.json import Json
from hanok.core.tuning import Scope, Study, Trial, TrialState


class Studies(Protocol):
    """Studies by number and name. A number is never given twice."""

    def add(self, study: Study) -> Study:
        """Store under a new number. Raises StudyExists for a name that is taken."""
        ...

    def get(self, study_id: int) -> Study:
        """Raises StudyNotFound."""
        ...

    def named(self, name: str) -> Study | None: ...

    def list(self) -> list[Study]:
        """Oldest first."""
        ...

    def put(self, study: Study) -> None:
        """Replace all but number, name, attributes and time of creation. Raises StudyNotFound."""
        ...

    def set_attr(self, study_id: int, scope: Scope, key: str, value: Json) -> None:
        """Raises StudyNotFound."""
        ...

    def delete(self, study_id: int) -> None:
        """With its trials. Raises StudyNotFound."""
        ...


class Trials(Protocol):
    """Trials with their reports. Every change gives the trial a higher revision, from one sequence of the store."""

    def add(self, trial: Trial) -> Trial:
        """Store under a new id and the next number of its study. Raises StudyNotFound."""
        ...

    def get(self, trial_id: int) -> Trial:
        """Raises TrialNotFound."""
        ...

    def put(self, trial: Trial, *, expected: Sequence[TrialState]) -> bool:
        """Replace all but ids, reports and attributes when its state is one of `expected`; False, with no effect, when
        it is not. Raises TrialNotFound."""
        ...

    def report(self, trial_id: int, step: int, value: float) -> None:
        """Set the intermediate value of a step. Raises TrialNotFound."""
        ...

    def set_attr(self, trial_id: int, scope: Scope, key: str, value: Json) -> None:
        """Raises TrialNotFound."""
        ...

    def list(
        self, study_id: int, *, states: Sequence[TrialState] = (), after: int = 0, limit: int | None = None
    ) -> list[Trial]:
        """In the order of their numbers; those of the given states (all when empty) with a revision above `after`."""
        ...

    def count(self, study_id: int) -> dict[TrialState, int]:
        """How many trials are in each state."""
        ...
