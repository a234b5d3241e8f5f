"""One NNI experiment: what the tuner proposes is run on this machine, what the trials report goes to the tuner.

The order of things, the states and the messages are those of NNI 3.0's manager (`nnimanager.ts`).
"""

from __future__ import annotations

import json
import logging
import random
import string
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hanok.core.errors import Conflict, Invalid
from hanok.core.json import Json, JsonObject
from hanok.sdk.nni import jobs
from hanok.sdk.nni.arguments import Arguments
from hanok.sdk.nni.jobs import ReadOnly, TrialNotThere
from hanok.sdk.nni.mirror import Mirror, study_name
from hanok.sdk.nni.trials import TrialProcess, start_trial
from hanok.sdk.nni.tuner import Tuner, last_lines
from hanok.stores.nni_files import ExperimentFile, ExperimentList
from hanok.wire.nni.channel import MetricReport
from hanok.wire.nni.experiment import seconds
from hanok.wire.nni.fields import check_configuration, check_imported, check_parameters, updated_field

LOOK_S = 0.05
CONNECT_S, IDLE_S, TUNER_ENDS_S = 120.0, 3.0, 30.0
OVER = ("ERROR", "STOPPING", "STOPPED")
log = logging.getLogger("hanok.nni")


class Experiment:
    """All methods are safe to call from any thread; `run` works until `stop`."""

    def __init__(self, arguments: Arguments, files: ExperimentFile, listed: ExperimentList, place: str) -> None:
        self.arguments, self._files, self._listed, self._place = arguments, files, listed, place
        self.status, self.errors = "INITIALIZED", list[str]()
        self.profile: dict[str, Any] = {}
        self.tuner = Tuner(self._heard, self._lost)
        self._mirror: Mirror | None = None
        self._jobs, self._metrics = jobs.jobs_of(files.events()), files.metrics()
        self._waiting: list[tuple[int, str, str]] = []  # sequence, parameter record, and the id of one that is resumed
        self._running: dict[str, TrialProcess] = {}
        self._records: dict[str, str] = {}
        self._submitted, self._wanted, self._changes = 0, 0, 0
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._first = list[tuple[str, str]]()  # what a tuner is told before it is asked, after a resume
        self._exhausted = False  # it is done because its tuner has nothing more
        self._idle_since, self._began = 0.0, time.monotonic()

    # -- how it begins and ends ------------------------------------------------------------------------------

    @property
    def config(self) -> dict[str, Any]:
        found: dict[str, Any] = self.profile["params"]
        return found

    def begin(self, config: JsonObject) -> JsonObject:
        """POST /experiment: a new one with this configuration, or the one that is here, to go on with or to look at."""
        with self._lock:
            if self.status != "INITIALIZED":
                raise Conflict(f"experiment {self.arguments.experiment_id} is {self.status} already")
            if self.arguments.action == "create":
                check_configuration(config)
                self.profile = {
                    "params": dict(config),
                    "id": self.arguments.experiment_id,
                    "execDuration": 0,
                    "logDir": str(self.arguments.folder),
                    "startTime": _now(),
                    "nextSequenceId": 0,
                    "revision": 0,
                }
            else:
                kept = self._files.profile(self.arguments.experiment_id)
                if kept is None:
                    raise Invalid(f"experiment {self.arguments.experiment_id} was never started: it cannot be resumed")
                self.profile = kept
            if self.arguments.action == "view":
                self._set("VIEWED")
                return {}
            self._start()
            return {"experiment_id": self.arguments.experiment_id}

    def _start(self) -> None:
        self._mirror = Mirror(study_name(self.config, self.arguments.experiment_id), self.config, self._place)
        self._mirror.start()
        resumed = self.arguments.action == "resume"
        if resumed:
            self._recover()
        if not self.arguments.tuner_command_channel:
            self.tuner.launch(self.arguments, self.config, "resume" if resumed else "start")
        self.tuner.send("IN", json.dumps(self.config.get("searchSpace") or {}))
        self._set("RUNNING")
        self._store()
        threading.Thread(target=self._run, name="nni-experiment", daemon=True).start()

    def _recover(self) -> None:
        """Trials that had not ended wait again; the tuner hears what the others gave."""
        again = [j for j in self._jobs.values() if j["status"] in ("WAITING", "RUNNING") and j["hyperParameters"]]
        packed: list[Json] = []
        for job in again:
            record = json.loads(job["hyperParameters"][0]) | {"parameter_source": "resumed"}
            self._waiting.append((job.get("sequenceId", 0), json.dumps(record), job["trialJobId"]))
            packed.append(record)
        self._submitted = len(self._jobs) - len(again)
        self._metrics = [m for m in self._metrics if m["trialJobId"] not in {j["trialJobId"] for j in again}]
        self.profile.pop("endTime", None)
        done = jobs.exported(self.trials())
        imported = [one for text in self.imported() for one in json.loads(text)]
        self._first = [("FD", json.dumps([*done, *imported])), ("AD", json.dumps(packed))]

    def stop(self) -> None:
        """End tuner and trials, and note it. A second call does nothing."""
        with self._lock:
            if self.status in ("STOPPING", "STOPPED"):
                return
            viewed = self.status in ("VIEWED", "INITIALIZED")
            self._set("STOPPING")
        if not viewed:
            self.tuner.finish(TUNER_ENDS_S)
            with self._lock:
                for process in self._running.values():
                    process.stop("USER_CANCELED")
            while self._running:
                self._look_at_trials()
                time.sleep(LOOK_S)
            self.profile.setdefault("endTime", _now())
            self._store()
        if self._mirror is not None:
            self._mirror.changed(state="stopped")
            self._mirror.close(TUNER_ENDS_S)
        self._set("STOPPED")
        self._ended.set()

    # -- what is asked and told over REST --------------------------------------------------------------------

    def trials(self, status: str = "") -> list[dict[str, Any]]:
        with self._lock:
            finals: dict[str, Mapping[str, Any]] = {}
            for metric in self._metrics:
                if metric["type"] == "FINAL":
                    finals.setdefault(metric["trialJobId"], metric)
            return [jobs.shown(job, finals) for job in self._jobs.values() if not status or job["status"] == status]

    def trial(self, trial: str) -> dict[str, Any]:
        """Raises TrialNotThere."""
        found = next((t for t in self.trials() if t["trialJobId"] == trial), None)
        if found is None:
            raise TrialNotThere(f"experiment {self.arguments.experiment_id} has no trial {trial[:80]!r}")
        return found

    def metrics(self, trial: str = "", kind: str = "") -> list[Mapping[str, Any]]:
        with self._lock:
            return [
                m for m in self._metrics if (not trial or m["trialJobId"] == trial) and (not kind or m["type"] == kind)
            ]

    def imported(self) -> list[str]:
        return [e["data"] for e in self._files.events() if e["event"] == "IMPORT_DATA" and e["data"]]

    def update(self, kind: str, config: Mapping[str, Any]) -> None:
        """PUT /experiment: what the configuration says of one thing, from now on. Raises Invalid."""
        with self._lock:
            self._check_open()
            name, value = updated_field(kind, config)
            if name == "trialConcurrency":
                self._changes += int(str(value)) - int(self.config[name])
            if name == "searchSpace":
                self.tuner.send("SS", json.dumps(value))
            self.config[name] = value
            self._store()
            if self._mirror is not None and name in ("trialConcurrency", "maxTrialNumber"):
                field = "concurrency" if name == "trialConcurrency" else "max_trials"
                self._mirror.changed(limits={field: value})
            if self._mirror is not None and name == "searchSpace":
                self._mirror.changed(space=value)

    def import_data(self, data: Json) -> None:
        with self._lock:
            self._check_open()
            check_imported(data)
            self.tuner.send("FD", json.dumps(data))
            self._files.add_event("IMPORT_DATA", "", _now(), data=json.dumps(data))

    def customize(self, params: Json) -> int:
        """A trial with parameters that a person chose; returns its number."""
        with self._lock:
            self._check_open()
            check_parameters(params)
            if self._submitted >= self._max_trials:
                raise Conflict("the experiment has made all its trials: raise maxTrialNumber first")
            sequence = int(self.profile["nextSequenceId"])
            self.profile["nextSequenceId"] = sequence + 1
            record = {"parameter_id": None, "parameter_source": "customized", "parameters": params}
            self._waiting.append((sequence, json.dumps(record), ""))
            self._files.add_event("ADD_CUSTOMIZED", "", _now(), data=json.dumps(params))
            return sequence

    def cancel(self, trial: str, status: str = "USER_CANCELED") -> None:
        with self._lock:
            self.trial(trial)
            if trial in self._running:
                self._running[trial].stop(status)

    def parameter_of(self, trial: str) -> str | None:
        """The record that a trial gets; None for one that does not run."""
        with self._lock:
            return self._records.get(trial)

    def report(self, trial: str, report: MetricReport) -> None:
        """A result of a running trial; the first final one counts."""
        with self._lock:
            if trial not in self._records:
                return
            kind = "FINAL" if report.final else "PERIODICAL"
            if report.final and self.metrics(trial, "FINAL"):
                return
            parameter, value = json.loads(self._records[trial])["parameter_id"], json.dumps(report.value)
            metric = {
                "timestamp": _now(),
                "trialJobId": trial,
                "parameterId": None if parameter is None else str(parameter),
                "type": kind,
                "sequence": report.sequence,
                "data": json.dumps(value),
            }
            self._files.add_metric(metric)
            self._metrics.append(metric)
            body = {"parameter_id": parameter, "trial_job_id": trial, "type": kind, "sequence": report.sequence}
            self.tuner.send("ME", json.dumps(body | {"value": value}))
            if self._mirror is not None and report.final:
                self._mirror.final(trial, report.value)
            elif self._mirror is not None:
                self._mirror.reported(trial, report.value, report.sequence)

    # -- the loop --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        counted, stored = time.monotonic(), time.monotonic()
        while self.status not in OVER:
            try:
                self._look()
            except Exception as error:
                log.exception("the experiment cannot go on")
                self._fail(f"the manager failed: {type(error).__name__}: {error}")
            time.sleep(LOOK_S)
            now = time.monotonic()
            if self.status not in (*OVER, "DONE"):
                self.profile["execDuration"] += now - counted
            counted = now
            if now - stored > 10 and self.status not in OVER:
                stored = now
                self._store()

    def _look(self) -> None:
        with self._lock:
            if not self.tuner.connected.is_set():
                self._check_tuner_comes()
                return
            ended = self._look_at_trials()
            asks, self._changes = self._changes + ended, 0
            if asks < 0:
                self._changes, asks = asks, 0
            if self.profile["execDuration"] > self._max_seconds or self._submitted >= self._max_trials:
                self._changes += asks  # for when there may be more
                self._no_more()
                return
            if self.status == "DONE" and (asks or self._waiting or not self._exhausted):
                self._exhausted = False
                self.profile.pop("endTime", None)
                self._set("RUNNING")
            if asks:
                self.tuner.send("GE", str(asks))
            while self._waiting and len(self._running) < self.config["trialConcurrency"]:
                if self._submitted >= self._max_trials:
                    break
                self._submit(*self._waiting.pop(0))
            self._end_when_idle()

    def _no_more(self) -> None:
        if self.status == "DONE":
            return
        self._set("NO_MORE_TRIAL")
        if not self._running:
            self._done()

    def _end_when_idle(self) -> None:
        """A tuner that has no more to try, with nothing left that runs, is the end too."""
        if self.status != "TUNER_NO_MORE_TRIAL" or self._running or self._waiting:
            self._idle_since = 0.0
        elif not self._idle_since:
            self._idle_since = time.monotonic()
        elif time.monotonic() - self._idle_since > IDLE_S:
            self._exhausted = True
            self._done()

    def _done(self) -> None:
        self._set("DONE")
        self.profile["endTime"] = _now()
        self._listed.set(self.arguments.experiment_id, endTime=self.profile["endTime"])
        self._store()
        if self._mirror is not None:
            self._mirror.changed(state="done")

    def _submit(self, sequence: int, record: str, resumed: str) -> None:
        trial = resumed or self._new_id()
        folder = self.arguments.folder / "environments" / "local-env" / "trials" / trial
        self._submitted += 1
        self._event("WAITING", trial, data=record, folder=str(folder), sequence=sequence)
        self._records[trial] = record
        params = json.loads(record).get("parameters")
        if self._mirror is not None:
            self._mirror.began(trial, params, folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "parameter.cfg").write_text(record)
            code = Path(str(self.config.get("trialCodeDirectory") or "."))
            self._running[trial] = start_trial(
                str(self.config["trialCommand"]), code, folder, self._environment(trial, sequence, folder)
            )
            self._event("RUNNING", trial, folder=str(folder))
        except OSError as error:
            self._close_trial(trial, "FAILED", f"the trial cannot be started: {error}")

    def _new_id(self) -> str:
        while True:
            made = "".join(random.choices(string.ascii_letters + string.digits, k=5))
            if made not in self._jobs:
                return made

    def _environment(self, trial: str, sequence: int, folder: Path) -> dict[str, str]:
        prefix = f"/{self.arguments.url_prefix}" if self.arguments.url_prefix else ""
        made = {
            "NNI_PLATFORM": "local",
            "NNI_EXP_ID": self.arguments.experiment_id,
            "NNI_TRIAL_JOB_ID": trial,
            "NNI_TRIAL_SEQ_ID": str(sequence),
            "NNI_SYS_DIR": str(folder),
            "NNI_OUTPUT_DIR": str(folder),
            "NNI_CODE_DIR": str(self.config.get("trialCodeDirectory") or "."),
            "NNI_TRIAL_COMMAND_CHANNEL": f"http://localhost:{self.arguments.port}{prefix}/trial/{trial}",
        }
        return made | ({"CUDA_VISIBLE_DEVICES": ""} if self.config.get("trialGpuNumber") == 0 else {})

    def _look_at_trials(self) -> int:
        """Take in what trials did; returns how many have ended."""
        ended = 0
        with self._lock:
            for trial, process in list(self._running.items()):
                for report in process.older_reports():
                    self.report(trial, report)
                limit = self.config.get("maxTrialDuration")
                if limit and time.monotonic() - process.started > seconds(limit):
                    process.stop("EARLY_STOPPED")
                code = process.ended()
                if code is None:
                    continue
                for report in process.older_reports(last=True):
                    self.report(trial, report)
                del self._running[trial]
                status = process.stopping or ("SUCCEEDED" if code == 0 else "FAILED")
                self._close_trial(trial, status, process.why(code) if status == "FAILED" else "")
                ended += 1
        return ended

    def _close_trial(self, trial: str, status: str, reason: str) -> None:
        record = self._records.pop(trial)
        self._event(status, trial, message=reason or None)
        body = {"trial_job_id": trial, "event": status, "hyper_params": record}
        self.tuner.send("EN", json.dumps(body))
        if self._mirror is not None:
            self._mirror.ended(trial, status, reason)
        log.info("trial %s: %s %s", trial, status, reason)

    # -- the tuner -------------------------------------------------------------------------------------------

    def _heard(self, kind: str, content: str) -> None:
        with self._lock:
            if kind == "ID":
                for first in self._first:
                    self.tuner.send(*first)
                self.tuner.send("GE", str(self.config["trialConcurrency"]))
            elif kind == "TR":
                if self.status == "TUNER_NO_MORE_TRIAL":
                    self._set("RUNNING")
                sequence = int(self.profile["nextSequenceId"])
                self.profile["nextSequenceId"] = sequence + 1
                self._waiting.append((sequence, content, ""))
            elif kind == "NO" and self.status not in (*OVER, "DONE", "NO_MORE_TRIAL"):
                self._set("TUNER_NO_MORE_TRIAL")
            elif kind == "KI":
                trial = json.loads(content)
                if trial in self._running:
                    self._running[trial].stop("EARLY_STOPPED")
            elif kind == "ER":
                self._fail(f"the tuner failed: {content}")

    def _lost(self, why: str) -> None:
        if self.status in (*OVER, "DONE"):
            return
        said = last_lines(self.arguments.folder / "log")
        self._fail(f"Dispatcher stream error, tuner may have crashed: {why}. Its last lines: {said}")

    def _check_tuner_comes(self) -> None:
        process = self.tuner.process
        if process is not None and process.poll() is not None:
            said = last_lines(self.arguments.folder / "log")
            self._fail(f"the tuner ended with status {process.returncode} before it connected. Its last lines: {said}")
        elif time.monotonic() - self._began > CONNECT_S:
            self._fail(f"the tuner did not connect in {CONNECT_S:g} s; see {self.arguments.folder / 'log'}")

    # -- small things ----------------------------------------------------------------------------------------

    def _fail(self, why: str) -> None:
        with self._lock:
            if self.status in OVER:
                return
            self.errors.append(why)
            log.error(why)
            self.profile["endTime"] = _now()
            self._set("ERROR")
            self._store()
            for process in self._running.values():
                process.stop("SYS_CANCELED")
        while self._running:
            self._look_at_trials()
            time.sleep(LOOK_S)
        if self._mirror is not None:
            self._mirror.changed(state="stopped")

    def _event(self, event: str, trial: str, **more: Any) -> None:
        at = _now()
        self._files.add_event(event, trial, at, **more)
        job = self._jobs.setdefault(trial, {"trialJobId": trial, "status": "UNKNOWN", "hyperParameters": []})
        names = {"folder": "logPath", "sequence": "sequenceId"}
        jobs.apply_event(job, {"event": event, "timestamp": at} | {names.get(k, k): v for k, v in more.items()})

    def _store(self) -> None:
        with self._lock:
            self.profile["revision"] += 1
            self._files.put_profile(self.profile)

    def _set(self, status: str) -> None:
        if status != self.status:
            log.info("experiment %s: %s", self.arguments.experiment_id, status)
            self.status = status
            self._listed.set(self.arguments.experiment_id, status=status)

    def _check_open(self) -> None:
        if self.arguments.action == "view":
            raise ReadOnly("the experiment is viewed: resume it to change it")
        if not self.profile:
            raise Conflict("the experiment has not been started yet")

    @property
    def _max_trials(self) -> float:
        return float(self.config.get("maxTrialNumber") or float("inf"))

    @property
    def _max_seconds(self) -> float:
        limit = self.config.get("maxExperimentDuration")
        return seconds(limit) if limit else float("inf")


def _now() -> int:
    return int(time.time() * 1000)
