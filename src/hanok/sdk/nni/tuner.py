"""NNI's own tuner, assessor or advisor: a process of the user's Python, spoken with over a WebSocket."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from hanok.core.errors import Invalid
from hanok.core.json import Json, JsonObject
from hanok.sdk.nni.arguments import Arguments
from hanok.wire.nni.websocket import CLOSE, PING, PONG, TEXT, Frames, encode_frame

RECEIVE_BYTES = 1 << 16
LINES_SAID = 6
BYE, NOTHING = "_bye_", "_nop_"
Heard = Callable[[str, str], None]
Lost = Callable[[str], None]


class Tuner:
    """What is sent before the tuner has connected waits for it. `heard` is called for each command, `lost` when it is
    gone."""

    def __init__(self, heard: Heard, lost: Lost) -> None:
        self._heard, self._lost = heard, lost
        self._socket: socket.socket | None = None
        self._early: list[tuple[str, str | None]] = []
        self._lock = threading.Lock()
        self._over = False
        self.process: subprocess.Popen[bytes] | None = None
        self.connected = threading.Event()

    def launch(self, arguments: Arguments, config: JsonObject, mode: str) -> None:
        """Start NNI's dispatcher in the Python that nnictl ran in."""
        body = {key: value for key, value in config.items() if key != "searchSpace"}
        words = [arguments.python_interpreter, "-m", "nni"]
        words += ["--exp_params", base64.b64encode(json.dumps(body).encode()).decode()]
        logs, checkpoint = arguments.folder / "log", arguments.folder / "checkpoint"
        checkpoint.mkdir(parents=True, exist_ok=True)
        environment = {
            "SDK_PROCESS": "dispatcher",
            "NNI_MODE": mode,
            "NNI_CHECKPOINT_DIRECTORY": str(checkpoint),
            "NNI_LOG_DIRECTORY": str(logs),
            "NNI_LOG_LEVEL": arguments.log_level,
            "NNI_INCLUDE_INTERMEDIATE_RESULTS": _includes_intermediate(config),
            "NNI_TUNER_COMMAND_CHANNEL": arguments.tuner_address,
            "CUDA_VISIBLE_DEVICES": _devices(config.get("tunerGpuIndices")),
        }
        with (logs / "tuner.log").open("ab") as out:
            self.process = subprocess.Popen(
                words,
                cwd=logs,
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def send(self, kind: str, content: str | None = None) -> None:
        with self._lock:
            if self._socket is None:
                self._early.append((kind, content))
                return
            self._write(kind, content)

    def serve(self, connection: socket.socket, left_over: bytes) -> None:
        """Speak with a tuner that has just shaken hands, until it goes."""
        with self._lock:
            self._socket = connection
            for name, said in self._early:
                self._write(name, said)
            self._early.clear()
        self.connected.set()
        frames, content = Frames(), left_over
        try:
            while True:
                for kind, payload in frames.feed(content):
                    if kind == CLOSE:
                        return
                    self._take(kind, payload)
                content = connection.recv(RECEIVE_BYTES)
                if not content:
                    return
        except OSError:
            return
        finally:
            with self._lock:
                self._socket = None
            if not self._over:
                self._lost("the tuner's connection ended")

    def finish(self, wait_s: float) -> None:
        """Tell it to end, wait, and end it where it does not."""
        self._over = True
        self.send("TE")
        with self._lock:
            if self._socket is not None:
                self._frame(TEXT, json.dumps({"type": BYE, "content": "TE command"}).encode())
        if self.process is None:
            return
        try:
            self.process.wait(wait_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _take(self, kind: int, payload: bytes) -> None:
        if kind == PING:
            with self._lock:
                self._frame(PONG, payload)
        elif kind == TEXT:
            command = json.loads(payload)
            if not isinstance(command, dict):
                raise Invalid("a tuner sends objects with type and content")
            name, content = str(command.get("type")), command.get("content")
            if name == BYE:
                self._over = True
            elif name != NOTHING:
                self._heard(name, content if isinstance(content, str) else json.dumps(content) if content else "")

    def _write(self, kind: str, content: str | None) -> None:
        body = {"type": kind} | ({} if content is None else {"content": content})
        self._frame(TEXT, json.dumps(body).encode())

    def _frame(self, kind: int, payload: bytes) -> None:
        if self._socket is not None:
            try:
                self._socket.sendall(encode_frame(kind, payload))
            except OSError:
                return  # the reading side tells


def last_lines(logs: Path) -> str:
    """What a tuner that ended wrote last."""
    for name in ("tuner.log", "dispatcher.log"):
        path = logs / name
        if path.exists() and (lines := path.read_text(errors="replace").strip().splitlines()):
            return "\n".join(lines[-LINES_SAID:])
    return ""


def _includes_intermediate(config: JsonObject) -> str:
    older = config.get("deprecated")
    return "true" if isinstance(older, Mapping) and older.get("includeIntermediateResults") else "false"


def _devices(indices: Json) -> str:
    if isinstance(indices, list):
        return ",".join(str(i) for i in indices)
    return "" if indices is None else str(indices)
