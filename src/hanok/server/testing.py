"""Routes for conformance tests: only on loopback, when the server was started with HANOK_TEST=1."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from hanok.core.access import Access
from hanok.server.api import Json
from hanok.server.routes import Route, in_thread


def routes(app: Any) -> list[Route]:
    async def reset(_: Request) -> Response:
        """Empty the metadata store, so that the next test starts from nothing."""
        await in_thread(app.metadata.reset)
        return Json({})

    return [Route("POST", "/__reset", reset, Access.OWN)]
