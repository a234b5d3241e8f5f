"""Artifacts by proxy: bodies stream between the socket and the blob store and are never whole in memory."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from itertools import chain
from pathlib import PurePosixPath
from typing import BinaryIO
from urllib.parse import quote

import orjson
from starlette.requests import Request
from starlette.responses import Response

from hanok.core.access import Access
from hanok.core.errors import Invalid
from hanok.core.tracking import Artifact
from hanok.parts.tracking import Tracking
from hanok.parts.tracking.artifacts import checked_path
from hanok.server.files import FileResponse, pieces_of
from hanok.server.mlflow.endpoint import JSON, PREFIXES, answering
from hanok.server.routes import Handler, Route, in_thread, uploading
from hanok.wire.mlflow import entities
from hanok.wire.mlflow.bulk import check_upload
from hanok.wire.mlflow.decode import missing_value

BODY_MAX_BYTES = 64 << 30
PREFIXES_OF_ARTIFACTS = ("/api/2.0/mlflow-artifacts", "/ajax-api/2.0/mlflow-artifacts")


def routes(tracking: Tracking) -> list[Route]:
    download, upload = answering(_download(tracking)), answering(_upload(tracking))
    listed, delete = answering(_list(tracking)), answering(_delete(tracking))
    found: list[Route] = []
    for prefix in PREFIXES_OF_ARTIFACTS:
        found += [
            Route("GET", f"{prefix}/artifacts", listed, Access.READ),
            Route("GET", f"{prefix}/artifacts/{{path:path}}", download, Access.READ),
            Route("PUT", f"{prefix}/artifacts/{{path:path}}", upload, Access.EDIT, BODY_MAX_BYTES),
            Route("DELETE", f"{prefix}/artifacts/{{path:path}}", delete, Access.EDIT),
        ]
    found += [
        Route("POST", f"{prefix}/upload-artifact", answering(_upload_to_run(tracking)), Access.EDIT, BODY_MAX_BYTES)
        for prefix in PREFIXES
    ]
    of_run = answering(_of_run(tracking))
    of_model = answering(_of_logged_model(tracking))
    of_version = answering(_of_version(tracking))
    models = (f"{prefix}/logged-models/{{model_id}}/artifacts/files" for prefix in PREFIXES)
    return [
        *found,
        *(Route("GET", path, of_model, Access.READ) for path in models),
        Route("GET", "/get-artifact", of_run, Access.READ),
        Route("GET", "/model-versions/get-artifact", of_version, Access.READ),
        Route("GET", "//model-versions/get-artifact", of_version, Access.READ),  # as clients join address and path
    ]


def _upload(tracking: Tracking) -> Handler:
    async def handle(request: Request) -> Response:
        pieces = pieces_of(request)
        await uploading(tracking.artifacts.put, request.path_params["path"], pieces)
        return Response(b"{}", media_type=JSON)

    return handle


def _upload_to_run(tracking: Tracking) -> Handler:
    """A file for a run, by the path inside its artifacts, as the UI sends it."""

    async def handle(request: Request) -> Response:
        run_id, path = (request.query_params.get(name, "") for name in ("run_uuid", "path"))
        check_upload(run_id, path)
        target = checked_path(path)
        root = (await in_thread(tracking.runs.get, run_id)).artifact_uri
        pieces = pieces_of(request)
        first = await uploading(next, pieces, b"")
        if not first:
            raise Invalid("Request must specify data.")
        await uploading(tracking.artifacts.put_under, root, target, chain([first], pieces))
        return Response(b"{}", media_type=JSON)

    return handle


def _download(tracking: Tracking) -> Handler:
    async def handle(request: Request) -> Response:
        return await in_thread(content, tracking, request.path_params["path"], request.headers)

    return handle


def _list(tracking: Tracking) -> Handler:
    async def handle(request: Request) -> Response:
        folder = request.query_params.get("path", "").strip("/")
        children = await in_thread(tracking.artifacts.children, folder)
        named = [Artifact(PurePosixPath(a.path).name, a.digest, a.size_bytes) for a in children]
        return Response(orjson.dumps({"files": entities.files(named)}), media_type=JSON)

    return handle


def _delete(tracking: Tracking) -> Handler:
    async def handle(request: Request) -> Response:
        await in_thread(tracking.artifacts.delete, request.path_params["path"])
        return Response(b"{}", media_type=JSON)

    return handle


def _of_run(tracking: Tracking) -> Handler:
    """A file of a run, by the path inside its artifacts."""

    def of_run(run_id: str, path: str, asked: Mapping[str, str]) -> Response:
        return content_under(tracking, tracking.runs.get(run_id).artifact_uri, path, asked)

    async def handle(request: Request) -> Response:
        run_id = request.query_params.get("run_id") or request.query_params.get("run_uuid")
        if not run_id:
            raise missing_value("run_id")
        return await in_thread(of_run, run_id, _asked_path(request), request.headers)

    return handle


def _of_logged_model(tracking: Tracking) -> Handler:
    """A file of a logged model, by the path inside its artifacts."""

    def of_model(model_id: str, path: str, asked: Mapping[str, str]) -> Response:
        return content_under(tracking, tracking.logged_models.get(model_id).artifact_uri, path, asked)

    async def handle(request: Request) -> Response:
        path = request.query_params.get("artifact_file_path")
        if not path:
            raise missing_value("artifact_file_path")
        return await in_thread(of_model, request.path_params["model_id"], path, request.headers)

    return handle


def _of_version(tracking: Tracking) -> Handler:
    """A file of a model version, by the path inside its source."""

    def of_version(name: str, version: int, path: str, asked: Mapping[str, str]) -> Response:
        return content_under(tracking, tracking.registry.download_uri(name, version), path, asked)

    async def handle(request: Request) -> Response:
        name, version = request.query_params.get("name"), request.query_params.get("version", "")
        if not name or not version.isdecimal():
            raise missing_value("version" if name else "name")
        return await in_thread(of_version, name, int(version), _asked_path(request), request.headers)

    return handle


def _asked_path(request: Request) -> str:
    path = request.query_params.get("path")
    if not path:
        raise missing_value("path")
    return checked_path(path)


def content(tracking: Tracking, path: str, asked: Mapping[str, str]) -> Response:
    """The file as a download. `asked` holds the request's headers."""
    artifact = tracking.artifacts.get(path)
    return _download_of(artifact, tracking.artifacts.stream(artifact), asked)


def content_under(tracking: Tracking, root_uri: str, path: str, asked: Mapping[str, str]) -> Response:
    """The same, by its path below the artifact URI of a run or a model."""
    return _download_of(*tracking.artifacts.file_under(root_uri, path), asked)


def _download_of(artifact: Artifact, file: BinaryIO, asked: Mapping[str, str]) -> Response:
    """No browser ever renders what somebody uploaded."""
    name = PurePosixPath(artifact.path).name
    headers = {
        "Content-Type": mimetypes.guess_type(name)[0] or "application/octet-stream",
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}",
        "X-Content-Type-Options": "nosniff",
    }
    return FileResponse(file, artifact.size_bytes, etag=artifact.digest, headers=headers, asked=asked)
