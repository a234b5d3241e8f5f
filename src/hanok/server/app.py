"""The dispatcher: every request is identified, authorised by its route, bounded, and measured here."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote

import orjson
from starlette.datastructures import Headers
from starlette.requests import Request

from hanok.core.access import ANONYMOUS, Access, Actor, acting
from hanok.core.errors import HanokError, Invalid, TooLarge
from hanok.server.audit import Trail
from hanok.server.auth import Gatekeeper, authorise
from hanok.server.inference import BODY_MAX, Inference, is_prediction, refused
from hanok.server.lanes import Lanes, use
from hanok.server.metrics import ServerMetrics
from hanok.server.routes import Route, for_login
from hanok.server.table import RouteTable
from hanok.wire.mlflow.errors import error_body

Scope = MutableMapping[str, Any]
log = logging.getLogger("hanok.server")
PUBLIC_PREDICT_PATHS = ("/ping", "/v2/health/live", "/v2/health/ready")
THROTTLED_S = 0.25
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"),
]


class Server:
    """An ASGI application over a list of routes."""

    def __init__(
        self,
        routes: Sequence[Route],
        inference: Inference,
        gatekeeper: Gatekeeper,
        metrics: ServerMetrics,
        trail: Trail | None = None,
    ) -> None:
        self.routes = [*routes, Route("GET", "/metrics", self._metrics_page, Access.READ)]
        self._inference, self._gatekeeper, self._metrics, self._trail = inference, gatekeeper, metrics, trail
        self._table = RouteTable(self.routes)
        self.loop: asyncio.AbstractEventLoop | None = None  # in which it answers, once it was started
        self._lanes = Lanes()

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            self.loop = asyncio.get_running_loop()
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        use(self._lanes)
        started = time.perf_counter()
        status = Status(send)
        kind = "other"
        answering = Answering(scope)
        try:
            if is_prediction(scope["path"]):
                kind = "predict"
                body = Body(receive, BODY_MAX, answering.headers)
                await self._predict(answering, body, status)
            else:
                kind = await self._route(answering, receive, status)
        except HanokError as error:
            await _refuse(answering, error, status)
        except Exception:
            reference = uuid.uuid4().hex[:12]
            log.exception("request failed, reference %s", reference)
            message = f"an internal error; the server's log has it as {reference}"
            said = orjson.dumps({"error": {"code": "internal", "message": message}})
            await status.answer(500, refused(scope["path"], 500, message) if kind == "predict" else said)
        finally:
            self._metrics.observe(kind, status.code, time.perf_counter() - started)
            if self._trail is not None:
                self._trail.note(
                    answering.actor,
                    answering.needed,
                    address=answering.address,
                    method=scope["method"],
                    route=answering.route,
                    touched=answering.touched,
                    status=status.code,
                )

    async def _admit(self, answering: Answering, needed: Access, *, everywhere: bool = False) -> Actor:
        """Raises Unauthenticated, Throttled, Forbidden."""
        answering.needed = needed
        actor = self._gatekeeper.remembered(answering.headers, answering.scope["method"])
        if actor is None:
            actor = await for_login(self._gatekeeper.look_up, answering.headers, answering.address)
        answering.actor = actor
        authorise(actor, needed, everywhere=everywhere)
        answering.scope.setdefault("state", {})["actor"] = actor
        return actor

    async def _predict(self, answering: Answering, body: Body, status: Status) -> None:
        scope, actor = answering.scope, ANONYMOUS
        if scope["path"] not in PUBLIC_PREDICT_PATHS:
            reads = scope["method"] in ("GET", "HEAD", "OPTIONS")
            actor = await self._admit(answering, Access.READ if reads else Access.USE)
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"))) if scope["query_string"] else {}
        with acting(actor) as call:
            answering.touched = call.touched
            reply = await self._inference.handle(scope["method"], scope["path"], query, answering.headers, body.whole)
        await status.answer(*reply)

    async def _route(self, answering: Answering, receive: Any, status: Status) -> str:
        scope = answering.scope
        found = self._table.find(scope["method"], scope["path"])
        if found is None:
            await self._no_route(scope, status)
            return "other"
        route, scope["path_params"] = found
        answering.route, actor = route.path, ANONYMOUS
        if route.access is not Access.PUBLIC:
            actor = await self._admit(answering, route.access, everywhere=route.needed_everywhere)
        bounded = Body(receive, route.body_max_bytes, answering.headers)
        with acting(actor) as call:
            answering.touched = call.touched
            if route.plain is not None:
                await status.answer(*await route.plain(scope, bounded.whole))
                return "mlflow"
            response = await route.handler(Request(scope, bounded.receive))
            await response(scope, bounded.receive, status)
        return "mlflow" if "mlflow" in route.path else "api" if route.path.startswith("/api") else "page"

    async def _no_route(self, scope: Scope, status: Status) -> None:
        method, path = scope["method"], scope["path"]
        known = self._table.knows(path)
        message = f"{method} does not fit {path[:200]}" if known else f"there is no {path[:200]}"
        body: dict[str, Any] = {"error": {"code": "method" if known else "not_found", "message": message}}
        if "/mlflow" in path:
            body = {"error_code": "ENDPOINT_NOT_FOUND", "message": message}
        await status.answer(405 if known else 404, orjson.dumps(body))

    def close(self) -> None:
        """End the threads and the process that predictions use."""
        self._inference.scoring.close()
        self._lanes.close()

    def keep(self) -> None:
        """Write what is gathered for the audit record, and which tokens were used."""
        if self._trail is not None:
            self._trail.flush()
            self._gatekeeper.note_used()

    async def _metrics_page(self, _: Request) -> Any:
        from starlette.responses import Response

        return Response(self._metrics.render(), media_type="text/plain; version=0.0.4")


class Answering:
    """What is known about a request while it is answered."""

    __slots__ = ("actor", "address", "headers", "needed", "route", "scope", "touched")

    def __init__(self, scope: Scope) -> None:
        self.scope, self.headers = scope, Headers(scope=scope)
        self.address: str = (scope.get("client") or ("", 0))[0]
        self.route: str = scope["path"][:200]
        self.actor: Actor | None = None
        self.needed = Access.PUBLIC
        self.touched: Sequence[tuple[str, str]] = ()


async def _refuse(answering: Answering, error: HanokError, status: Status) -> None:
    """In the words of the protocol that was spoken; a browser without a login is shown the way to one."""
    if error.status == 429:  # who asks again at once would keep the server busy with refusing
        await asyncio.sleep(THROTTLED_S)
    scope = answering.scope
    wants_page = scope["method"] == "GET" and "text/html" in answering.headers.get("accept", "")
    if error.status == 401 and wants_page and not answering.headers.get("authorization"):
        query = scope["query_string"].decode("latin-1")
        wanted = quote(scope["path"] + (f"?{query}" if query else ""), safe="/")
        await status.answer(303, b"", [(b"location", f"/login?next={wanted}".encode())])
        return
    if "/mlflow" in scope["path"]:
        code, body = error_body(error)
        await status.answer(code, body, _said_with(error))
        return
    if is_prediction(scope["path"]):
        await status.answer(error.status, refused(scope["path"], error.status, error.message), _said_with(error))
        return
    await status.answer(error.status, orjson.dumps(error.as_dict(), default=str), _said_with(error))


class Body:
    """A request body that may not grow beyond its bound. Raises TooLarge before it is read, or while."""

    def __init__(self, receive: Any, max_bytes: int, headers: Headers) -> None:
        self._receive, self._max, self._seen = receive, max_bytes, 0
        declared = headers.get("content-length", "0")
        self._declared = int(declared) if declared.isdigit() else 0

    async def receive(self) -> Any:
        if self._declared > self._max:
            raise TooLarge(f"the body is {self._declared} bytes; this route takes {self._max} at most")
        message = await self._receive()
        if message["type"] == "http.request":
            self._seen += len(message.get("body", b""))
            if self._seen > self._max:
                raise TooLarge(f"the body is over {self._max} bytes, which is the most that this route takes")
        return message

    async def whole(self, arrived: Callable[[int], None] = lambda _: None) -> bytes:
        """All of it; `arrived` hears how many bytes there are so far. Raises Invalid for a body that is cut off."""
        parts = []
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise Invalid(f"the client disconnected after {self._seen} bytes of its body; nothing was done")
            parts.append(message.get("body", b""))
            arrived(self._seen)
            if not message.get("more_body"):
                break
        if self._declared and self._seen != self._declared:
            raise Invalid(f"the body has {self._seen} bytes and its content-length says {self._declared}")
        return parts[0] if len(parts) == 1 else b"".join(parts)


class Status:
    """Sends, adds the safety headers, and remembers the status."""

    def __init__(self, send: Any) -> None:
        self._send = send
        self.code = 0

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.code = message["status"]
            present = {name for name, _ in message.get("headers", ())}
            message["headers"] = [*message.get("headers", ()), *(h for h in HEADERS if h[0] not in present)]
        await self._send(message)

    async def answer(self, status: int, body: bytes, extra: Sequence[tuple[bytes, bytes]] = ()) -> None:
        if self.code:
            return
        headers = [(b"content-length", str(len(body)).encode()), *extra]
        if not any(name == b"content-type" for name, _ in extra):
            headers.insert(0, (b"content-type", b"application/json"))
        await self({"type": "http.response.start", "status": status, "headers": headers})
        await self({"type": "http.response.body", "body": body})


def _said_with(error: HanokError) -> list[tuple[bytes, bytes]]:
    if error.status == 401:
        return [(b"www-authenticate", b'Basic realm="Hanok"')]
    return [(b"retry-after", str(error.fields["retry_after_s"]).encode())] if "retry_after_s" in error.fields else []


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return
