"""Files in parts, and links to files that a client reads in ranges: mlflow-artifacts/mpu/* and presigned/*."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson
from starlette.requests import Request
from starlette.responses import Response

from hanok.core.access import SYSTEM, Access, acting
from hanok.core.errors import Forbidden
from hanok.parts.tracking import Tracking
from hanok.parts.tracking.artifacts import checked_path
from hanok.parts.tracking.uploads import PART_MAX_BYTES, UploadVerbs
from hanok.server.files import pieces_of
from hanok.server.mlflow.artifacts import PREFIXES_OF_ARTIFACTS, content
from hanok.server.mlflow.endpoint import JSON, answering
from hanok.server.routes import Handler, Route, in_thread, uploading
from hanok.wire.mlflow import uploads as wire
from hanok.wire.mlflow.decode import decode_body
from hanok.wire.mlflow.errors import NotOffered

ONE_PUT_PLEASE = "Multipart upload is not supported for the current artifact repository"
"""The beginning that MLflow's client looks for before it falls back to one PUT."""


def routes(tracking: Tracking) -> list[Route]:
    """Parts and linked files carry their own permission in a header; a client sends them without its login."""
    found: list[Route] = []
    for prefix in PREFIXES_OF_ARTIFACTS:
        found += [
            Route("GET", f"{prefix}/presigned/{{path:path}}", answering(_link(tracking, prefix)), Access.READ),
            Route("GET", f"{prefix}/linked/{{path:path}}", answering(_linked(tracking)), Access.PUBLIC),
        ]
        if tracking.uploads is None:
            found.append(Route("POST", f"{prefix}/mpu/{{step}}/{{path:path}}", answering(_one_put), Access.EDIT))
            continue
        steps = {"create": _create(tracking.uploads, prefix), "complete": _complete(tracking.uploads)}
        steps["abort"] = _abort(tracking.uploads)
        found += [
            Route("POST", f"{prefix}/mpu/{step}{rest}", answering(handler), Access.EDIT)
            for step, handler in steps.items()
            for rest in ("", "/{path:path}")
        ]
        put, arrived = answering(_put_part(tracking.uploads)), answering(_arrived(tracking.uploads))
        found += [
            Route("PUT", f"{prefix}/mpu/parts/{{number:int}}", put, Access.PUBLIC, PART_MAX_BYTES),
            Route("GET", f"{prefix}/mpu/parts", arrived, Access.PUBLIC),
        ]
    return found


def _create(uploads: UploadVerbs, prefix: str) -> Handler:
    async def handle(request: Request) -> Response:
        asked = decode_body(wire.CreateUpload, await request.body())
        path = wire.artifact_path(request.path_params.get("path", ""), asked.path)
        upload = await in_thread(uploads.begin, path, asked.num_parts)
        return _json(wire.begun(upload, f"{_origin(request)}{prefix}/mpu/parts"))

    return handle


def _put_part(uploads: UploadVerbs) -> Handler:
    async def handle(request: Request) -> Response:
        number = request.path_params["number"]
        part = await uploading(uploads.put_part, _upload_id(request), number, pieces_of(request))
        return Response(b"{}", media_type=JSON, headers={"ETag": f'"{part.etag}"'})

    return handle


def _arrived(uploads: UploadVerbs) -> Handler:
    async def handle(request: Request) -> Response:
        return _json(wire.arrived(*await in_thread(uploads.parts, _upload_id(request))))

    return handle


def _complete(uploads: UploadVerbs) -> Handler:
    async def handle(request: Request) -> Response:
        asked = decode_body(wire.CompleteUpload, await request.body())
        path = wire.artifact_path(request.path_params.get("path", ""), asked.path)
        listed = [(part.part_number, part.etag) for part in asked.parts]
        await in_thread(uploads.complete, path, asked.upload_id, listed)
        return _json({})

    return handle


def _abort(uploads: UploadVerbs) -> Handler:
    async def handle(request: Request) -> Response:
        asked = decode_body(wire.AbortUpload, await request.body())
        path = wire.artifact_path(request.path_params.get("path", ""), asked.path)
        await in_thread(uploads.abort, path, asked.upload_id)
        return _json({})

    return handle


def _link(tracking: Tracking, prefix: str) -> Handler:
    async def handle(request: Request) -> Response:
        path = checked_path(request.path_params["path"])
        artifact = await in_thread(tracking.artifacts.get, path)
        headers = {wire.LINK_HEADER: await in_thread(tracking.links.token, path)}
        url = f"{_origin(request)}{prefix}/linked/{quote(path)}"
        return _json({"url": url, "headers": headers, "file_size": artifact.size_bytes})

    return handle


def _linked(tracking: Tracking) -> Handler:
    async def handle(request: Request) -> Response:
        path = request.path_params["path"]
        await in_thread(tracking.links.check, path, request.headers.get(wire.LINK_HEADER, ""))
        with acting(SYSTEM):  # the link says what its holder may read
            return await in_thread(content, tracking, path, request.headers)

    return handle


async def _one_put(request: Request) -> Response:
    raise NotOffered(f"{ONE_PUT_PLEASE}: send the file in one PUT, it is streamed")


def _upload_id(request: Request) -> str:
    found = request.headers.get(wire.UPLOAD_HEADER, "")
    if not found:
        raise Forbidden(f"the header {wire.UPLOAD_HEADER} is missing; mpu/create gives it for each part")
    return found


def _origin(request: Request) -> str:
    """Scheme and host as the client wrote them, which a client needs in the URLs that it is handed."""
    return f"{request.url.scheme}://{request.url.netloc}"


def _json(body: dict[str, Any]) -> Response:
    return Response(orjson.dumps(body), media_type=JSON)
