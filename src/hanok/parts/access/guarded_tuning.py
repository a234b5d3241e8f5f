"""Studies and trials, as the present caller sees them: a study belongs where its experiment does.

A study without an experiment (made by an Optuna client) belongs to no project: only who may act everywhere has it.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence

from hanok.core.access import Access
from hanok.core.errors import StudyNotFound, TrialNotFound
from hanok.core.json import Json
from hanok.core.tuning import Scope, Study, Trial, TrialState
from hanok.parts.access.gate import Gate, Guarded
from hanok.stores.ports_tuning import Studies, Trials


class GuardedStudies(Guarded[Studies]):
    __slots__ = ()

    def add(self, study: Study) -> Study:
        _change(self._gate, study)
        return self._inner.add(study)

    def get(self, study_id: int) -> Study:
        found = self._inner.get(study_id)
        if not _sees(self._gate, found):
            raise StudyNotFound(f"there is no study number {study_id}; 'hanok study list' shows all")
        return found

    def named(self, name: str) -> Study | None:
        found = self._inner.named(name)
        return found if found is not None and _sees(self._gate, found) else None

    def list(self) -> builtins.list[Study]:
        return [study for study in self._inner.list() if _sees(self._gate, study)]

    def put(self, study: Study) -> None:
        _change(self._gate, self.get(study.id))
        _change(self._gate, study)
        self._inner.put(study)

    def set_attr(self, study_id: int, scope: Scope, key: str, value: Json) -> None:
        _change(self._gate, self.get(study_id))
        self._inner.set_attr(study_id, scope, key, value)

    def delete(self, study_id: int) -> None:
        _change(self._gate, self.get(study_id))
        self._inner.delete(study_id)


class GuardedTrials(Guarded[Trials]):
    __slots__ = ()

    def add(self, trial: Trial) -> Trial:
        self._changes(trial.study_id)
        return self._inner.add(trial)

    def get(self, trial_id: int) -> Trial:
        found = self._inner.get(trial_id)
        if not _sees(self._gate, self._gate.r.studies.get(found.study_id)):
            raise TrialNotFound(f"there is no trial with id {trial_id}; 'hanok study show NAME' lists a study's")
        return found

    def put(self, trial: Trial, *, expected: Sequence[TrialState]) -> bool:
        self._changes(self.get(trial.id).study_id)
        return self._inner.put(trial, expected=expected)

    def report(self, trial_id: int, step: int, value: float) -> None:
        self._changes(self.get(trial_id).study_id)
        self._inner.report(trial_id, step, value)

    def set_attr(self, trial_id: int, scope: Scope, key: str, value: Json) -> None:
        self._changes(self.get(trial_id).study_id)
        self._inner.set_attr(trial_id, scope, key, value)

    def list(
        self, study_id: int, *, states: Sequence[TrialState] = (), after: int = 0, limit: int | None = None
    ) -> builtins.list[Trial]:
        self._sees(study_id)
        return self._inner.list(study_id, states=states, after=after, limit=limit)

    def count(self, study_id: int) -> dict[TrialState, int]:
        self._sees(study_id)
        return self._inner.count(study_id)

    def _study(self, study_id: int) -> Study:
        found = self._gate.r.studies.get(study_id)
        if not _sees(self._gate, found):
            raise StudyNotFound(f"there is no study number {study_id}; 'hanok study list' shows all")
        return found

    def _sees(self, study_id: int) -> None:
        self._study(study_id)

    def _changes(self, study_id: int) -> None:
        _change(self._gate, self._study(study_id))


def _sees(gate: Gate, study: Study) -> bool:
    if not study.experiment_id:
        return gate.actor.access_everywhere >= Access.READ
    return gate.may_see(gate.experiment(study.experiment_id))


def _change(gate: Gate, study: Study) -> None:
    if not study.experiment_id:
        gate.everywhere(Access.EDIT)
    else:
        gate.change(gate.experiment(study.experiment_id))
