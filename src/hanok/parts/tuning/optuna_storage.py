"""Optuna's storage over Hanok's metadata: what Optuna's clients, its gRPC proxy and its dashboard read and write.

Semantics follow `optuna.storages.BaseStorage` (Optuna 5.0), which its own contract tests check. One commit a call; the
trials of a study are kept in memory and caught up by revision, so that reading them again costs what has changed.
"""

from __future__ import annotations

import copy
import threading
import uuid
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import TypeVar

from optuna import distributions
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from hanok.core.clock import Clock
from hanok.core.errors import MissingExtra, StudyExists, StudyNotFound, TrialNotFound
from hanok.core.json import Json
from hanok.core.tuning import (
    CANCELLED,
    COMPLETE,
    FAILED,
    MAXIMIZE,
    MINIMIZE,
    PRUNED,
    RUNNING,
    WAITING,
    Algorithm,
    Point,
    Scope,
    Study,
    Trial,
)
from hanok.core.tuning import TrialState as State
from hanok.stores.ports import Metadata, Repositories

T = TypeVar("T")
UNNAMED = "no-name-"  # Optuna's own prefix of studies without a name
STATES: dict[State, TrialState] = {
    WAITING: TrialState.WAITING,
    RUNNING: TrialState.RUNNING,
    COMPLETE: TrialState.COMPLETE,
    PRUNED: TrialState.PRUNED,
    FAILED: TrialState.FAIL,
    CANCELLED: TrialState.FAIL,
}
_OURS = {theirs: ours for ours, theirs in STATES.items() if ours != CANCELLED}
_OPEN: tuple[State, ...] = (WAITING, RUNNING)


@dataclass
class _Kept:
    """The trials of one study as they were at a revision."""

    revision: int = 0
    trials: dict[int, FrozenTrial] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class OptunaStorage(BaseStorage):  # type: ignore[misc]
    """Hand it to `optuna.create_study(storage=...)`, or to Optuna's gRPC proxy. Safe to call from any thread."""

    def __init__(self, metadata: Metadata, clock: Clock) -> None:
        self._metadata, self._clock = metadata, clock
        self._kept: dict[int, _Kept] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[OptunaStorage], tuple[Metadata, Clock]]:
        return OptunaStorage, (self._metadata, self._clock)

    # -- studies ---------------------------------------------------------------------------------------------

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        name = UNNAMED + str(uuid.uuid4()) if study_name is None else study_name
        ours = tuple(MAXIMIZE if d == StudyDirection.MAXIMIZE else MINIMIZE for d in directions)
        study = Study(0, name, ours, self._clock.now(), sampler=Algorithm("client"))
        try:
            return self._metadata.write(lambda r: r.studies.add(study)).id
        except StudyExists:
            raise DuplicatedStudyError(f"there is a study {name!r} already") from None

    def delete_study(self, study_id: int) -> None:
        self._write(lambda r: r.studies.delete(study_id))
        with self._lock:
            self._kept.pop(study_id, None)

    def set_study_user_attr(self, study_id: int, key: str, value: Json) -> None:
        self._write(lambda r: r.studies.set_attr(study_id, "user", key, value))

    def set_study_system_attr(self, study_id: int, key: str, value: Json) -> None:
        self._write(lambda r: r.studies.set_attr(study_id, "system", key, value))

    def get_study_id_from_name(self, study_name: str) -> int:
        found = self._metadata.read(lambda r: r.studies.named(study_name))
        if found is None:
            raise KeyError(f"there is no study {study_name!r}")
        return found.id

    def get_study_name_from_id(self, study_id: int) -> str:
        return self._study(study_id).name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return _directions(self._study(study_id))

    def get_study_user_attrs(self, study_id: int) -> dict[str, Json]:
        return dict(self._study(study_id).user_attrs)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Json]:
        return dict(self._study(study_id).system_attrs)

    def get_all_studies(self) -> list[FrozenStudy]:
        return [
            FrozenStudy(s.name, None, dict(s.user_attrs), dict(s.system_attrs), s.id, directions=_directions(s))
            for s in self._metadata.read(lambda r: r.studies.list())
        ]

    # -- trials ----------------------------------------------------------------------------------------------

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        now = self._clock.now()
        new = Trial(0, study_id, 0, RUNNING, now, source="client", started=now)
        if template_trial is not None:
            new = _from_template(study_id, template_trial, now)
        return self._write(lambda r: r.trials.add(new)).id

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: distributions.BaseDistribution
    ) -> None:
        written = distributions.distribution_to_json(distribution)
        trial = self._read(lambda r: r.trials.get(trial_id))
        _check_open(trial)
        for earlier in reversed(self.get_all_trials(trial.study_id, deepcopy=False)):
            if param_name in earlier.distributions:
                distributions.check_distribution_compatibility(earlier.distributions[param_name], distribution)
                break

        def change(r: Repositories, trial: Trial) -> None:
            points = {**trial.points, param_name: Point(float(param_value_internal), written)}
            params = {**trial.params, param_name: distribution.to_external_repr(param_value_internal)}
            r.trials.put(replace(trial, points=points, params=params), expected=_OPEN)

        self._change(trial_id, change)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        now = self._clock.now()

        def change(r: Repositories, trial: Trial) -> bool:
            if state == TrialState.RUNNING and trial.state != WAITING:
                return False
            after = replace(trial, state=_OURS[state], values=trial.values if values is None else tuple(values))
            if state == TrialState.RUNNING:
                after = replace(after, started=now)
            if state.is_finished():
                after = replace(after, ended=now, lease=None)
            return r.trials.put(after, expected=(trial.state,))

        return self._change(trial_id, change)

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        self._change(trial_id, lambda r, trial: r.trials.report(trial.id, step, intermediate_value))

    def set_trial_user_attr(self, trial_id: int, key: str, value: Json) -> None:
        self._set_attr(trial_id, "user", key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Json) -> None:
        self._set_attr(trial_id, "system", key, value)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return frozen(self._read(lambda r: r.trials.get(trial_id)))

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        kept = self._caught_up(study_id)
        trials = [t for _, t in sorted(kept.trials.items()) if states is None or t.state in states]
        return copy.deepcopy(trials) if deepcopy else trials

    # -- inside ----------------------------------------------------------------------------------------------

    def _caught_up(self, study_id: int) -> _Kept:
        self._study(study_id)
        with self._lock:
            kept = self._kept.setdefault(study_id, _Kept())
        with kept.lock:
            for trial in self._metadata.read(lambda r: r.trials.list(study_id, after=kept.revision)):
                kept.trials[trial.number] = frozen(trial)
                kept.revision = max(kept.revision, trial.revision)
        return kept

    def _set_attr(self, trial_id: int, scope: Scope, key: str, value: Json) -> None:
        self._change(trial_id, lambda r, trial: r.trials.set_attr(trial.id, scope, key, value))

    def _change(self, trial_id: int, work: Callable[[Repositories, Trial], T]) -> T:
        """Change a trial that has not ended, in one commit. Raises KeyError, UpdateFinishedTrialError."""

        def checked(r: Repositories) -> T:
            trial = r.trials.get(trial_id)
            _check_open(trial)
            return work(r, trial)

        return self._write(checked)

    def _study(self, study_id: int) -> Study:
        return self._read(lambda r: r.studies.get(study_id))

    def _read(self, work: Callable[[Repositories], T]) -> T:
        try:
            return self._metadata.read(work)
        except (StudyNotFound, TrialNotFound) as error:
            raise KeyError(error.message) from None

    def _write(self, work: Callable[[Repositories], T]) -> T:
        try:
            return self._metadata.write(work)
        except (StudyNotFound, TrialNotFound) as error:
            raise KeyError(error.message) from None


def serve(storage: OptunaStorage, host: str, port: int) -> None:
    """Answer Optuna's `GrpcStorageProxy` clients on a thread of its own, for as long as this process lives.

    Raises MissingExtra without grpcio.
    """
    import warnings

    from optuna.exceptions import ExperimentalWarning
    from optuna.storages import run_grpc_proxy_server

    if find_spec("grpc") is None:
        raise MissingExtra("Optuna's clients are served over gRPC: pip install 'hanok[tuning]'")

    def answer() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            run_grpc_proxy_server(storage, host=host, port=port)

    threading.Thread(target=answer, name="hanok-optuna", daemon=True).start()


def _check_open(trial: Trial) -> None:
    if trial.is_ended:
        raise UpdateFinishedTrialError(f"Trial#{trial.number} has ended as {trial.state}: it does not change")


def frozen(trial: Trial) -> FrozenTrial:
    """A trial as Optuna's own, its instants in local time without a zone, as Optuna has them."""
    kinds = {name: distributions.json_to_distribution(p.distribution) for name, p in trial.points.items()}
    return FrozenTrial(
        number=trial.number,
        state=STATES[trial.state],
        value=None,
        values=list(trial.values) or None,
        datetime_start=_local(trial.started),
        datetime_complete=_local(trial.ended),
        params={name: kinds[name].to_external_repr(p.value) for name, p in trial.points.items()},
        distributions=kinds,
        user_attrs=dict(trial.user_attrs),
        system_attrs=dict(trial.system_attrs),
        intermediate_values=dict(trial.reports),
        trial_id=trial.id,
    )


def _from_template(study_id: int, given: FrozenTrial, now: datetime) -> Trial:
    points = {
        name: Point(kind.to_internal_repr(given.params[name]), distributions.distribution_to_json(kind))
        for name, kind in given.distributions.items()
    }
    return Trial(
        0,
        study_id,
        0,
        _OURS[given.state],
        now,
        params=dict(given.params),
        points=points,
        values=tuple(given.values or ()),
        reports=dict(given.intermediate_values),
        source="client",
        started=_aware(given.datetime_start),
        ended=_aware(given.datetime_complete),
        user_attrs=dict(given.user_attrs),
        system_attrs=dict(given.system_attrs),
    )


def _directions(study: Study) -> list[StudyDirection]:
    return [StudyDirection.MAXIMIZE if d == MAXIMIZE else StudyDirection.MINIMIZE for d in study.directions]


def _local(instant: datetime | None) -> datetime | None:
    return None if instant is None else instant.astimezone().replace(tzinfo=None)


def _aware(instant: datetime | None) -> datetime | None:
    return None if instant is None else instant.astimezone(UTC)
