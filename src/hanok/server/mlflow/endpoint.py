"""An endpoint is a verb between a decoder and an encoder; this is the one place that turns it into a route."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
import orjson
from starlette.requests import Request
from starlette.responses import Response

from hanok.core.access import LOCAL, Access, Actor
from hanok.core.errors import HanokError
from hanok.parts.tracking import Tracking
from hanok.server.routes import Handler, ReadBody, Route, done, in_thread
from hanok.wire.mlflow.decode import decode_body, decode_query
from hanok.wire.mlflow.errors import error_body

R = TypeVar("R", bound=msgspec.Struct)
Json = dict[str, Any]
PREFIXES = ("/api/2.0/mlflow", "/ajax-api/2.0/mlflow", "/api/3.0/mlflow", "/ajax-api/3.0/mlflow")
JSON = "application/json"
BODY_MAX_BYTES = 8 << 20
REASON_HEADER, REASON_MAX = b"x-hanok-reason", 1000


@dataclass(frozen=True, slots=True)
class Call:
    """What a verb is handed besides the request: the room, who asks, and why (from the header X-Hanok-Reason)."""

    tracking: Tracking
    actor: Actor
    reason: str = ""


def _nothing(_: object) -> Json:
    return {}


@dataclass(frozen=True, slots=True)
class Started:
    """A verb under way: the event loop waits for `done` without a thread, and encodes what comes."""

    done: Future[Any]
    encode: Callable[[Any], Json] = _nothing


Answer = Json | bytes | Started


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`answer` gives the JSON body, encoded or not, from a thread; or, where it only hands work to the store's writer,
    a Started from the event loop."""

    method: str
    path: str
    asks: type[msgspec.Struct]
    answer: Callable[[Call, Any], Answer]
    access: Access
    in_thread: bool = True
    body_max_bytes: int = BODY_MAX_BYTES


def read(path: str, asks: type[R], answer: Callable[[Call, R], Json | bytes], method: str = "GET") -> Endpoint:
    return Endpoint(method, path, asks, answer, Access.READ)


def edit(path: str, asks: type[R], answer: Callable[[Call, R], Json | bytes], method: str = "POST") -> Endpoint:
    return Endpoint(method, path, asks, answer, Access.EDIT)


def start(
    path: str, asks: type[R], answer: Callable[[Call, R], Started], *, body_max_bytes: int = BODY_MAX_BYTES
) -> Endpoint:
    return Endpoint("POST", path, asks, answer, Access.EDIT, False, body_max_bytes)


def route(tracking: Tracking, endpoint: Endpoint, prefix: str) -> Route:
    async def plain(scope: MutableMapping[str, Any], read_body: ReadBody) -> tuple[int, bytes]:
        try:
            body = await read_body()
            if scope["query_string"] and scope["method"] == "GET":
                query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
                asked = decode_query(endpoint.asks, query, scope["path_params"])
            else:
                asked = decode_body(endpoint.asks, body, scope["path_params"])
            call = Call(tracking, _actor(scope), _reason(scope))
            if endpoint.in_thread:
                answered = await in_thread(endpoint.answer, call, asked)
            else:
                answered = endpoint.answer(call, asked)
            if isinstance(answered, Started):
                answered = answered.encode(await done(answered.done))
            return 200, answered if isinstance(answered, bytes) else orjson.dumps(answered)
        except HanokError as error:
            return error_body(error)

    async def handle(request: Request) -> Response:
        status, body = await plain(request.scope, request.body)
        return Response(body, status, media_type=JSON)

    return Route(endpoint.method, prefix + endpoint.path, handle, endpoint.access, endpoint.body_max_bytes, plain)


def _reason(scope: MutableMapping[str, Any]) -> str:
    sent: bytes = next((value for name, value in scope["headers"] if name == REASON_HEADER), b"")
    return sent.decode("utf-8", "replace")[:REASON_MAX]


def answering(handler: Handler) -> Handler:
    """`handler`, with Hanok's errors in MLflow's form."""

    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except HanokError as error:
            status, body = error_body(error)
            return Response(body, status, media_type=JSON)

    return handle


def actor_of(request: Request) -> Actor:
    """Whom the dispatcher authenticated; the local user where there is no login."""
    return _actor(request.scope)


def _actor(scope: MutableMapping[str, Any]) -> Actor:
    actor = scope.get("state", {}).get("actor", LOCAL)
    return actor if isinstance(actor, Actor) else LOCAL
