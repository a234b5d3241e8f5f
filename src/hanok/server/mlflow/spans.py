"""Spans in and out: OpenTelemetry's trace export, a trace with its spans, and its spans as a file."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping

import orjson
from starlette.requests import Request
from starlette.responses import Response

from hanok.core.access import Access
from hanok.core.errors import Invalid, TooLarge, TraceNotFound
from hanok.core.traces import LOCATION_TAG, Span, Trace
from hanok.parts.tracking import Tracking
from hanok.parts.tracking.traces import is_whole
from hanok.server.mlflow.artifacts import content_under
from hanok.server.mlflow.endpoint import JSON, PREFIXES, answering
from hanok.server.routes import Handler, Route, in_thread
from hanok.wire import otlp
from hanok.wire.mlflow import requests_traces as ask
from hanok.wire.mlflow import traces as told
from hanok.wire.mlflow.decode import decode_query, missing_value

EXPORT_MAX_BYTES = 32 << 20
EXPERIMENT_HEADER = "x-mlflow-experiment-id"
SPANS_FILE = "traces.json"
PATIENCE_S, GLANCE_S = 3.0, 0.1
_PROTOBUF = "application/x-protobuf"


def routes(tracking: Tracking) -> list[Route]:
    whole, file = answering(_whole(tracking)), answering(_file(tracking))
    return [
        Route("POST", "/v1/traces", answering(_export(tracking)), Access.EDIT, EXPORT_MAX_BYTES),
        *(Route("GET", f"{prefix}/traces/get", whole, Access.READ) for prefix in PREFIXES),
        *(Route("GET", f"{prefix}/get-trace-artifact", file, Access.READ) for prefix in PREFIXES),
    ]


def _export(tracking: Tracking) -> Handler:
    async def handle(request: Request) -> Response:
        experiment = request.headers.get(EXPERIMENT_HEADER, "")
        if not experiment:
            raise Invalid(f"the header {EXPERIMENT_HEADER} must name the experiment that the spans belong to")
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in (_PROTOBUF, JSON):
            raise Invalid(f"Invalid Content-Type {kind[:80]!r}: {_PROTOBUF} or {JSON} is needed")
        encoding = request.headers.get("content-encoding", "").strip().lower()
        body = await request.body()

        def keep() -> None:
            plain = _unpacked(body, encoding)
            spans = otlp.spans_from_bytes(plain) if kind == _PROTOBUF else otlp.spans_from_json(plain)
            if not spans:
                raise Invalid("the export holds no spans")
            tracking.traces.log_spans(experiment, spans)

        await in_thread(keep)
        return Response(b"" if kind == _PROTOBUF else b"{}", media_type=kind)

    return handle


def _whole(tracking: Tracking) -> Handler:
    """A client may ask before its last spans have arrived: they are waited for, shortly."""

    async def handle(request: Request) -> Response:
        asked = decode_query(ask.GetTrace, request.query_params.multi_items())
        trace, spans = await _arrived(tracking, asked)
        body = {"trace": {"trace_info": told.info(trace), "spans": [told.otel_span(span) for span in spans]}}
        return Response(orjson.dumps(body), media_type=JSON)

    return handle


async def _arrived(tracking: Tracking, asked: ask.GetTrace) -> tuple[Trace, list[Span]]:
    for _ in range(int(PATIENCE_S / GLANCE_S)):
        found = await in_thread(tracking.traces.with_spans, [asked.trace_id])
        if not found:
            raise TraceNotFound(f"Trace with ID {asked.trace_id[:80]} is not found.")
        if asked.partial or (found[0][1] and is_whole(*found[0])):
            return found[0]
        await asyncio.sleep(GLANCE_S)
    raise TraceNotFound(f"Trace with ID {asked.trace_id[:80]} is not fully exported yet, please try again later.")


def _file(tracking: Tracking) -> Handler:
    """The spans as traces.json, or another file of the trace by its path."""

    def spans_of(trace_id: str, asked: Mapping[str, str]) -> Response:
        found = tracking.traces.with_spans([trace_id])
        if not found:
            raise TraceNotFound(f"Trace with ID {trace_id[:80]} is not found.")
        trace, spans = found[0]
        if not spans:  # an older client kept them as a file
            return content_under(tracking, trace.tags.get(LOCATION_TAG, ""), SPANS_FILE, asked)
        headers = {"Content-Disposition": f"attachment; filename={SPANS_FILE}", "X-Content-Type-Options": "nosniff"}
        body = orjson.dumps({"spans": [told.span_document(span) for span in spans]})
        return Response(body, media_type="application/octet-stream", headers=headers)

    def attachment(trace_id: str, path: str, asked: Mapping[str, str]) -> Response:
        location = tracking.traces.get(trace_id).tags.get(LOCATION_TAG, "")
        return content_under(tracking, location, f"attachments/{path}", asked)

    async def handle(request: Request) -> Response:
        trace_id, path = request.query_params.get("request_id", ""), request.query_params.get("path", "")
        if not trace_id:
            raise missing_value("request_id")
        if path:
            return await in_thread(attachment, trace_id, path, request.headers)
        return await in_thread(spans_of, trace_id, request.headers)

    return handle


def _unpacked(body: bytes, encoding: str) -> bytes:
    """The body without its compression, never larger than a plain one may be. Raises Invalid, TooLarge."""
    if encoding in ("", "identity"):
        return body
    windows = {"gzip": (31,), "deflate": (15, -15)}.get(encoding)
    if windows is None:
        raise Invalid(f"Content-Encoding {encoding[:40]!r} is not taken; there are gzip and deflate")
    for bits in windows:
        unpacking = zlib.decompressobj(bits)
        try:
            plain = unpacking.decompress(body, EXPORT_MAX_BYTES + 1)
        except zlib.error:
            continue
        if len(plain) > EXPORT_MAX_BYTES:
            raise TooLarge(f"the body is over {EXPORT_MAX_BYTES} bytes when it is unpacked")
        if unpacking.eof:
            return plain
    raise Invalid(f"the body is no whole {encoding} stream")
