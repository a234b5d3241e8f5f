"""gRPC callers of the Open Inference Protocol, beside the HTTP server: each call becomes the request of REST that says
the same, and is answered by the same application, with its rights, limits, log and metrics."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any
from urllib.parse import quote

import orjson

from hanok.core.errors import HanokError, Invalid, MissingExtra, PortInUse
from hanok.wire.inference import grpc as messages

THREADS, WAITING_MAX = 32, 64
STREAMS, IDLE_S = 8, 30.0  # streams hold a thread each, so they never have all of them
BODY_MAX = 32 << 20
ANSWER_S = 300.0
HEADER = b"inference-header-content-length"
Application = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]
Answered = tuple[int, dict[bytes, bytes], bytes]


class Refused(Exception):
    """What HTTP answers with another status than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class GrpcServer:
    """Answers once `start` has the loop of the application. Raises MissingExtra without grpcio, PortInUse."""

    def __init__(self, application: Application, host: str, port: int) -> None:
        if find_spec("grpc") is None:
            raise MissingExtra("inference over gRPC needs grpcio: pip install 'hanok[grpc]'")
        import grpc

        self._application, self._loop = application, asyncio.new_event_loop()
        self._loop.close()
        options = [("grpc.max_receive_message_length", BODY_MAX), ("grpc.so_reuseport", 0)]
        self._server = grpc.server(
            ThreadPoolExecutor(THREADS, thread_name_prefix="hanok-grpc"),
            options=options,
            maximum_concurrent_rpcs=WAITING_MAX,
        )
        self._streams = threading.BoundedSemaphore(STREAMS)
        unary = {
            "ServerLive": lambda data, call: messages.flag(bool(self._json(call, "GET", "/v2/health/live"))),
            "ServerReady": lambda data, call: messages.flag(bool(self._json(call, "GET", "/v2/health/ready"))),
            "ServerMetadata": lambda data, call: messages.server_metadata(self._json(call, "GET", "/v2")),
            "ModelReady": self._model_ready,
            "ModelMetadata": lambda data, call: messages.model_metadata(self._json(call, "GET", _model(data))),
            "RepositoryIndex": self._index,
            "RepositoryModelLoad": lambda data, call: self._switch(data, call, "load"),
            "RepositoryModelUnload": lambda data, call: self._switch(data, call, "unload"),
            "ModelInfer": self._infer,
        }
        handlers = {name: grpc.unary_unary_rpc_method_handler(_guarded(work)) for name, work in unary.items()}
        handlers["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(self._stream)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(messages.SERVICE, handlers),))
        try:
            self.port = self._server.add_insecure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        except RuntimeError:
            raise PortInUse(f"port {port} of {host} is in use: name another with --grpc") from None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answer, by the application that runs in this loop."""
        self._loop = loop
        self._server.start()

    def stop(self, grace_s: float) -> None:
        """Take no more calls, and let those that are open end."""
        self._server.stop(grace_s).wait()

    # -- calls -------------------------------------------------------------------------------------------------------

    def _infer(self, data: bytes, call: Any) -> bytes:
        model, version, body, size = messages.infer_request(data)
        path = f"/v2/models/{quote(model, safe='')}" + (f"/versions/{quote(version, safe='')}" if version else "")
        told = [(HEADER, str(size).encode()), (b"content-type", b"application/octet-stream")]
        _, headers, reply = self._asked(call, "POST", f"{path}/infer", body, told)
        return messages.infer_response(reply, int(headers.get(HEADER, str(len(reply)).encode())))

    def _stream(self, requests: Iterator[bytes], call: Any) -> Iterator[bytes]:
        """One answer for each request, in their order; an error ends no stream."""
        if not self._streams.acquire(blocking=False):
            raise _full(call)
        try:
            for data in _soon(requests, call):
                try:
                    yield messages.stream_response(self._infer(data, call))
                except (HanokError, Refused) as error:
                    yield messages.stream_response(error=str(error))
        finally:
            self._streams.release()

    def _model_ready(self, data: bytes, call: Any) -> bytes:
        try:
            return messages.flag(bool(self._json(call, "GET", f"{_model(data)}/ready")))
        except Refused as error:
            if error.status in (404, 503):
                return messages.flag(False)
            raise

    def _index(self, data: bytes, call: Any) -> bytes:
        body = orjson.dumps({"ready": messages.only_ready(data)})
        return messages.repository_index(self._json(call, "POST", "/v2/repository/index", body))

    def _switch(self, data: bytes, call: Any, what: str) -> bytes:
        name = quote(messages.repository_model(data), safe="")
        self._asked(call, "POST", f"/v2/repository/models/{name}/{what}")
        return b""

    # -- the application ---------------------------------------------------------------------------------------------

    def _json(self, call: Any, method: str, path: str, body: bytes = b"") -> Any:
        content = self._asked(call, method, path, body)[2]
        return orjson.loads(content)

    def _asked(
        self, call: Any, method: str, path: str, body: bytes = b"", more: list[tuple[bytes, bytes]] | None = None
    ) -> Answered:
        """Raises Refused."""
        given = dict(call.invocation_metadata())
        headers = [(b"host", b"localhost"), (b"content-length", str(len(body)).encode()), *(more or [])]
        if authorization := given.get("authorization"):
            headers.append((b"authorization", str(authorization).encode()))
        work = _answer(self._application, method, path, body, headers, _address(call.peer()))
        found = asyncio.run_coroutine_threadsafe(work, self._loop).result(ANSWER_S)
        if found[0] != 200:
            raise Refused(found[0], _said(found[2]))
        return found


def _soon(requests: Iterator[bytes], call: Any) -> Iterator[bytes]:
    """The requests of a stream, which is ended when none came for `IDLE_S`."""
    while True:
        ends = threading.Timer(IDLE_S, call.cancel)
        ends.daemon = True
        ends.start()
        try:
            data = next(requests, None)
        finally:
            ends.cancel()
        if data is None:
            return
        yield data


def _full(call: Any) -> Refused:
    import grpc

    said = f"{STREAMS} streams are open, which is as many as there may be: ask with ModelInfer, or later"
    call.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, said)
    return Refused(429, said)


async def _answer(
    application: Application, method: str, path: str, body: bytes, headers: list[tuple[bytes, bytes]], client: str
) -> Answered:
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "client": (client, 0),
        "server": ("localhost", 0),
    }
    status, told, pieces, sent = 500, dict[bytes, bytes](), list[bytes](), False

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = int(message["status"])
            told.update(message.get("headers", ()))
        else:
            pieces.append(message.get("body", b""))

    await application(scope, receive, send)
    return status, told, b"".join(pieces)


def _guarded(work: Callable[[bytes, Any], bytes]) -> Callable[[bytes, Any], bytes]:
    """A call whose errors have gRPC's codes."""
    import grpc

    codes = grpc.StatusCode
    known = {
        400: codes.INVALID_ARGUMENT,
        401: codes.UNAUTHENTICATED,
        403: codes.PERMISSION_DENIED,
        404: codes.NOT_FOUND,
        409: codes.FAILED_PRECONDITION,
        413: codes.RESOURCE_EXHAUSTED,
        415: codes.INVALID_ARGUMENT,
        429: codes.RESOURCE_EXHAUSTED,
        503: codes.UNAVAILABLE,
    }

    def answered(data: bytes, call: Any) -> bytes:
        try:
            return work(data, call)
        except (HanokError, Refused) as error:
            call.abort(known.get(error.status, codes.INTERNAL), str(error))
            raise

    return answered


def _model(data: bytes) -> str:
    name, version = messages.named(data)
    if not name:
        raise Invalid("the request names no model")
    return f"/v2/models/{quote(name, safe='')}" + (f"/versions/{quote(version, safe='')}" if version else "")


def _said(body: bytes) -> str:
    try:
        said = orjson.loads(body)["error"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return body.decode(errors="replace")[:500]
    return str(said["message"] if isinstance(said, dict) else said)


def _address(peer: str) -> str:
    """ipv4:127.0.0.1:1234 or ipv6:[::1]:1234 as the address alone."""
    return peer.partition(":")[2].rpartition(":")[0].strip("[]") or peer
