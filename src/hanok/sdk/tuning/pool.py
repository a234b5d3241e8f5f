"""Trials as commands on this machine: processes of their own, a few at a time, each with NNI's environment.

The study is asked for trials, wherever it is kept. A trial ends in one state with its reason, whatever its process
does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from hanok.core.errors import HanokError
from hanok.core.json import Json
from hanok.sdk.client import Client
from hanok.sdk.runs.sync import sync
from hanok.sdk.tuning.channel import Channel
from hanok.sdk.tuning.code import Code, files_of
from hanok.sdk.tuning.functions import OVER, worker_name
from hanok.sdk.tuning.patience import patient_call, patient_upload, patiently
from hanok.wire.nni.channel import MetricReport, decode_metric_file, decode_output, encode_parameter_file

LOOK_S = 0.1
BEAT_S = 15.0
KILL_AFTER_S = 5.0
LINES_SAID = 5
PLATFORM = "hanok"


@dataclass
class _Running:
    """One trial and its process. `told` once the study knows its end."""

    trial: Mapping[str, Json]
    process: subprocess.Popen[bytes]
    folder: Path
    log: IO[bytes]
    started: float
    told: bool = False
    stop: str = ""  # pruned, cancelled or failed, and why the process is being ended
    reason: str = ""
    stopped_at: float = 0.0
    read: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def id(self) -> int:
        return int(str(self.trial["id"]))


class Pool:
    """Runs `command` (a shell line, as NNI has it) in `folder` for each trial; their files go below `keep`."""

    def __init__(
        self,
        client: Client,
        study: str,
        command: str,
        folder: Path,
        *,
        keep: Path,
        concurrency: int = 1,
        trial_seconds: float | None = None,
        ended: Callable[[int, str], None] = lambda trial, state: None,
    ) -> None:
        self._client, self._study, self._command, self._folder = client, study, command, folder
        self._keep, self._concurrency, self._trial_seconds, self._ended = keep, concurrency, trial_seconds, ended
        self._worker = worker_name()
        self._code = Code(client, files_of(command, folder), command=command, folder=folder)
        self._running: dict[int, _Running] = {}
        self._interrupted = threading.Event()

    def run(self) -> None:
        """Until the study is over. An interrupt ends the running trials as cancelled."""
        with Channel(self._reported) as channel:
            over, beaten = False, time.monotonic()
            try:
                while not over or self._running:
                    if not over and len(self._running) < self._concurrency:
                        over = self._fill(channel)
                    time.sleep(LOOK_S)
                    for running in list(self._running.values()):
                        self._look(running, channel)
                    if time.monotonic() - beaten > BEAT_S:
                        beaten = time.monotonic()
                        self._beat()
            except BaseException:
                self._interrupt(channel)
                raise

    def _fill(self, channel: Channel) -> bool:
        """Start what the study hands out; True when it is over."""
        try:
            wanted = self._concurrency - len(self._running)
            asked = patient_call(
                self._client, "study.ask", name=self._study, worker=self._worker, n=wanted, code_of=self._code.of
            )
        except HanokError as error:
            if error.code in OVER:
                return True
            raise
        for trial in asked:
            try:
                self._code.keep(str(trial["run"]))
                self._start(trial, channel)
            except (HanokError, OSError) as error:  # the end of this one trial
                self._end(trial, state="failed", reason=f"the trial cannot be started: {error}")
        return False

    def _start(self, trial: Mapping[str, Json], channel: Channel) -> None:
        number, key = trial["number"], int(str(trial["id"]))
        folder = self._keep / f"trial-{number:0>5}"
        (folder / ".nni").mkdir(parents=True, exist_ok=True)
        params = trial["params"] if isinstance(trial["params"], Mapping) else {}
        (folder / "parameter.cfg").write_bytes(encode_parameter_file(key, params))
        environment = os.environ | self._environment(trial, folder, channel.open(key, params))
        log = (folder / "output.log").open("wb")
        process = subprocess.Popen(
            self._command,
            shell=True,
            cwd=self._folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._running[key] = _Running(trial, process, folder, log, time.monotonic())

    def _environment(self, trial: Mapping[str, Json], folder: Path, address: str) -> dict[str, str]:
        return {
            "NNI_PLATFORM": PLATFORM,
            "NNI_EXP_ID": self._study,
            "NNI_TRIAL_JOB_ID": str(trial["id"]),
            "NNI_TRIAL_SEQ_ID": str(trial["number"]),
            "NNI_SYS_DIR": str(folder),
            "NNI_OUTPUT_DIR": str(folder),
            "NNI_CODE_DIR": str(self._folder),
            "NNI_TRIAL_COMMAND_CHANNEL": address,
            "HANOK_RUN_ID": str(trial.get("run") or ""),
            "HANOK_JOURNAL": str(folder / "journal"),
            **self._place(trial),
            "PYTHONUNBUFFERED": "1",
        }

    def _place(self, trial: Mapping[str, Json]) -> dict[str, str]:
        """Where the trial's own `hk.run` and MLflow client find its run."""
        address = self._client.address
        if not address:
            return {"HANOK_OFFLINE": "1"}  # the home is open in this process; the journal is brought over at the end
        return {"HANOK_URL": address, "MLFLOW_TRACKING_URI": address, "MLFLOW_RUN_ID": str(trial.get("run") or "")}

    def _reported(self, key: int, report: MetricReport) -> None:
        running = self._running.get(key)
        if running is not None:
            self._take(running, report)

    def _take(self, running: _Running, report: MetricReport) -> None:
        """An intermediate or final result. The first final one counts."""
        with running.lock:
            if running.told or running.stop:
                return
            if report.final:
                self._tell(running, value=report.value)
                return
            token = running.trial["token"]
            try:
                asked = {"trial": running.id, "value": report.value, "step": report.sequence, "token": token}
                if patient_call(self._client, "study.report", **asked)["stop"]:
                    running.stop, running.reason = "pruned", "others are better by now"
            except HanokError as error:
                if error.status == 409:  # it is worked on elsewhere, or was ended by hand
                    running.stop, running.reason, running.told = "cancelled", error.message, True

    def _look(self, running: _Running, channel: Channel) -> None:
        """One look at a process: older channels, its time, its end."""
        self._read_files(running)
        code = running.process.poll()
        late = self._trial_seconds is not None and time.monotonic() - running.started > self._trial_seconds
        if code is None and late and not running.stop and not running.told:
            running.stop, running.reason = "failed", f"ran longer than {self._trial_seconds:g} s"
        if code is None and running.stop:
            self._end_process(running)
        if code is None:
            return
        self._read_files(running, last=True)
        channel.shut(running.id)
        running.log.close()
        self._bring_over(running)
        with running.lock:
            if not running.told:
                state, reason = (running.stop, running.reason) if running.stop else ("failed", _why(running, code))
                self._tell(running, state=state, reason=reason)
        self._upload(running)
        del self._running[running.id]

    def _tell(self, running: _Running, **told: Json) -> None:
        running.told = True
        self._end(running.trial, **told)

    def _end(self, trial: Mapping[str, Json], **told: Json) -> None:
        """A trial that cannot be told comes back to the study when its lease is over."""
        try:
            ended = patient_call(self._client, "study.tell", trial=trial["id"], token=trial["token"], **told)
            self._ended(int(str(trial["id"])), ended["state"])
        except HanokError as error:
            if error.status != 409:  # 409: it was given up, or ended by hand, and stays as it is
                warnings.warn(f"the end of trial {trial['number']} is not stored: {error.message}", stacklevel=2)

    def _bring_over(self, running: _Running) -> None:
        """What the trial's own run wrote to disk. What cannot be stored stays there."""
        try:
            patiently(lambda: sync(running.folder / "journal", self._client))
        except HanokError as error:
            number = running.trial["number"]
            warnings.warn(f"the run of trial {number} waits on disk: {error.message}", stacklevel=2)

    def _read_files(self, running: _Running, *, last: bool = False) -> None:
        """Results that came by NNI's older ways."""
        path = running.folder / ".nni" / "metrics"
        if path.exists():
            with path.open("rb") as file:
                file.seek(running.read)
                found, size = decode_metric_file(file.read())
            running.read += size
            for report in found:
                self._take(running, report)
        if last:
            for report in decode_output((running.folder / "output.log").read_bytes()):
                self._take(running, report)

    def _end_process(self, running: _Running) -> None:
        """SIGINT, then SIGKILL, as NNI does it; the whole process group."""
        if not running.stopped_at:
            running.stopped_at = time.monotonic()
            _signal(running.process, signal.SIGINT)
        elif time.monotonic() - running.stopped_at > KILL_AFTER_S:
            _signal(running.process, signal.SIGKILL)

    def _beat(self) -> None:
        keys = [key for key, running in self._running.items() if not running.told]
        if not keys:
            return
        try:
            lost = self._client.call("study.heartbeat", trials=keys, worker=self._worker)["lost"]
        except HanokError:
            return  # the next one may get through; the lease is longer than several of them
        for key in lost:
            running = self._running[key]
            running.stop, running.reason, running.told = "cancelled", "given to another worker", True

    def _interrupt(self, channel: Channel) -> None:
        for running in self._running.values():
            _signal(running.process, signal.SIGINT)
        limit = time.monotonic() + KILL_AFTER_S
        for running in self._running.values():
            try:
                running.process.wait(max(0.1, limit - time.monotonic()))
            except subprocess.TimeoutExpired:
                _signal(running.process, signal.SIGKILL)
                running.process.wait()
            running.log.close()
            channel.shut(running.id)
            if not running.told:
                self._tell(running, state="cancelled", reason="interrupted")

    def _upload(self, running: _Running) -> None:
        run, log = running.trial.get("run"), running.folder / "output.log"
        if isinstance(run, str) and run and log.stat().st_size:
            try:
                patient_upload(self._client, run, "output.log", log)
            except HanokError as error:
                warnings.warn(f"the output of trial {running.trial['number']} stays in {log}: {error}", stacklevel=2)


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


def _why(running: _Running, code: int) -> str:
    """Why a process without a final result is a failed trial, with the end of what it wrote."""
    text = (running.folder / "output.log").read_bytes()[-4000:].decode(errors="replace").strip()
    said = "\n".join(text.splitlines()[-LINES_SAID:])
    ended = f"ended by signal {-code}" if code < 0 else f"ended with status {code}"
    what = "ended without a final result" if code == 0 else ended
    return f"{what}; last output: {said}" if said else what
