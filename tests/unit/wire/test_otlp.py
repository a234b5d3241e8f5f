"""OpenTelemetry's trace export, as bytes built here by hand and as JSON."""

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanok.core.errors import HanokError, Invalid, Unreadable
from hanok.wire.otlp import spans_from_bytes, spans_from_json
from hanok.wire.protobuf import varint

TRACE, SPAN = "ab" * 16, "cd" * 8


def field(number, wire, raw):
    return varint(number << 3 | wire) + (varint(len(raw)) + raw if wire == 2 else raw)


def text(number, value):
    return field(number, 2, value.encode())


def pair(key, value):
    return field(9, 2, text(1, key) + field(2, 2, value))


def export(span):
    return field(1, 2, field(2, 2, field(2, 2, span)))


def a_span(*more, trace=TRACE, span=SPAN):
    times = field(7, 1, struct.pack("<Q", 5)) + field(8, 1, struct.pack("<Q", 9))
    ids = field(1, 2, bytes.fromhex(trace)) + field(2, 2, bytes.fromhex(span))
    return export(ids + text(5, "ask") + times + b"".join(more))


def test_a_span_is_read_with_its_values_as_json_text():
    nested = field(6, 2, field(1, 2, text(1, "k") + field(2, 2, field(5, 2, field(1, 2, field(2, 0, b"\x01"))))))
    status = field(15, 2, text(2, "broken") + field(3, 0, b"\x02"))
    event = field(
        11,
        2,
        field(1, 1, struct.pack("<Q", 7)) + text(2, "said") + field(3, 2, text(1, "a") + field(2, 2, text(1, "b"))),
    )
    values = (
        pair("text", text(1, "é")),
        pair("int", field(3, 0, varint((1 << 64) - 5))),
        pair("float", field(4, 1, struct.pack("<d", 1.5))),
        pair("nested", nested),
        pair("none", b""),
        pair("mlflow.spanType", text(1, "LLM")),
    )
    (span,) = spans_from_bytes(a_span(*values, status, event, field(4, 2, bytes.fromhex("ef" * 8))))
    assert (span.trace_id, span.id, span.parent_id) == (f"tr-{TRACE}", SPAN, "ef" * 8)
    assert (span.name, span.kind, span.status, span.message) == ("ask", "LLM", "ERROR", "broken")
    assert (span.started_ns, span.ended_ns) == (5, 9)
    assert span.attributes["text"] == '"é"' and span.attributes["int"] == "-5" and span.attributes["float"] == "1.5"
    assert json.loads(span.attributes["nested"]) == {"k": [True]} and span.attributes["none"] == "null"
    assert span.attributes["mlflow.traceRequestId"] == f'"tr-{TRACE}"'
    assert (span.events[0].name, span.events[0].time_ns, span.events[0].attributes) == ("said", 7, {"a": "b"})


def test_json_says_the_same():
    body = {
        "traceId": TRACE.upper(),
        "spanId": SPAN,
        "name": "ask",
        "startTimeUnixNano": "5",
        "endTimeUnixNano": 9,
        "status": {"code": "STATUS_CODE_OK"},
        "attributes": [
            {"key": "n", "value": {"intValue": "3"}},
            {"key": "deep", "value": {"kvlistValue": {"values": [{"key": "b", "value": {"boolValue": True}}]}}},
            {"key": "list", "value": {"arrayValue": {"values": [{"stringValue": "x"}]}}},
        ],
        "events": [{"name": "said", "timeUnixNano": "7"}],
    }
    (span,) = spans_from_json(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [body]}]}]}).encode())
    assert (span.trace_id, span.status, span.started_ns, span.ended_ns) == (f"tr-{TRACE}", "OK", 5, 9)
    assert {k: json.loads(span.attributes[k]) for k in ("n", "deep", "list")} == {
        "n": 3,
        "deep": {"b": True},
        "list": ["x"],
    }


def test_a_nul_is_replaced_because_no_database_text_holds_one():
    (span,) = spans_from_bytes(a_span(pair("a", text(1, "x\0y"))))
    assert span.attributes["a"] == '"x\ufffdy"'


@pytest.mark.parametrize("ids", [{"trace": "ab"}, {"span": ""}])
def test_a_span_without_whole_ids_is_refused(ids):
    with pytest.raises(Invalid):
        spans_from_bytes(a_span(**ids))


def test_cut_bytes_deep_nesting_and_other_json_are_unreadable():
    with pytest.raises(Unreadable):
        spans_from_bytes(a_span()[:-3])
    deep = text(1, "x")
    for _ in range(150):
        deep = field(5, 2, field(1, 2, deep))
    with pytest.raises(Unreadable):
        spans_from_bytes(a_span(pair("a", deep)))
    for body in (
        b"[]",
        b"{",
        b'{"resourceSpans": 5}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": 5}]}]}]}',
    ):
        with pytest.raises(Unreadable):
            spans_from_json(body)


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(data):
    for whole in (data, export(data)):
        try:
            spans_from_bytes(whole)
        except HanokError:
            pass
