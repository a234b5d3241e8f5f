"""Hanok's own HTTP API: each verb is POST /api/v1/<verb>, with its arguments as a JSON object."""

from __future__ import annotations

from functools import partial
from typing import Any

import orjson
import pyarrow as pa
from starlette.requests import Request
from starlette.responses import Response

from hanok.core.access import Access
from hanok.core.errors import Invalid
from hanok.core.ids import checked_name
from hanok.core.json import JsonObject
from hanok.core.work import Work
from hanok.engine.app import App
from hanok.engine.batching import Batching
from hanok.engine.parts import find
from hanok.engine.table_formats import ARROW_STREAM, encoded
from hanok.engine.verbs import VERBS, call
from hanok.engine.verbs.registry import Verb, load_all
from hanok.parts.serving.service import Serving
from hanok.server.lanes import in_lane, while_asked
from hanok.server.routes import Handler, Route, uploading

UPLOAD_MAX_BYTES = 1 << 30
PIECE_MAX_BYTES = 256 << 20
PIECE_PATH = "/api/v1/predictions/{model}/batches/{batch}/{place:int}"


class Json(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS, default=str)


def routes(app: App, *, team: bool = False) -> list[Route]:
    """One route for each verb, and one that takes a file. For a `team` the verbs that take a path are left out."""
    load_all()
    offered = {name: verb for name, verb in VERBS.items() if not (team and verb.on_this_machine)}
    made = [
        Route("POST", _path(name), _handler(app, name), verb.access, everywhere=verb.everywhere)
        for name, verb in offered.items()
    ]

    async def index(_: Request) -> Response:
        return Json([{"verb": n, "path": _path(n), "does": v.summary} for n, v in offered.items()])

    async def health(_: Request) -> Response:
        return Json({"status": "ok"})

    return [
        *made,
        Route("PUT", "/api/v1/tables/{table}/batches/{file}", _upload(app), Access.EDIT, UPLOAD_MAX_BYTES),
        Route("PUT", PIECE_PATH, _piece(app), Access.USE, PIECE_MAX_BYTES),
        Route("GET", "/api/v1", index, Access.READ),
        Route("GET", "/health", health, Access.PUBLIC),
    ]


def _path(verb: str) -> str:
    return f"/api/v1/{verb.replace('.', '/')}"


def _upload(app: App) -> Handler:
    """A CSV or Parquet file as the body, checked and appended to the table; `file` names it, and says its format."""

    async def handle(request: Request) -> Response:
        table = checked_name("table", request.path_params["table"])
        name = checked_name("file", request.path_params["file"])
        arguments = {k: v for k, v in request.query_params.items() if k in ("key", "event_time", "arrived", "encoding")}
        keys, slices = ([k for k in request.query_params.get(name, "").split(",") if k] for name in ("keys", "slices"))
        words = request.query_params.get("nulls")
        nulls = {} if words is None else {"nulls": [w for w in words.split(",") if w]}
        with app.home.scratch("upload-") as folder:
            path = folder / name
            with path.open("wb") as file:
                async for piece in request.stream():
                    file.write(piece)
            body = {"table": table, "path": str(path), "keys": keys, "slices": slices, **nulls, **arguments}
            return Json(await uploading(call, app, "ingest", request.state.actor.name, body))

    return handle


def _piece(app: App) -> Handler:
    """The rows of a piece of a batch as an Arrow stream, or nothing where the home has them; its answers, likewise."""
    batching = find(app, Batching)

    def answered(model: str, batch: str, place: int, body: bytes) -> bytes:
        try:
            rows = pa.ipc.open_stream(body).read_all() if body else None
        except (pa.ArrowInvalid, OSError) as error:
            raise Invalid(f"the body is no Arrow stream: {str(error).splitlines()[0]}") from None
        return encoded(batching.piece(model, batch, place, rows), "arrow")

    async def handle(request: Request) -> Response:
        named = request.path_params
        body = await request.body()
        away = await uploading(batching.runs_away, named["model"], named["batch"])
        work = partial(answered, named["model"], named["batch"], named["place"], body)
        content = await in_lane("away_bulk" if away else "upload", work)
        return Response(content, media_type=ARROW_STREAM)

    return handle


def _handler(app: App, name: str) -> Handler:
    async def handle(request: Request) -> Response:
        body = await request.body()
        try:
            arguments = orjson.loads(body) if body else {}
        except orjson.JSONDecodeError as error:
            raise Invalid(f"the body is not JSON: {error}") from None
        if not isinstance(arguments, dict):
            raise Invalid("the body is a JSON object with the verb's arguments")
        actor = request.state.actor.name
        work = work_of(app.serving, VERBS[name], arguments)
        return Json(await while_asked(work, partial(call, app, name, actor, arguments), request.receive))

    return handle


def work_of(serving: Serving, verb: Verb, arguments: JsonObject) -> Work:
    """The lane of a call: nothing but models in processes of their own waits for one that hangs."""
    model = arguments.get("model")
    away = verb.away is not None and isinstance(model, str) and serving.answers_away(model)
    return verb.away if away and verb.away is not None else verb.work
