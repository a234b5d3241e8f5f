"""The verbs of tuning: make a study, ask for parameters, tell results.

A worker asks, works, reports and tells; whoever it is (a local pool, a notebook, NNI's trial, a process on another
machine) speaks these verbs. Each ask and each tell is one commit. A worker proves that it lives by reporting or by
`heartbeat`; one that is silent beyond the study's lease is given up, and its parameters are tried again.
"""

from __future__ import annotations

import math
import threading
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from hanok.compute.spaces import parse_space
from hanok.core.clock import Clock, SystemClock
from hanok.core.errors import Conflict, Invalid, StudyNotFound, TrialNotFound
from hanok.core.ids import checked_name, new_id
from hanok.core.json import Json, JsonObject
from hanok.core.tuning import (
    COMPLETE,
    FAILED,
    MAXIMIZE,
    RUNNING,
    WAITING,
    Algorithm,
    Direction,
    Lease,
    Limits,
    Study,
    StudyState,
    Trial,
    TrialState,
    plain_value,
)
from hanok.parts.tuning.needs import TrialRuns
from hanok.parts.tuning.rules import CLIENT, changed, check, check_asked, check_open, objective, outcome
from hanok.parts.tuning.samplers import NothingLeft, Searcher
from hanok.stores.ports import Metadata, Repositories

LOOK_AGAIN = timedelta(seconds=1)


class StudyOver(Conflict):
    """The study takes no further trials: it was stopped, or it has reached a limit."""

    code = "study_over"


@dataclass
class _Open:
    """A study in memory, caught up to a revision: its searcher, and how far each trial is. The lock is held while it is
    used; `reserved` are trials that are being stored."""

    made_for: tuple[JsonObject | None, Algorithm, Algorithm | None]
    searcher: Searcher
    revision: int = 0
    reserved: int = 0
    looked: datetime | None = None
    trials: dict[int, Trial] = field(default_factory=dict)
    counts: Counter[TrialState] = field(default_factory=Counter)
    retried: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take_in(self, fresh: Sequence[Trial], retries: int) -> None:
        """Trials that are new or have changed."""
        self.searcher.catch_up(fresh)
        for trial in fresh:
            before = self.trials.get(trial.id)
            if before is not None:
                self.counts[before.state] -= 1
            self.counts[trial.state] += 1
            if trial.given_up and trial.attempt < retries:
                self.retried += before is None or not before.given_up
            self.trials[trial.id] = trial
            self.revision = max(self.revision, trial.revision)


class Tuning:
    """All methods are safe to call from any thread. Leases run on real time, whatever clock the work follows."""

    def __init__(self, metadata: Metadata, clock: Clock, runs: TrialRuns, *, wall: Clock | None = None) -> None:
        self._metadata, self._clock, self._runs = metadata, clock, runs
        self._wall = wall or SystemClock()
        self._open: dict[int, _Open] = {}
        self._lock = threading.Lock()

    # -- studies ---------------------------------------------------------------------------------------------

    def create(
        self,
        name: str,
        space: Json = None,
        *,
        directions: Sequence[Direction] = ("minimize",),
        sampler: Algorithm = Algorithm("tpe"),
        pruner: Algorithm | None = None,
        limits: Limits = Limits(),
        seed: int = 0,
    ) -> Study:
        """Make a study. Without a space, or with the sampler `client`, its clients choose the parameters.

        Raises Invalid, StudyExists.
        """
        checked_name("study", name)
        check(directions, limits)
        now = self._clock.now()
        given = None if space is None or sampler.name == CLIENT else parse_space(space)
        study = Study(
            0,
            name,
            tuple(directions),
            now,
            space if isinstance(space, Mapping) else None,
            sampler if given is not None else Algorithm(CLIENT),
            pruner,
            limits,
            seed=seed,
        )
        if given is not None:
            Searcher(study, given)

        def work(r: Repositories) -> Study:
            return r.studies.add(self._runs.begin_study(r, study, now))

        return self._metadata.write(work)

    def study(self, name: str) -> Study:
        """Raises StudyNotFound."""
        found = self._metadata.read(lambda r: r.studies.named(name))
        if found is None:
            raise StudyNotFound(f"there is no study {name[:120]!r}; 'hanok study list' shows all")
        return found

    def studies(self) -> list[Study]:
        return self._metadata.read(lambda r: r.studies.list())

    def update(
        self,
        name: str,
        *,
        space: Json = None,
        limits: Mapping[str, int | float | None] | None = None,
        state: StudyState | None = None,
    ) -> Study:
        """Change a study while it runs: what is asked for from now on follows. Raises Invalid, StudyNotFound."""
        held = self.study(name)
        if isinstance(space, Mapping) and held.sampler.name != CLIENT:
            parse_space(space)
        study_id = held.id

        def work(r: Repositories) -> Study:
            study = r.studies.get(study_id)
            if isinstance(space, Mapping):
                study = replace(study, space=space)
            if limits:
                study = replace(study, limits=changed(study.limits, limits))
                check(study.directions, study.limits)
            if state is not None:
                study = replace(study, state=state)
            r.studies.put(study)
            return study

        return self._metadata.write(work)

    def delete(self, name: str) -> None:
        """With its trials; their runs stay. Raises StudyNotFound."""
        study = self.study(name)
        self._metadata.write(lambda r: r.studies.delete(study.id))
        with self._lock:
            self._open.pop(study.id, None)

    def take_in(self, study: Study, trials: Sequence[Trial]) -> int:
        """Add trials that were made elsewhere, to the study of this name or a new one; returns how many were new. One
        with the parameters, values and start of a trial that is here is that trial."""
        now = self._clock.now()
        if study.space is not None and study.sampler.name != CLIENT:
            Searcher(study, parse_space(study.space))

        def work(r: Repositories) -> int:
            held = r.studies.named(study.name)
            if held is None:
                held = r.studies.add(self._runs.begin_study(r, study, now))
            known = [(t.params, t.values, t.started) for t in r.trials.list(held.id)]
            fresh = [t for t in trials if (t.params, t.values, t.started) not in known]
            for trial in fresh:
                r.trials.add(replace(trial, study_id=held.id))
            return len(fresh)

        return self._metadata.write(work)

    # -- the life of a trial ---------------------------------------------------------------------------------

    def ask(self, name: str, *, worker: str, n: int = 1, code_of: str = "") -> list[Trial]:
        """Up to `n` trials to work on: those that wait first, then new ones. Fewer when the study's concurrency or
        number of trials is reached. `code_of` is a run of the worker that says what code works on them.
        Raises StudyOver when nothing will come any more."""
        if n < 1:
            raise Invalid(f"ask for at least 1 trial, not {n}")
        study = self.study(name)
        check_asked(study)
        opened, now = self._opened(study), self._clock.now()
        if opened.looked is None or self._wall.now() - opened.looked > LOOK_AGAIN:
            opened.looked = self._wall.now()
            self.give_up_silent(name)
        with opened.lock:
            self._catch_up(study, opened)
            room = self._room(study, opened, n)
            waiting = [t for t in opened.trials.values() if t.state == WAITING][:room] if room else []
            made = self._proposed(study, opened, room - len(waiting), now, needed=not waiting)
            opened.reserved += len(made)
        try:
            return self._metadata.write(lambda r: self._hand_out(r, study, waiting, made, worker, now, code_of))
        except BaseException:
            with opened.lock:
                for trial in made:
                    opened.searcher.drop(trial.token)
            raise
        finally:
            with opened.lock:
                opened.reserved -= len(made)

    def start(self, name: str, params: JsonObject, *, worker: str, code_of: str = "", key: str = "") -> Trial:
        """A trial that its client works on already, with parameters that the client chose (of any form). The `key`
        becomes its token; asked again with it, the answer is the trial that runs already.

        Raises Conflict for a study that chooses them itself.
        """
        study, now = self.study(name), self._clock.now()
        if study.sampler.name != CLIENT:
            raise Conflict(f"study {name!r} chooses the parameters itself: ask for a trial, or add one by hand")
        new = Trial(0, study.id, 0, RUNNING, now, dict(params), source="client", token=key or uuid.uuid4().hex)

        def work(r: Repositories) -> Trial:
            running = r.trials.list(study.id, states=(RUNNING,)) if key else []
            known = next((t for t in running if t.token == key), None)
            return known or self._hand_out(r, study, [], [new], worker, now, code_of)[0]

        return self._metadata.write(work)

    def report(self, trial_id: int, value: Json, *, step: int | None = None, token: str = "") -> bool:
        """Keep an intermediate value (of the next step by default); returns whether the pruner would stop the trial.

        Raises Invalid for what is no number, TrialEnded, TrialNotFound.
        """
        number = plain_value(value)
        if number is None:
            raise Invalid(f"an intermediate result is a number, or an object with 'default': got {str(value)[:80]}")
        now = self._clock.now()

        def work(r: Repositories) -> tuple[Study, Trial]:
            trial = r.trials.get(trial_id)
            check_open(trial, token)
            study = r.studies.get(trial.study_id)
            at = step if step is not None else max(trial.reports, default=-1) + 1
            again = trial.reports.get(at) == number
            r.trials.report(trial.id, at, number)
            if trial.lease is not None:
                r.trials.put(replace(trial, lease=self._lease(study, trial.lease.worker)), expected=(RUNNING,))
            if trial.run_id and math.isfinite(number) and not again:
                self._runs.log(r, trial.run_id, {"intermediate": number}, at, now)
            return study, r.trials.get(trial_id)

        study, trial = self._metadata.write(work)
        if study.pruner is None or study.space is None:
            return False
        opened = self._opened(study)
        with opened.lock:
            self._catch_up(study, opened)
            return opened.searcher.should_stop(trial)

    def tell(
        self,
        trial_id: int,
        value: Json = None,
        *,
        state: TrialState | None = None,
        reason: str = "",
        token: str = "",
    ) -> Trial:
        """End a trial: with a value (or one for each objective) as complete, or in a state. Told again the same, it has
        no further effect. A value that is no finite number ends the trial as failed, with the reason.

        Raises TrialEnded when it was told otherwise before, Invalid, TrialNotFound.
        """
        now = self._clock.now()

        def work(r: Repositories) -> Trial:
            trial = r.trials.get(trial_id)
            study = r.studies.get(trial.study_id)
            after = outcome(study, trial, value, state, reason, now)
            if trial.is_ended:
                same = (trial.state, trial.values) == (after.state, after.values) and token in ("", trial.token)
                if not same:
                    check_open(trial, token)
                return trial
            check_open(trial, token)
            r.trials.put(after, expected=(WAITING, RUNNING))
            if trial.run_id:
                metrics = {objective(study, i): v for i, v in enumerate(after.values)}
                self._runs.log(r, trial.run_id, metrics, max(trial.reports, default=0), now)
                self._runs.end(r, trial.run_id, state=after.state, now=now)
            return after

        return self._metadata.write(work)

    def enqueue(self, name: str, params: JsonObject) -> Trial:
        """A trial with parameters that a person chose; it is asked for before new ones. Raises Invalid."""
        study = self.study(name)
        check_asked(study)
        opened = self._opened(study)
        with opened.lock:
            given = opened.searcher.given(params)
        trial = Trial(0, study.id, 0, WAITING, self._clock.now(), dict(given.params), given.points, source="hand")
        return self._metadata.write(lambda r: r.trials.add(trial))

    def heartbeat(self, trial_ids: Sequence[int], *, worker: str) -> list[int]:
        """Renew the leases of a worker's trials; returns those that it should stop, as they are its own no more."""

        def work(r: Repositories) -> list[int]:
            lost = []
            for trial_id in trial_ids:
                try:
                    trial = r.trials.get(trial_id)
                except TrialNotFound:  # its study was removed
                    lost.append(trial_id)
                    continue
                if trial.state != RUNNING or trial.lease is None or trial.lease.worker != worker:
                    lost.append(trial_id)
                    continue
                lease = self._lease(r.studies.get(trial.study_id), worker)
                r.trials.put(replace(trial, lease=lease), expected=(RUNNING,))
            return lost

        return self._metadata.write(work)

    def give_up_silent(self, name: str) -> list[Trial]:
        """End the trials whose worker is silent; the same parameters wait for another worker while retries are left."""
        study = self.study(name)
        wall, now = self._wall.now(), self._clock.now()
        late = [
            t
            for t in self._metadata.read(lambda r: r.trials.list(study.id, states=(RUNNING,)))
            if t.lease is not None and t.lease.until < wall
        ]
        if not late:
            return []

        def work(r: Repositories) -> list[Trial]:
            ended = []
            for trial in (r.trials.get(t.id) for t in late):
                if trial.state != RUNNING or trial.lease is None or trial.lease.until >= wall:
                    continue
                reason = f"worker {trial.lease.worker} has been silent for over {study.limits.lease_s:g} s"
                after = replace(trial, state=FAILED, ended=now, reason=reason, lease=None, given_up=True)
                r.trials.put(after, expected=(RUNNING,))
                if trial.run_id:
                    self._runs.end(r, trial.run_id, state=FAILED, now=now)
                asked = study.sampler.name != CLIENT
                if asked and trial.attempt < study.limits.retries and study.state == "running":
                    again = Trial(0, study.id, 0, WAITING, now, trial.params, trial.points, source=trial.source)
                    r.trials.add(replace(again, attempt=trial.attempt + 1))
                ended.append(after)
            return ended

        return self._metadata.write(work)

    def give_up_all_silent(self) -> None:
        """As `give_up_silent`, for every study: those that nobody asks any more too."""
        for study in self.studies():
            self.give_up_silent(study.name)

    # -- looking ---------------------------------------------------------------------------------------------

    def trials(self, name: str, *, states: Sequence[TrialState] = (), limit: int | None = None) -> list[Trial]:
        study = self.study(name)
        return self._metadata.read(lambda r: r.trials.list(study.id, states=states, limit=limit))

    def trial(self, trial_id: int) -> Trial:
        """Raises TrialNotFound."""
        return self._metadata.read(lambda r: r.trials.get(trial_id))

    def counts(self, name: str) -> dict[TrialState, int]:
        study = self.study(name)
        return self._metadata.read(lambda r: r.trials.count(study.id))

    def best(self, name: str) -> list[Trial]:
        """The best complete trial, or for several objectives those that no other beats in all (Pareto's front)."""
        study = self.study(name)
        done = self.trials(name, states=(COMPLETE,))
        signs = [-1.0 if d == MAXIMIZE else 1.0 for d in study.directions]

        def cost(trial: Trial) -> tuple[float, ...]:
            return tuple(s * v for s, v in zip(signs, trial.values, strict=True))

        if len(signs) == 1:
            return [min(done, key=lambda t: (cost(t), t.number))] if done else []
        costs = [(cost(t), t) for t in done]
        return [
            t for c, t in costs if not any(o != c and all(a <= b for a, b in zip(o, c, strict=True)) for o, _ in costs)
        ]

    # -- inside ----------------------------------------------------------------------------------------------

    def _room(self, study: Study, opened: _Open, n: int) -> int:
        """How many trials may be handed out now. Raises StudyOver."""
        if study.state != "running":
            raise StudyOver(f"study {study.name!r} is {study.state}: 'hanok study resume {study.name}' lets it go on")
        limits, counts = study.limits, opened.counts
        if limits.max_seconds is not None and (self._clock.now() - study.created).total_seconds() > limits.max_seconds:
            raise self._over(study, f"has used its {limits.max_seconds:g} seconds")
        if self._left(study, opened) <= 0 and not counts[WAITING] and not counts[RUNNING]:
            raise self._over(study, f"has made its {limits.max_trials} trials")
        return max(0, min(n, limits.concurrency - counts[RUNNING] - opened.reserved))

    def _over(self, study: Study, why: str) -> StudyOver:
        def end(r: Repositories) -> None:
            held = r.studies.get(study.id)
            if held.state == "running" and held.limits == study.limits:  # nobody has changed it meanwhile
                r.studies.put(replace(held, state="done"))

        self._metadata.write(end)
        return StudyOver(f"study {study.name!r} {why}; 'hanok study resume {study.name}' with other limits goes on")

    def _left(self, study: Study, opened: _Open) -> int:
        """New trials until the limit; those that are tried again for a silent worker do not count."""
        if study.limits.max_trials is None:
            return 1 << 30
        return study.limits.max_trials - opened.counts.total() - opened.reserved + opened.retried

    def _proposed(self, study: Study, opened: _Open, n: int, now: datetime, *, needed: bool) -> list[Trial]:
        made: list[Trial] = []
        for _ in range(min(n, self._left(study, opened))):
            token = uuid.uuid4().hex
            try:
                proposal = opened.searcher.propose(token)
            except NothingLeft:
                if needed and not made and not opened.counts[RUNNING]:
                    raise
                break
            made.append(
                Trial(
                    0,
                    study.id,
                    0,
                    RUNNING,
                    now,
                    proposal.params,
                    proposal.points,
                    token=token,
                    system_attrs=proposal.attributes,
                )
            )
        return made

    def _hand_out(
        self,
        r: Repositories,
        study: Study,
        waiting: Sequence[Trial],
        made: Sequence[Trial],
        worker: str,
        now: datetime,
        code_of: str,
    ) -> list[Trial]:
        handed = []
        for trial in waiting:
            mine = self._started(study, replace(trial, token=uuid.uuid4().hex), worker, now)
            if r.trials.put(mine, expected=(WAITING,)):
                handed.append(mine)
        handed += [r.trials.add(self._started(study, trial, worker, now)) for trial in made]
        for trial in handed:
            if trial.run_id:
                self._runs.begin(r, study, trial, now, code_of=code_of)
        return handed

    def _started(self, study: Study, trial: Trial, worker: str, now: datetime) -> Trial:
        run_id = new_id(now) if study.experiment_id else ""
        return replace(trial, state=RUNNING, started=now, lease=self._lease(study, worker), run_id=run_id)

    def _lease(self, study: Study, worker: str) -> Lease:
        return Lease(worker, self._wall.now() + timedelta(seconds=study.limits.lease_s))

    def _opened(self, study: Study) -> _Open:
        made_for = (study.space, study.sampler, study.pruner)
        with self._lock:
            opened = self._open.get(study.id)
            if opened is None or opened.made_for != made_for:
                made = sum(self._metadata.read(lambda r: r.trials.count(study.id)).values())
                searcher = Searcher(study, parse_space(study.space), made=made)
                opened = self._open[study.id] = _Open(made_for, searcher)
            return opened

    def _catch_up(self, study: Study, opened: _Open) -> None:
        fresh = self._metadata.read(lambda r: r.trials.list(study.id, after=opened.revision))
        if fresh:
            opened.take_in(fresh, study.limits.retries)
