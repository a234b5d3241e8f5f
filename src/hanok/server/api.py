"""Hanok's own HTTP API: each verb is POST /api/v1/<verb>, with its arguments as a JSON object."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from hanok.core.access import Access
from hanok.core.errors import Invalid
from hanok.engine.verbs import VERBS, call
from hanok.engine.verbs.registry import load_all
from hanok.server.routes import Handler, Route, in_thread


class Json(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS, default=str)


def routes(app: Any) -> list[Route]:
    """One route for each verb."""
    load_all()
    made = [
        Route("POST", f"/api/v1/{name.replace('.', '/')}", _handler(app, name), v.access) for name, v in VERBS.items()
    ]

    async def index(_: Request) -> Response:
        return Json(
            [{"verb": n, "path": f"/api/v1/{n.replace('.', '/')}", "does": v.summary} for n, v in VERBS.items()]
        )

    async def health(_: Request) -> Response:
        return Json({"status": "ok"})

    return [*made, Route("GET", "/api/v1", index, Access.READ), Route("GET", "/health", health, Access.PUBLIC)]


def _handler(app: Any, name: str) -> Handler:
    async def handle(request: Request) -> Response:
        body = await request.body()
        try:
            arguments = orjson.loads(body) if body else {}
        except orjson.JSONDecodeError as error:
            raise Invalid(f"the body is not JSON: {error}") from None
        if not isinstance(arguments, dict):
            raise Invalid("the body is a JSON object with the verb's arguments")
        actor = request.state.actor.name
        return Json(await in_thread(call, app, name, actor, arguments))

    return handle
