"""OpenTelemetry's trace export, protobuf or JSON, as spans (https://opentelemetry.io/docs/specs/otlp/).

Attribute values become JSON text, as MLflow's clients keep them. A NUL, which no database text may hold, becomes the
replacement character.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import orjson

from hanok.core.errors import Invalid, Unreadable
from hanok.core.traces import Span, SpanEvent
from hanok.wire.protobuf import DEPTH_MAX, FIXED64, LENGTH, VARINT, wire_fields

TRACE_ID, KIND = "mlflow.traceRequestId", "mlflow.spanType"
_STATUS: dict[Any, Literal["OK", "ERROR"]] = {
    1: "OK",
    2: "ERROR",
    "STATUS_CODE_OK": "OK",
    "STATUS_CODE_ERROR": "ERROR",
}
_INSTANT_MAX = 2**63 - 1


def spans_from_bytes(data: bytes) -> list[Span]:
    """An ExportTraceServiceRequest. Raises Unreadable, Invalid for a span without ids."""
    found = []
    for resource in _messages("ExportTraceServiceRequest", memoryview(data), 1):
        for scope in _messages("ResourceSpans", resource, 2):
            found += [_span(_raw_span(raw)) for raw in _messages("ScopeSpans", scope, 2)]
    return found


def spans_from_json(data: bytes) -> list[Span]:
    """The same in OTLP's JSON, where ids are hex. Raises Unreadable, Invalid."""
    try:
        request = orjson.loads(data)
        return [
            _span(_json_span(span))
            for resource in request.get("resourceSpans", ())
            for scope in resource.get("scopeSpans", ())
            for span in scope.get("spans", ())
        ]
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise Unreadable(f"this is no OTLP trace export in JSON: {str(error)[:200]}") from None


def _span(raw: Mapping[str, Any]) -> Span:
    if len(raw["trace_id"]) != 32 or len(raw["span_id"]) != 16:
        raise Invalid("a span needs a trace id of 16 bytes and a span id of 8 bytes")
    started, ended = raw["started_ns"], raw["ended_ns"] or None
    if not 0 <= started <= _INSTANT_MAX or (ended is not None and not 0 <= ended <= _INSTANT_MAX):
        raise Invalid("a span's times are nanoseconds since 1970, before the year 2262")
    trace_id = f"tr-{raw['trace_id']}"
    attributes = {_plain(key): _plain(_dumped(value)) for key, value in raw["attributes"].items()}
    kind = raw["attributes"].get(KIND)
    return Span(
        trace_id=trace_id,
        id=raw["span_id"],
        parent_id=raw["parent_id"],
        name=_plain(raw["name"]),
        kind=_plain(kind) if isinstance(kind, str) and kind else "UNKNOWN",
        status=_STATUS.get(raw["code"], "UNSET"),
        started_ns=started,
        ended_ns=ended,
        message=_plain(raw["message"]),
        attributes={TRACE_ID: _dumped(trace_id), **attributes},
        events=tuple(raw["events"]),
    )


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _plain(text: str) -> str:
    return text.replace("\0", "\ufffd").replace("\\u0000", "\\ufffd")


# -- protobuf ----------------------------------------------------------------------------------------------------


def _messages(kind: str, data: memoryview, wanted: int) -> Iterator[memoryview]:
    for field in wire_fields(kind, data):
        if field.number == wanted and field.wire == LENGTH:
            yield field.raw


def _raw_span(data: memoryview) -> dict[str, Any]:
    raw: dict[str, Any] = _empty_span()
    texts = {1: "trace_id", 2: "span_id", 4: "parent_id"}
    for field in wire_fields("Span", data):
        if field.wire == LENGTH and field.number in texts:
            raw[texts[field.number]] = bytes(field.raw).hex()
        elif field.number == 5 and field.wire == LENGTH:
            raw["name"] = _text(field.raw)
        elif field.number in (7, 8) and field.wire == FIXED64:
            raw["started_ns" if field.number == 7 else "ended_ns"] = _fixed(field.raw)
        elif field.number == 9 and field.wire == LENGTH:
            raw["attributes"].update([_key_value(field.raw, 0)])
        elif field.number == 11 and field.wire == LENGTH:
            raw["events"].append(_event(field.raw))
        elif field.number == 15 and field.wire == LENGTH:
            for part in wire_fields("Status", field.raw):
                if part.number == 2 and part.wire == LENGTH:
                    raw["message"] = _text(part.raw)
                elif part.number == 3 and part.wire == VARINT:
                    raw["code"] = part.raw
    return raw


def _empty_span() -> dict[str, Any]:
    ids = {"trace_id": "", "span_id": "", "parent_id": ""}
    told = {"name": "", "message": "", "code": 0, "started_ns": 0, "ended_ns": 0}
    return {**ids, **told, "attributes": {}, "events": []}


def _event(data: memoryview) -> SpanEvent:
    name, time_ns = "", 0
    attributes: dict[str, Any] = {}
    for field in wire_fields("Span.Event", data):
        if field.number == 1 and field.wire == FIXED64:
            time_ns = _fixed(field.raw)
        elif field.number == 2 and field.wire == LENGTH:
            name = _text(field.raw)
        elif field.number == 3 and field.wire == LENGTH:
            attributes.update([_key_value(field.raw, 0)])
    return SpanEvent(_plain(name), time_ns, attributes)


def _key_value(data: memoryview, depth: int) -> tuple[str, Any]:
    key, value = "", None
    for field in wire_fields("KeyValue", data):
        if field.wire == LENGTH and field.number == 1:
            key = _text(field.raw)
        elif field.wire == LENGTH and field.number == 2:
            value = _any(field.raw, depth + 1)
    return _plain(key), value


def _any(data: memoryview, depth: int) -> Any:
    if depth > DEPTH_MAX:
        raise Unreadable(f"an attribute is nested deeper than {DEPTH_MAX} levels")
    value: Any = None
    for field in wire_fields("AnyValue", data):
        value = _any_field(field.number, field.raw, depth)
    return value


def _any_field(number: int, raw: Any, depth: int) -> Any:
    if number == 1:
        return _plain(_text(raw))
    if number == 2:
        return bool(raw)
    if number == 3:
        return raw - (1 << 64) if raw >> 63 else raw
    if number == 4:
        return struct.unpack("<d", raw)[0]
    if number == 5:
        return [_any(item, depth + 1) for item in _messages("ArrayValue", raw, 1)]
    if number == 6:
        return dict(_key_value(item, depth + 1) for item in _messages("KeyValueList", raw, 1))
    return base64.b64encode(bytes(raw)).decode() if number == 7 else None


def _text(raw: Any) -> str:
    return bytes(raw).decode(errors="replace")


def _fixed(raw: Any) -> int:
    return int.from_bytes(raw, "little")


# -- JSON --------------------------------------------------------------------------------------------------------


def _json_span(span: Mapping[str, Any]) -> dict[str, Any]:
    status = span.get("status") or {}
    return {
        "trace_id": bytes.fromhex(span.get("traceId", "")).hex(),
        "span_id": bytes.fromhex(span.get("spanId", "")).hex(),
        "parent_id": bytes.fromhex(span.get("parentSpanId") or "").hex(),
        "name": str(span.get("name", "")),
        "started_ns": int(span.get("startTimeUnixNano", 0)),
        "ended_ns": int(span.get("endTimeUnixNano") or 0),
        "attributes": _json_attributes(span.get("attributes") or ()),
        "code": status.get("code", 0),
        "message": str(status.get("message", "")),
        "events": [
            SpanEvent(
                _plain(str(event.get("name", ""))),
                int(event.get("timeUnixNano", 0)),
                _json_attributes(event.get("attributes") or ()),
            )
            for event in span.get("events") or ()
        ],
    }


def _json_attributes(pairs: Any) -> dict[str, Any]:
    return {_plain(str(pair["key"])): _json_any(pair.get("value") or {}) for pair in pairs}


def _json_any(value: Mapping[str, Any]) -> Any:
    if "stringValue" in value:
        return _plain(str(value["stringValue"]))
    if "intValue" in value:
        return int(value["intValue"])
    if "arrayValue" in value:
        return [_json_any(item) for item in value["arrayValue"].get("values") or ()]
    if "kvlistValue" in value:
        return _json_attributes(value["kvlistValue"].get("values") or ())
    for name in ("boolValue", "doubleValue", "bytesValue"):
        if name in value:
            return value[name]
    return None
