"""Routes for conformance tests: only on loopback, when the server was started with HANOK_TEST=1."""

from __future__ import annotations

from pathlib import Path

import orjson
from starlette.requests import Request
from starlette.responses import Response

from hanok.core.access import Access
from hanok.engine.app import App
from hanok.engine.stores import artifact_places
from hanok.server.api import Json
from hanok.server.routes import Route, in_thread


def routes(app: App) -> list[Route]:
    async def reset(request: Request) -> Response:
        """Empty the metadata store, so that the next test starts from nothing.

        The body may name where new experiments keep artifacts (`artifact_root`) and what locations without a scheme
        are meant from (`cwd`).
        """
        asked = orjson.loads(await request.body() or b"{}")
        await in_thread(_emptied, app)
        app.tracking.keep_artifacts_at(artifact_places(asked.get("artifact_root") or "", Path(asked.get("cwd") or "/")))
        return Json({})

    return [Route("POST", "/__reset", reset, Access.OWN)]


def _emptied(app: App) -> None:
    with app.upkeep.telling:
        app.metadata.reset()
