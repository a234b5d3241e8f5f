"""gRPC callers of the Open Inference Protocol, beside the HTTP server: each call becomes the request of REST that says
the same, and is answered by the same application, with its rights, limits, log and metrics."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from importlib.util import find_spec
from typing import Any, TypeVar
from urllib.parse import quote

import orjson

from hanok.core.errors import HanokError, Invalid, MissingExtra, PortInUse
from hanok.wire.inference import grpc as messages

CALLS, STREAMS = 1024, 64  # at once
SILENT, FIRST_S = 256, 10.0  # calls whose message has not come: the oldest make room for others, and end by then
IDLE_S = 30.0  # between two messages of a stream, either way
KEPT_MS = {"grpc.max_connection_idle_ms": 60_000, "grpc.server_handshake_timeout_ms": 10_000}  # without a call
CONNECTION_CALLS = 128  # of one connection at once
BODY_MAX = 32 << 20
ANSWER_S = 300.0
HEADER = b"inference-header-content-length"
Application = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]
T = TypeVar("T")
Work = Callable[[bytes, Any], Awaitable[bytes]]
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
        self._application, self._loop = application, asyncio.new_event_loop()
        self._loop.close()
        self._streams, self._silent = 0, dict[asyncio.Task[bytes | None], None]()
        self._own = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._own.run_forever, name="hanok-grpc", daemon=True)
        self._thread.start()
        try:
            self.port = self._do(self._bind(f"[{host}]:{port}" if ":" in host else f"{host}:{port}"))
        except RuntimeError:
            self._end()
            raise PortInUse(f"port {port} of {host} is in use: name another with --grpc") from None

    async def _bind(self, address: str) -> int:
        """In the loop of the calls, which is no other's: a call that waits holds no thread."""
        import grpc

        options = {
            "grpc.max_receive_message_length": BODY_MAX,
            "grpc.so_reuseport": 0,
            "grpc.max_concurrent_streams": CONNECTION_CALLS,
            **KEPT_MS,
        }
        self._server = grpc.aio.server(options=list(options.items()), maximum_concurrent_rpcs=CALLS)
        unary = {
            "ServerLive": lambda data, call: self._flag(call, "/v2/health/live"),
            "ServerReady": lambda data, call: self._flag(call, "/v2/health/ready"),
            "ServerMetadata": self._metadata,
            "ModelReady": self._model_ready,
            "ModelMetadata": self._model_metadata,
            "RepositoryIndex": self._index,
            "RepositoryModelLoad": lambda data, call: self._switch(data, call, "load"),
            "RepositoryModelUnload": lambda data, call: self._switch(data, call, "unload"),
            "ModelInfer": self._infer,
        }
        # a method of one message is read like a stream of them: else nobody is asked before the message has come
        handlers = {name: grpc.stream_unary_rpc_method_handler(self._one(work)) for name, work in unary.items()}
        handlers["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(self._stream)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(messages.SERVICE, handlers),))
        return int(self._server.add_insecure_port(address))

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answer, by the application that runs in this loop."""
        self._loop = loop
        self._do(self._server.start())

    def stop(self, grace_s: float) -> None:
        """Take no more calls, and let those that are open end."""
        self._do(self._server.stop(grace_s))
        self._end()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._own).result(ANSWER_S)

    def _end(self) -> None:
        self._own.call_soon_threadsafe(self._own.stop)
        self._thread.join()
        self._own.close()

    # -- calls -------------------------------------------------------------------------------------------------------

    def _one(self, work: Work) -> Callable[[Any, Any], Awaitable[bytes]]:
        """A call of one message, whose errors have gRPC's codes."""

        async def answered(_: Any, call: Any) -> bytes:
            data = await self._message(call, FIRST_S)
            try:
                if data is None:
                    raise Refused(408, f"no message came within {FIRST_S:g} s, or too many calls wait for theirs")
                return await work(data, call)
            except (HanokError, Refused) as error:
                await call.abort(_code(error.status), str(error))
                raise

        return answered

    async def _message(self, call: Any, within_s: float) -> bytes | None:
        """The next message of a call; None when it has ended, or is too long in coming."""
        reading = asyncio.ensure_future(_read(call))
        self._silent[reading] = None
        if len(self._silent) > SILENT:
            next(iter(self._silent)).cancel()
        try:
            await asyncio.wait([reading], timeout=within_s)
            reading.cancel()
            return await reading
        except asyncio.CancelledError:
            if not reading.cancelled():
                raise
            return None
        finally:
            self._silent.pop(reading, None)

    async def _infer(self, data: bytes, call: Any) -> bytes:
        model, version, body, size = messages.infer_request(data)
        path = f"/v2/models/{quote(model, safe='')}" + (f"/versions/{quote(version, safe='')}" if version else "")
        told = [(HEADER, str(size).encode()), (b"content-type", b"application/octet-stream")]
        _, headers, reply = await self._asked(call, "POST", f"{path}/infer", body, told)
        return messages.infer_response(reply, int(headers.get(HEADER, str(len(reply)).encode())))

    async def _stream(self, _: Any, call: Any) -> None:
        """One answer for each request, in their order; an error ends no stream."""
        if self._streams >= STREAMS:
            said = f"{STREAMS} streams are open, which is as many as there may be: ask with ModelInfer, or later"
            await call.abort(_code(429), said)
        self._streams += 1
        try:
            while (data := await self._message(call, IDLE_S)) is not None:
                try:
                    reply = messages.stream_response(await self._infer(data, call))
                except (HanokError, Refused) as error:
                    reply = messages.stream_response(error=str(error))
                await asyncio.wait_for(call.write(reply), IDLE_S)
        except TimeoutError:  # nobody reads the answers, and would no word that it ends
            raise asyncio.CancelledError from None
        finally:
            self._streams -= 1

    async def _flag(self, call: Any, path: str) -> bytes:
        return messages.flag(bool(await self._json(call, "GET", path)))

    async def _metadata(self, data: bytes, call: Any) -> bytes:
        return messages.server_metadata(await self._json(call, "GET", "/v2"))

    async def _model_metadata(self, data: bytes, call: Any) -> bytes:
        return messages.model_metadata(await self._json(call, "GET", _model(data)))

    async def _model_ready(self, data: bytes, call: Any) -> bytes:
        try:
            return await self._flag(call, f"{_model(data)}/ready")
        except Refused as error:
            if error.status in (404, 503):
                return messages.flag(False)
            raise

    async def _index(self, data: bytes, call: Any) -> bytes:
        body = orjson.dumps({"ready": messages.only_ready(data)})
        return messages.repository_index(await self._json(call, "POST", "/v2/repository/index", body))

    async def _switch(self, data: bytes, call: Any, what: str) -> bytes:
        name = quote(messages.repository_model(data), safe="")
        await self._asked(call, "POST", f"/v2/repository/models/{name}/{what}")
        return b""

    # -- the application ---------------------------------------------------------------------------------------------

    async def _json(self, call: Any, method: str, path: str, body: bytes = b"") -> Any:
        content = (await self._asked(call, method, path, body))[2]
        return orjson.loads(content)

    async def _asked(
        self, call: Any, method: str, path: str, body: bytes = b"", more: list[tuple[bytes, bytes]] | None = None
    ) -> Answered:
        """Raises Refused."""
        given = dict(call.invocation_metadata() or ())
        headers = [(b"host", b"localhost"), (b"content-length", str(len(body)).encode()), *(more or [])]
        if authorization := given.get("authorization"):
            headers.append((b"authorization", str(authorization).encode()))
        work = _answer(self._application, method, path, body, headers, _address(call.peer()))
        asked = asyncio.run_coroutine_threadsafe(work, self._loop)
        found = await asyncio.wait_for(asyncio.wrap_future(asked), ANSWER_S)
        if found[0] != 200:
            raise Refused(found[0], _said(found[2]))
        return found


async def _read(call: Any) -> bytes | None:
    import grpc

    data = await call.read()
    return None if data is grpc.aio.EOF else data


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


def _code(status: int) -> Any:
    """The code of gRPC that says what a status of HTTP does."""
    import grpc

    codes = grpc.StatusCode
    known = {
        400: codes.INVALID_ARGUMENT,
        401: codes.UNAUTHENTICATED,
        403: codes.PERMISSION_DENIED,
        404: codes.NOT_FOUND,
        408: codes.DEADLINE_EXCEEDED,
        409: codes.FAILED_PRECONDITION,
        413: codes.RESOURCE_EXHAUSTED,
        415: codes.INVALID_ARGUMENT,
        429: codes.RESOURCE_EXHAUSTED,
        503: codes.UNAVAILABLE,
    }
    return known.get(status, codes.INTERNAL)


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
