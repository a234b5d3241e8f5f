"""An endpoint is a verb between a decoder and an encoder; this is the one place that turns it into a route."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import orjson
from starlette.requests import Request
from starlette.responses import Response

from hanok.core.access import LOCAL, Access, Actor
from hanok.core.errors import HanokError
from hanok.parts.tracking import Tracking
from hanok.server.routes import Handler, Route, in_thread
from hanok.wire.mlflow.decode import decode_body, decode_query
from hanok.wire.mlflow.errors import error_body

R = TypeVar("R", bound=msgspec.Struct)
Json = dict[str, Any]
PREFIXES = ("/api/2.0/mlflow", "/ajax-api/2.0/mlflow", "/api/3.0/mlflow", "/ajax-api/3.0/mlflow")
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Call:
    """What a verb is handed besides the request: the room, and who asks."""

    tracking: Tracking
    actor: Actor


def nothing(_: object) -> Json:
    return {}


@dataclass(frozen=True, slots=True)
class Started:
    """A verb under way: the event loop waits for `done` without a thread, and encodes what comes."""

    done: Future[Any]
    encode: Callable[[Any], Json] = nothing


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`answer` gives the JSON body from a thread, or, where it only hands work to the store's writer, a Started."""

    method: str
    path: str
    asks: type[msgspec.Struct]
    answer: Callable[[Call, Any], Json] | Callable[[Call, Any], Started]
    access: Access
    in_thread: bool = True


def read(path: str, asks: type[R], answer: Callable[[Call, R], Json], method: str = "GET") -> Endpoint:
    return Endpoint(method, path, asks, answer, Access.READ)


def edit(path: str, asks: type[R], answer: Callable[[Call, R], Json], method: str = "POST") -> Endpoint:
    return Endpoint(method, path, asks, answer, Access.EDIT)


def start(path: str, asks: type[R], answer: Callable[[Call, R], Started], method: str = "POST") -> Endpoint:
    return Endpoint(method, path, asks, answer, Access.EDIT, in_thread=False)


def route(tracking: Tracking, endpoint: Endpoint, prefix: str) -> Route:
    async def handle(request: Request) -> Response:
        body = await request.body()
        path: Mapping[str, str] = request.path_params
        if request.method == "GET" and request.url.query:
            asked = decode_query(endpoint.asks, request.query_params.multi_items(), path)
        else:
            asked = decode_body(endpoint.asks, body, path)
        call = Call(tracking, actor_of(request))
        answered = await in_thread(endpoint.answer, call, asked) if endpoint.in_thread else endpoint.answer(call, asked)
        if isinstance(answered, Started):
            answered = answered.encode(await asyncio.wrap_future(answered.done))
        return Response(orjson.dumps(answered), media_type=JSON)

    return Route(endpoint.method, prefix + endpoint.path, answering(handle), endpoint.access)


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
    actor = getattr(request.state, "actor", LOCAL)
    return actor if isinstance(actor, Actor) else LOCAL
