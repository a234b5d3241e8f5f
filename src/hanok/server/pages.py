"""The pages: view models of the ui floor, rendered as HTML, or as JSON at the same path with ".json"."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from hanok.core.access import Access
from hanok.core.clock import within_calendar
from hanok.core.errors import HanokError
from hanok.core.work import Work
from hanok.engine.app import App
from hanok.server import page_forms
from hanok.server.api import Json
from hanok.server.lanes import in_lane
from hanok.server.metrics import ServerMetrics
from hanok.server.routes import Handler, Route, in_thread
from hanok.ui.render import assets, render
from hanok.ui.views.access import access_page
from hanok.ui.views.alerts import alert_page, alerts
from hanok.ui.views.artifacts import DOCUMENTS, IMAGES, file_of, file_page
from hanok.ui.views.common import Ask
from hanok.ui.views.compare import compare
from hanok.ui.views.data import data, table_page
from hanok.ui.views.lineage import graph_page, index
from hanok.ui.views.models import model_page, models
from hanok.ui.views.predictions import prediction_page, predictions
from hanok.ui.views.run import run_page
from hanok.ui.views.runs import bests, runs, runs_page
from hanok.ui.views.studies import studies, study_page
from hanok.ui.views.today import today
from hanok.ui.views.why import why

GZIP_MIN_BYTES = 600
IMMUTABLE = "public, max-age=31536000, immutable"
RAW_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox",
    "x-frame-options": "SAMEORIGIN",
    "cache-control": "private, no-cache",
}
Build = Callable[[Any, Ask], Any]
HEAVY: tuple[Build, ...] = (why, graph_page, table_page, compare)


def routes(app: App, metrics: ServerMetrics) -> list[Route]:
    """All pages, their forms, and the static files."""
    pages: list[tuple[str, str, Build]] = [
        ("/runs/rows", "runs_rows.html", runs),
        ("/", "today.html", lambda app, ask: today(app, metrics.load())),
        ("/runs/{run}/file", "file.html", file_page),
        ("/runs/{run}", "run.html", run_page),
        ("/compare", "compare.html", compare),
        ("/models", "models.html", models),
        ("/models/{model}", "model.html", model_page),
        ("/predictions", "predictions.html", predictions),
        ("/predictions/{prediction}", "prediction.html", prediction_page),
        ("/lineage", "lineage_index.html", index),
        ("/lineage/{node:path}", "lineage.html", graph_page),
        ("/alerts", "alerts.html", alerts),
        ("/alerts/{alert}", "alert.html", alert_page),
        ("/why/{subject}", "why.html", why),
        ("/access", "access.html", access_page),
        ("/studies", "studies.html", studies),
        ("/studies/{study}", "study.html", study_page),
        ("/data", "data.html", data),
        ("/data/{table}", "table.html", table_page),
    ]
    made = [
        Route("GET", "/runs.json", _json(app, runs), Access.READ),
        Route("GET", "/runs", _html(app, "runs.html", runs_page), Access.READ),
        Route("GET", "/runs/best.json", _json(app, bests), Access.READ),
        Route("GET", "/runs/{run}/raw/{file:path}", _raw(app), Access.READ),
    ]
    for path, template, build in pages:
        made.append(Route("GET", f"{path}.json", _json(app, build), Access.READ))
        made.append(Route("GET", path, _html(app, template, build), Access.READ))
    return [*made, *page_forms.routes(app), Route("GET", "/static/{name}", _static, Access.PUBLIC)]


def _ask(request: Request) -> Ask:
    query: dict[str, list[str]] = {}
    for key, value in request.query_params.multi_items():
        query.setdefault(key, []).append(value)
    return Ask(dict(request.path_params), query)


def _work_of(build: Build) -> Work:
    return "heavy" if build in HEAVY else "read"


def _built(app: App, build: Build, ask: Ask) -> Any:
    with within_calendar("this page"):
        return build(app, ask)


def _html(app: App, template: str, build: Build) -> Handler:
    async def handle(request: Request) -> Response:
        ask, path = _ask(request), request.url.path

        def work() -> tuple[int, str]:
            try:
                view = _built(app, build, ask)
                return getattr(view, "http_status", 200), render(template, view, now=view.now, path=path)
            except HanokError as error:
                return error.status, render("error.html", error, now=app.clock.now(), path=path)

        status, text = await in_lane(_work_of(build), work)
        return _zipped(request, text.encode(), "text/html; charset=utf-8", status=status)

    return handle


def _json(app: App, build: Build) -> Handler:
    async def handle(request: Request) -> Response:
        view = await in_lane(_work_of(build), partial(_built, app, build, _ask(request)))
        return _zipped(request, bytes(Json(view).body), "application/json")

    return handle


def _raw(app: App) -> Handler:
    """The bytes of a run's file. A picture or a document is shown where our own page embeds it, and anything else is
    downloaded; whatever it is, it has no scripts, no origin, and loads nothing."""

    async def handle(request: Request) -> Response:
        run = await in_thread(app.tracking.runs.get, request.path_params["run"])
        artifact = await in_thread(file_of, app, run, request.path_params["file"])
        name = PurePosixPath(artifact.path)
        kind = (IMAGES | DOCUMENTS).get(name.suffix.lower(), "application/octet-stream")
        shown = kind != "application/octet-stream" and "download" not in request.query_params
        headers = RAW_HEADERS | {
            "content-disposition": f"{'inline' if shown else 'attachment'}; filename*=UTF-8''{quote(name.name, '')}",
            "content-length": str(artifact.size_bytes),
            "etag": f'"{artifact.digest}"',
        }
        stream = await in_thread(app.tracking.artifacts.stream, artifact)
        return StreamingResponse(_pieces(stream), headers=headers, media_type=kind)

    return handle


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    with stream:
        while piece := stream.read(1 << 18):
            yield piece


async def _static(request: Request) -> Response:
    asset = next((a for a in assets().values() if a.name == request.path_params["name"]), None)
    if asset is None:
        return Response("there is no such file\n", 404, media_type="text/plain")
    headers = {"cache-control": IMMUTABLE, "vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(asset.zipped, media_type=asset.media_type, headers=headers | {"content-encoding": "gzip"})
    return Response(asset.content, media_type=asset.media_type, headers=headers)


def _zipped(request: Request, body: bytes, media_type: str, *, status: int = 200) -> Response:
    headers = {"cache-control": "no-cache", "vary": "Accept-Encoding"}
    if len(body) >= GZIP_MIN_BYTES and "gzip" in request.headers.get("accept-encoding", ""):
        body = gzip.compress(body, 5, mtime=0)
        headers["content-encoding"] = "gzip"
    return Response(body, status, headers=headers, media_type=media_type)
