"""The Hanok study of an NNI experiment: every trial, intermediate and final result, told in order by one thread.

NNI's experiment does not wait for it. While no Hanok answers, what there is to tell waits; nothing is told twice.
"""

from __future__ import annotations

import logging
import queue
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hanok.core.errors import HanokError
from hanok.core.json import Json, JsonObject
from hanok.sdk.client import Client
from hanok.sdk.client import open as open_client
from hanok.sdk.tuning.code import Code, files_of
from hanok.sdk.tuning.functions import worker_name
from hanok.sdk.tuning.patience import patient_call, patient_upload

BEAT_S = 15.0
SERVER_WAIT_S = 120.0
PLACE, COMMAND = "HANOK_NNI_PLACE", (sys.executable, "-P", "-m", "hanok")
log = logging.getLogger("hanok.nni")


@dataclass
class Told:
    """What Hanok knows of a trial."""

    id: int
    token: str
    run: str
    folder: Path | None = None
    final: Json = None
    has_final: bool = False
    reports: int = 0


@dataclass
class Mirror:
    """Its methods return at once, but for `close`."""

    name: str
    config: JsonObject
    place: str
    _waiting: queue.Queue[Callable[[], None] | None] = field(default_factory=queue.Queue)
    _told: dict[str, Told] = field(default_factory=dict)
    _client: Client | None = None
    _thread: threading.Thread | None = None
    _worker: str = field(default_factory=worker_name)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._work, name="hanok-study", daemon=True)
        self._thread.start()
        self._waiting.put(self._open)

    def began(self, trial: str, params: Json, folder: Path) -> None:
        given = dict(params) if isinstance(params, Mapping) else {"parameters": params}

        def tell() -> None:
            client, code = self._open_client, self._code
            asked = {"name": self.name, "params": given, "worker": self._worker, "code_of": code.of}
            made = patient_call(client, "study.start", key=uuid.uuid4().hex, **asked)
            self._told[trial] = Told(made["id"], made["token"], made["run"], folder)
            code.keep(made["run"])

        self._waiting.put(tell)

    def reported(self, trial: str, value: Json, sequence: int) -> None:
        def tell() -> None:
            known = self._told.get(trial)
            if known is not None:
                asked = {"trial": known.id, "value": value, "step": sequence, "token": known.token}
                patient_call(self._open_client, "study.report", **asked)

        self._waiting.put(tell)

    def final(self, trial: str, value: Json) -> None:
        def tell() -> None:
            known = self._told.get(trial)
            if known is not None and not known.has_final:
                known.final, known.has_final = value, True

        self._waiting.put(tell)

    def ended(self, trial: str, status: str, reason: str) -> None:
        def tell() -> None:
            known = self._told.pop(trial, None)
            if known is None:
                return
            self._keep_output(known)
            told = _end(known, status, reason)
            patient_call(self._open_client, "study.tell", trial=known.id, token=known.token, **told)

        self._waiting.put(tell)

    def changed(self, **values: Json) -> None:
        """Limits, space or state of the study."""
        self._waiting.put(lambda: patient_call(self._open_client, "study.update", name=self.name, **values))

    def close(self, timeout_s: float) -> None:
        """Tell what there is to tell, for so long at most."""
        self._waiting.put(None)
        if self._thread is not None:
            self._thread.join(timeout_s)

    # -- the thread ------------------------------------------------------------------------------------------

    def _work(self) -> None:
        beaten = time.monotonic()
        while True:
            try:
                tell = self._waiting.get(timeout=BEAT_S)
            except queue.Empty:
                tell = _nothing
            if tell is None:
                return
            self._attempt(tell)
            if self._told and time.monotonic() - beaten > BEAT_S:
                beaten = time.monotonic()
                self._attempt(self._beat)

    def _attempt(self, tell: Callable[[], None]) -> None:
        try:
            tell()
        except HanokError as error:
            log.warning("Hanok's study %s: %s", self.name, error.message)
        except Exception:
            log.exception("Hanok's study %s cannot follow", self.name)

    def _beat(self) -> None:
        self._open_client.call("study.heartbeat", trials=[t.id for t in self._told.values()], worker=self._worker)

    def _open(self) -> None:
        client = client_of(self.place)
        command, folder = str(self.config.get("trialCommand") or ""), self.config.get("trialCodeDirectory")
        where = Path(str(folder or "."))
        self._code = Code(client, files_of(command, where), command=command, folder=where)
        known = {s["name"] for s in patient_call(client, "study.list")}
        if self.name in known:
            patient_call(client, "study.update", name=self.name, state="running")
            self._client = client
            return
        made = {
            "name": self.name,
            "space": self.config.get("searchSpace") or {},
            "directions": [_direction(self.config)],
        }
        patient_call(client, "study.create", **made, sampler="client", limits=limits_of(self.config))
        self._client = client

    @property
    def _open_client(self) -> Client:
        if self._client is None:
            self._open()
        assert self._client is not None
        return self._client

    def _keep_output(self, known: Told) -> None:
        for name in ("trial.stdout", "trial.stderr"):
            file = None if known.folder is None else known.folder / name
            if file is not None and known.run and file.exists() and file.stat().st_size:
                try:
                    patient_upload(self._open_client, known.run, name, file)
                except HanokError as error:  # the trial is told all the same
                    log.warning("%s is not stored: %s", file, error.message)


def study_name(config: JsonObject, experiment: str) -> str:
    """Of the Hanok study: the experiment's name and id."""
    name = str(config.get("experimentName") or "nni")
    return f"{name[:80]}-{experiment}"


def client_of(place: str) -> Client:
    """A client of a server's URL, or of the server of a home, which is started where none runs."""
    if place.startswith(("http://", "https://")):
        return open_client(place)
    from hanok.engine.home import Home

    home = Home(Path(place))
    if not _answers(home.address()):
        log.info("starting a Hanok server for %s", home.root)
        _start_server(home.root)
    until = time.monotonic() + SERVER_WAIT_S
    while not _answers(home.address()) and time.monotonic() < until:
        time.sleep(0.2)
    return open_client(home.address() or place)


def _answers(address: str) -> bool:
    try:
        return bool(address) and open_client(address).call("study.list") is not None
    except HanokError as error:
        return error.status not in (502, 503, 504)


def _start_server(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (root / "nni-server.log").open("ab") as out:
        subprocess.Popen(
            [*COMMAND, "up", "--home", str(root), "--port", "0"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            cwd=root,
        )


def limits_of(config: JsonObject) -> dict[str, Json]:
    """The limits of a study, from an experiment's configuration."""
    found: dict[str, Json] = {"concurrency": config.get("trialConcurrency") or 1}
    if config.get("maxTrialNumber"):
        found["max_trials"] = config["maxTrialNumber"]
    return found


def _direction(config: JsonObject) -> str:
    """What NNI's algorithms do by themselves: TPE minimizes, the others maximize."""
    for kind in ("tuner", "advisor"):
        algorithm = config.get(kind)
        if isinstance(algorithm, Mapping):
            arguments = algorithm.get("classArgs")
            mode = arguments.get("optimize_mode") if isinstance(arguments, Mapping) else None
            tpe = str(algorithm.get("name", "")).lower().startswith("tpe")
            return str(mode or ("minimize" if tpe else "maximize"))
    return "maximize"


def _end(known: Told, status: str, reason: str) -> dict[str, Json]:
    if status == "SUCCEEDED":
        if known.has_final:
            return {"value": known.final}
        return {"state": "failed", "reason": "ended without a final result"}
    states = {"EARLY_STOPPED": "pruned", "USER_CANCELED": "cancelled", "SYS_CANCELED": "cancelled"}
    return {"state": states.get(status, "failed"), "reason": reason or status.lower().replace("_", " ")}


def _nothing() -> None:
    """A look at the clock."""
