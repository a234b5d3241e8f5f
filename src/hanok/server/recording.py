"""Files of runs and logged models, by their ids: bodies stream to the blob store."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from hanok.core.access import Access
from hanok.engine.app import App
from hanok.parts.tracking import Tracking
from hanok.parts.tracking.artifacts import checked_path, in_tree
from hanok.server.api import Json
from hanok.server.files import pieces_of
from hanok.server.mlflow.artifacts import BODY_MAX_BYTES
from hanok.server.routes import Handler, Route, in_thread, uploading


def routes(app: App) -> list[Route]:
    tracking: Tracking = app.tracking
    of_run = _upload(tracking, lambda run: tracking.runs.get(run).artifact_uri)
    of_model = _upload(tracking, lambda model: tracking.logged_models.get(model).artifact_uri)
    return [
        Route("PUT", "/api/v1/runs/{id}/artifacts/{path:path}", of_run, Access.EDIT, BODY_MAX_BYTES),
        Route("PUT", "/api/v1/logged-models/{id}/artifacts/{path:path}", of_model, Access.EDIT, BODY_MAX_BYTES),
    ]


def _upload(tracking: Tracking, uri_of: Callable[[str], str]) -> Handler:
    async def handle(request: Request) -> Response:
        inside = checked_path(request.path_params["path"])
        root = in_tree(await in_thread(uri_of, request.path_params["id"]))
        pieces = pieces_of(request)
        stored = await uploading(tracking.artifacts.put, f"{root}/{inside}", pieces)
        return Json({"path": inside, "digest": stored.digest, "size_bytes": stored.size_bytes})

    return handle
