"""The loopback address that NNI's trials on this machine speak to: parameters out, results in."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from hanok.core.errors import HanokError
from hanok.core.json import JsonObject
from hanok.sdk.loopback import body_size, refusal
from hanok.wire.nni.channel import MetricReport, ParameterRequest, decode_command, encode_parameter

BODY_MAX_BYTES = 1 << 20
POLL_S = 2.0
Report = Callable[[int, MetricReport], None]


class Channel:
    """`url(trial)` is what a trial is given as NNI_TRIAL_COMMAND_CHANNEL. Use as a context manager."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._params: dict[int, JsonObject] = {}
        self._replies: dict[int, queue.Queue[bytes]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True, name="hanok-nni-channel")

    def open(self, trial: int, params: JsonObject) -> str:
        """Answer a trial from now on; returns its address."""
        self._params[trial], self._replies[trial] = params, queue.Queue()
        return f"http://127.0.0.1:{self._server.server_port}/trial/{trial}"

    def shut(self, trial: int) -> None:
        """The trial has ended: what still comes from it is refused."""
        self._params.pop(trial, None)
        self._replies.pop(trial, None)

    def __enter__(self) -> Channel:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def put(self, trial: int, body: bytes) -> int:
        """The status for a command of a trial."""
        params, replies = self._params.get(trial), self._replies.get(trial)
        if params is None or replies is None:
            return 410
        try:
            command = decode_command(body)
            if isinstance(command, ParameterRequest):
                replies.put(encode_parameter(trial, params))
            else:
                self._report(trial, command)
        except HanokError as error:
            return error.status
        return 200

    def get(self, trial: int) -> tuple[int, bytes]:
        """What waits for a trial: 408 asks it to poll again, 410 says that nothing will come."""
        replies = self._replies.get(trial)
        if replies is None:
            return 410, b""
        try:
            return 200, replies.get(timeout=POLL_S)
        except queue.Empty:
            return 408, b""

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        channel = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self) -> None:
                if self._heard():
                    body = self.rfile.read(body_size(self.headers) or 0)
                    self._answer(channel.put(self._trial(), body), b"")

            def do_GET(self) -> None:
                if self._heard():
                    self._answer(*channel.get(self._trial()))

            def _heard(self) -> bool:
                refused = refusal(self.headers, body_max_bytes=BODY_MAX_BYTES)
                if refused is not None:
                    self.close_connection = True  # its body is not read
                    self._answer(refused.status, json.dumps({"error": refused.why}).encode())
                return refused is None

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: the trial's own output is what people read."""

            def _trial(self) -> int:
                last = self.path.rpartition("/")[2]
                return int(last) if last.isascii() and last.isdigit() and len(last) < 16 else -1

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        return Handler
