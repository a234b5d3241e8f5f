"""`hk.tune(function, space)`: search in this process, kept in the home (or on the server) like every run."""

from __future__ import annotations

import inspect
import itertools
import os
import socket
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from hanok.core.errors import HanokError, Invalid, words
from hanok.core.json import Json, JsonObject
from hanok.sdk.client import Client
from hanok.sdk.client import open as open_client
from hanok.sdk.runs.run import Run, place_of
from hanok.sdk.tuning.code import Code, function_name, source_of
from hanok.sdk.tuning.patience import PatientSink, patient_call

T = TypeVar("T")
Objective = Callable[..., Json]
OVER = ("study_over", "space_exhausted")
IDLE_S, IDLE_MAX_S = 0.05, 1.0
CONFLICT = 409


class Pruned(Exception):
    """Raised out of the objective by `trial.report` when the trial is not worth going on with."""


@dataclass(frozen=True)
class Trial:
    """Handed to an objective of two arguments: `def objective(params, trial)`."""

    id: int
    number: int
    params: JsonObject
    token: str
    run_id: str
    _client: Client
    _steps: Iterator[int] = field(default_factory=itertools.count, repr=False, compare=False)

    @cached_property
    def run(self) -> Run:
        """The run of this trial: `trial.run.model(model, X, y)`, `.artifact(...)`. It ends with the trial."""
        return Run(
            "",
            experiment="",
            params={},
            tags={},
            capture=(),
            every_s=10.0,
            place=place_of(None),
            goes_on=self.run_id,
            sink=PatientSink(self._client, lambda: None),
        )

    def close(self) -> None:
        """Wait until all that was logged is stored."""
        if "run" in self.__dict__:
            self.run.finish()

    def report(self, value: float, step: int | None = None) -> None:
        """Keep an intermediate value. Ends the objective where the study's pruner says so."""
        at = next(self._steps) if step is None else step
        if patient_call(self._client, "study.report", trial=self.id, value=value, step=at, token=self.token)["stop"]:
            raise Pruned(f"trial {self.number} is stopped: others are better by now")


@dataclass(frozen=True, slots=True)
class Tuned:
    """The outcome: the best trial's parameters and value, and the name under which the study is kept."""

    study: str
    params: JsonObject
    value: float | None
    trials: int
    number: int | None = None
    _client: Client | None = field(default=None, repr=False, compare=False)

    def register(self, model: str, *, trial: int | None = None, logged: str = "") -> Mapping[str, Json]:
        """Make the model that the best trial (or the one of a number) logged the next version of `model`.

        Raises Conflict where it logged none, Invalid where it is not clear which trial or model is meant.
        """
        asked = {"name": self.study, "model": model, "logged": logged} | ({} if trial is None else {"trial": trial})
        own = self._client is None
        using = self._client or open_client()
        try:
            return dict(using.call("study.register", **asked))
        finally:
            if own:
                using.close()

    def _repr_html_(self) -> str:
        return f"<b>{self.study}</b>: best {self.value} of {self.trials} trials with <code>{dict(self.params)}</code>"


def tune(
    function: Objective,
    space: Mapping[str, Json],
    *,
    trials: int = 20,
    direction: str = "minimize",
    sampler: str = "tpe",
    pruner: str = "",
    name: str = "",
    workers: int = 1,
    seed: int = 0,
    client: Client | None = None,
) -> Tuned:
    """Call `function(params)` (or `function(params, trial)`) with parameters from `space` until `trials` are made.

    `space` is written as NNI writes it: `{"lr": {"_type": "loguniform", "_value": [1e-4, 1e-1]}}`. The function returns
    a number, or an object with `default`. One that raises ends that trial as failed; the search goes on. With the name
    of a study that is there already the search goes on with it, up to `trials` in all. `workers` are threads.

    Raises Invalid for a space or an algorithm that makes no sense, and the function's own error when no trial came to
    its end.
    """
    own = client is None
    using = client or open_client()
    try:
        study = _study(using, name, space, trials, direction, sampler, pruner, workers, seed)
        failures: list[BaseException] = []
        code = Code(using, {f"{function_name(function)}.py": source_of(function)})
        threads = [
            threading.Thread(target=_work, args=(using, study, function, failures, code), name=f"hanok-tune-{i}")
            for i in range(workers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        shown = patient_call(using, "study.show", name=study)
        if not shown["best"] and failures:
            raise failures[-1]
        if not shown["best"]:
            last = _last_reason(using, study)
            warnings.warn(f"no trial of study {study!r} has a result: {last}", stacklevel=2)
        best = shown["best"][0] if shown["best"] else {"params": {}, "values": [None], "number": None}
        return Tuned(study, best["params"], best["values"][0], shown["trials"], best["number"], client)
    finally:
        if own:
            using.close()


def _last_reason(client: Client, study: str) -> str:
    """Why the last trial that failed did."""
    failed = patient_call(client, "study.trials", name=study, state="failed")
    return str(failed[-1]["reason"]) if failed else "none has ended"


def worker_name() -> str:
    """Tells this process from every other."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"


def _study(
    client: Client,
    name: str,
    space: Mapping[str, Json],
    trials: int,
    direction: str,
    sampler: str,
    pruner: str,
    workers: int,
    seed: int,
) -> str:
    asked = {"max_trials": trials, "concurrency": workers}
    if name and name in {s["name"] for s in client.call("study.list")}:
        if client.call("study.show", name=name)["space"] != dict(space):
            raise Invalid(
                f"study {name!r} has another space: give this search another name, or change that study first"
            )
        client.call("study.update", name=name, limits=asked, space=dict(space), state="running")
        return name
    made = client.call(
        "study.create",
        name=name or f"tune-{uuid.uuid4().hex[:8]}",
        space=dict(space),
        directions=[direction],
        sampler=sampler,
        pruner=pruner,
        limits=asked,
        seed=seed,
    )
    return str(made["name"])


def _work(client: Client, study: str, function: Objective, failures: list[BaseException], code: Code) -> None:
    takes_trial = len(inspect.signature(function).parameters) > 1
    worker, wait_s = worker_name(), IDLE_S
    while True:
        try:
            asked = patient_call(client, "study.ask", name=study, worker=worker, code_of=code.of)
        except HanokError as error:
            if error.code in OVER:
                return
            failures.append(error)
            return
        if not asked:
            time.sleep(wait_s)  # the rest is worked on: it ends, or comes back when its worker is silent for too long
            wait_s = min(IDLE_MAX_S, wait_s * 2)
            continue
        wait_s = IDLE_S
        for given in asked:
            trial = Trial(given["id"], given["number"], given["params"], given["token"], given["run"], client)
            with _beating(client, trial.id, worker):
                _run(client, trial, function, takes_trial, failures, code)


def _run(
    client: Client,
    trial: Trial,
    function: Objective,
    takes_trial: bool,
    failures: list[BaseException],
    code: Code,
) -> None:
    """Whatever goes wrong, inside or outside of the function, is the end of this one trial."""
    told: dict[str, Json]
    try:
        code.keep(trial.run_id)
        try:
            value = function(dict(trial.params), trial) if takes_trial else function(dict(trial.params))
        finally:
            trial.close()
        told = {"value": value}
    except Pruned as stop:
        told = {"state": "pruned", "reason": str(stop)}
    except (Exception, SystemExit) as error:  # noqa: BLE001 (a trial ends here; its reason is kept)
        failures.append(error)
        told = {"state": "failed", "reason": words(error)}
    except BaseException:
        client.call("study.tell", trial=trial.id, token=trial.token, state="cancelled", reason="interrupted")
        raise
    try:
        patient_call(client, "study.tell", trial=trial.id, token=trial.token, **told)
    except HanokError as error:
        if error.status != CONFLICT:  # it was given to another worker, or ended by hand, and stays as it is
            failures.append(error)  # it comes back to the study when its lease is over


class _beating:
    """Renews a trial's lease while it works."""

    def __init__(self, client: Client, trial_id: int, worker: str, every_s: float = 15.0) -> None:
        self._client, self._trial, self._worker, self._every = client, trial_id, worker, every_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="hanok-tune-heartbeat")

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(timeout=1)

    def _beat(self) -> None:
        while not self._done.wait(self._every):
            try:
                self._client.call("study.heartbeat", trials=[self._trial], worker=self._worker)
            except HanokError:
                continue  # the next one may get through; the lease is longer than several of them
