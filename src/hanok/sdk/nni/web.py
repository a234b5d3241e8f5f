"""NNI's REST interface (27 routes below /api/v1/nni), its web pages, and the channels of trials and tuner, on one port
of this machine."""

from __future__ import annotations

import json
import logging
import mimetypes
import socket
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from hanok.core.errors import HanokError, Invalid, NotFound
from hanok.core.json import Json
from hanok.sdk.loopback import body_size, refusal
from hanok.sdk.nni import jobs
from hanok.sdk.nni.experiment import Experiment
from hanok.stores.nni_files import ExperimentList
from hanok.wire.nni.channel import ParameterRequest, decode_command
from hanok.wire.nni.websocket import accept_key

API = "api/v1/nni"
BODY_MAX_BYTES = 64 << 20
POLL_S = 2.0
PLAIN_FILES = {"trial.log": "trial.log", "stdout": "trial.stdout", "stderr": "trial.stderr"}
log = logging.getLogger("hanok.nni")


class Asked(NamedTuple):
    """A request: the parts of its path below the interface, what its query says, and its body."""

    parts: tuple[str, ...]
    query: Mapping[str, str]
    body: Json


class Rest:
    """What each route answers. `stop` ends the process."""

    def __init__(self, experiment: Experiment, listed: ExperimentList, version: str, stop: Callable[[], None]) -> None:
        self._e, self._listed, self._version, self._stop = experiment, listed, version, stop
        self._routes: dict[tuple[str, str], Callable[[Asked], Any]] = {
            ("GET", "version"): lambda a: self._version,
            ("GET", "check-status"): lambda a: {"status": self._e.status, "errors": self._e.errors},
            ("GET", "experiment"): lambda a: self._e.profile,
            ("POST", "experiment"): lambda a: self._e.begin(_object(a.body)),
            ("PUT", "experiment"): self._update,
            ("DELETE", "experiment"): lambda a: self._stop(),
            ("POST", "experiment/import-data"): lambda a: self._e.import_data(a.body),
            ("GET", "experiment/imported-data"): lambda a: self._e.imported(),
            ("PUT", "experiment/cluster-metadata"): lambda a: None,
            ("GET", "experiment-metadata"): self._metadata,
            ("GET", "experiments-info"): lambda a: self._listed.all(),
            ("GET", "job-statistics"): self._statistics,
            ("GET", "trial-jobs"): self._trials,
            ("POST", "trial-jobs"): lambda a: {"sequenceId": self._e.customize(a.body)},
            ("DELETE", "trial-jobs"): lambda a: self._e.cancel(_last(a)),
            ("GET", "metric-data"): lambda a: self._e.metrics(_last(a, optional=True), a.query.get("type", "")),
            ("GET", "metric-data-range"): self._range,
            ("GET", "metric-data-latest"): lambda a: jobs.latest(self._e.metrics()),
            ("GET", "export-data"): lambda a: jobs.exported(self._e.trials()),
            ("GET", "tensorboard-tasks"): lambda a: [],
            ("DELETE", "tensorboard-tasks"): lambda a: None,
            ("POST", "tensorboard"): _no_tensorboard,
            ("GET", "tensorboard"): _no_tensorboard,
            ("PUT", "tensorboard"): _no_tensorboard,
            ("DELETE", "tensorboard"): _no_tensorboard,
        }

    def answer(self, method: str, asked: Asked) -> Any:
        """The JSON answer. Raises HanokError."""
        for length in (2, 1):
            route = self._routes.get((method, "/".join(asked.parts[:length])))
            if route is not None and len(asked.parts) >= length:
                return route(asked)
        raise NotFound(f"NNI's interface has no {method} {'/'.join(asked.parts)[:200]}")

    def file(self, trial: str, name: str) -> bytes:
        """A file of a trial's folder."""
        folder = Path(str(self._e.trial(trial).get("logPath", "")))
        content = inside(folder, PLAIN_FILES.get(name, name)).read_bytes()
        return content or f"{name} is empty.".encode()

    def _update(self, asked: Asked) -> None:
        params = _object(asked.body).get("params")
        self._e.update(asked.query.get("update_type", ""), _object(params))

    def _metadata(self, asked: Asked) -> Json:
        for one in self._listed.all():
            if one.get("id") == self._e.arguments.experiment_id:
                return one
        raise NotFound("nnictl has not listed the experiment yet; ask again in a second")

    def _statistics(self, asked: Asked) -> Json:
        counts: dict[str, int] = {}
        for trial in self._e.trials():
            counts[trial["status"]] = counts.get(trial["status"], 0) + 1
        return [{"trialJobStatus": status, "trialJobNumber": n} for status, n in counts.items()]

    def _trials(self, asked: Asked) -> Any:
        if len(asked.parts) > 1:
            return self._e.trial(asked.parts[1])
        return self._e.trials(asked.query.get("status", ""))

    def _range(self, asked: Asked) -> Any:
        try:
            low, high = (float(part) for part in asked.parts[1:3])
        except ValueError:
            raise Invalid("metric-data-range takes the first and the last number of a trial") from None
        wanted = {t["trialJobId"] for t in self._e.trials() if low <= t.get("sequenceId", -1) <= high}
        return [m for m in self._e.metrics() if m["trialJobId"] in wanted]


def serve(listening: socket.socket, rest: Rest, experiment: Experiment, pages: Path, logs: Path) -> ThreadingHTTPServer:
    """A server on a socket that listens, not started yet."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._handle("GET")

        def do_POST(self) -> None:
            self._handle("POST")

        def do_PUT(self) -> None:
            self._handle("PUT")

        def do_DELETE(self) -> None:
            self._handle("DELETE")

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: nnictl keeps what is printed."""

        def _handle(self, method: str) -> None:
            refused = refusal(self.headers, body_max_bytes=BODY_MAX_BYTES)
            if refused is not None:
                self.close_connection = True  # its body is not read
                self._json(refused.status, {"error": refused.why})
                return
            body = self.rfile.read(body_size(self.headers) or 0)
            try:
                self._route(method, body)
            except HanokError as error:
                self._json(error.status, {"error": error.message})
            except FileNotFoundError:
                self._json(404, {"error": "there is no such file"})
            except ConnectionError:
                self.close_connection = True
            except Exception as error:
                log.exception("%s %s has failed", method, self.path[:200])
                if not self.close_connection:  # a WebSocket hears no answer
                    self._json(500, {"error": f"the request failed: {type(error).__name__}; see nnimanager.log"})

        def _route(self, method: str, body: bytes) -> None:
            place = urlsplit(self.path)
            prefix = experiment.arguments.url_prefix
            path = unquote(place.path).strip("/")
            if prefix and not f"{path}/".startswith(f"{prefix}/"):
                self._say(404, f'Outside prefix "/{prefix}"'.encode(), "text/plain")
                return
            path = path[len(prefix) :].strip("/")
            parts = tuple(path.split("/"))
            if path == "tuner":
                self._tuner()
            elif parts[0] == "trial" and len(parts) == 2:
                self._trial(method, parts[1], body)
            elif parts[:4] == (*API.split("/"), "trial-file") and len(parts) > 5:
                self._say(200, rest.file(parts[4], "/".join(parts[5:])), "text/plain; charset=utf-8")
            elif path.startswith(f"{API}/"):
                asked = Asked(parts[3:], dict(parse_qsl(place.query)), _body(body))
                found = rest.answer(method, asked)
                self._json(200, found)
            elif parts[0] == "logs":
                self._file(logs, "/".join(parts[1:]))
            else:
                self._page(path)

        def _page(self, path: str) -> None:
            try:
                self._file(pages, path or "index.html")
            except (FileNotFoundError, NotFound):
                self._file(pages, "index.html")

        def _file(self, folder: Path, name: str) -> None:
            content = inside(folder, name).read_bytes()
            self._say(200, content, mimetypes.guess_type(name)[0] or "text/plain")

        def _trial(self, method: str, trial: str, body: bytes) -> None:
            """The command channel: parameters are asked for by PUT and fetched by GET, results are PUT."""
            if method == "PUT":
                command = decode_command(body)
                if isinstance(command, ParameterRequest):
                    with lock:
                        asked_for.add(trial)
                else:
                    experiment.report(trial, command)
                self._say(200, b"", "application/json")
                return
            record = experiment.parameter_of(trial)
            if record is None:
                self._say(410, b"", "application/json")
                return
            with lock:
                wanted = trial in asked_for
                asked_for.discard(trial)
            if wanted:
                self._json(200, {"type": "parameter", "parameter": record})
            else:
                stopping.wait(POLL_S)
                self._say(408, b"", "application/json")

        def _tuner(self) -> None:
            key = self.headers.get("sec-websocket-key")
            if not key or experiment.tuner.connected.is_set():
                self._say(400, b"the tuner's channel is a WebSocket that one tuner opens", "text/plain")
                return
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.send_header("Sec-WebSocket-Accept", accept_key(key))
            self.end_headers()
            self.wfile.flush()
            self.close_connection = True
            experiment.tuner.serve(self.connection, b"")

        def _json(self, status: int, body: Any) -> None:
            self._say(status, b"" if body is None else json.dumps(body).encode(), "application/json")

        def _say(self, status: int, content: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    lock, stopping = threading.Lock(), threading.Event()
    asked_for: set[str] = set()
    server = ThreadingHTTPServer(listening.getsockname(), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket, server.daemon_threads = listening, True
    return server


def inside(folder: Path, name: str) -> Path:
    """A file below a folder. Raises NotFound for one that is elsewhere, or is no file."""
    if "\0" in name:
        raise NotFound(f"there is no file {name[:120]!r}")
    root = folder.resolve()
    path = (root / name).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        raise NotFound(f"there is no file {name[:120]!r}")
    return path


def _body(content: bytes) -> Json:
    if not content:
        return None
    try:
        read: Json = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"the body is not JSON: {error}") from None
    return read


def _object(body: Json) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise Invalid(f"the body is an object, got {type(body).__name__}")
    return body


def _last(asked: Asked, *, optional: bool = False) -> str:
    if len(asked.parts) > 1 and asked.parts[1]:
        return asked.parts[1]
    if optional:
        return ""
    raise Invalid("the path ends with the id of a trial")


def _no_tensorboard(asked: Asked) -> Json:
    raise Invalid("Hanok starts no TensorBoard; the curves of a study are on its page")
