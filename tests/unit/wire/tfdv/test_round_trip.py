"""Schemas and statistics survive text and bytes unchanged, here and through TFDV's own messages."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hanok.core.errors import Unreadable
from hanok.wire.tfdv import Message, from_bytes, from_text, to_bytes, to_text
from hanok.wire.tfdv.messages import RANGES, enum_named, is_message, kind_named, single
from hanok.wire.tfdv.yaml import from_yaml, to_yaml

LEVELS = 3
TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


def scalars(field):
    if (enum := enum_named(field.type)) is not None:
        return st.sampled_from([n for n, v in enum.items() if v] or list(enum))
    if field.type in RANGES:
        low, high = RANGES[field.type]
        return st.integers(low, high).filter(bool)
    return {
        "double": st.floats(allow_nan=False).filter(bool),
        "float": st.floats(width=32, allow_nan=False).filter(bool),
        "bool": st.just(True),
        "string": TEXT,
        "bytes": st.binary(min_size=1, max_size=12),
    }[field.type]


@st.composite
def messages(draw, kind, level=0):
    """Any message of a kind. Values that equal proto3's defaults are left out: the wire has no word for them."""
    made = Message(kind)
    fields = [f for f in kind_named(kind).fields.values() if level < LEVELS or not is_message(f)]
    if kind == "Any":
        inner = draw(messages("NaturalLanguageStatistics", LEVELS))
        made.set("type_url", "type.googleapis.com/tensorflow.metadata.v0.NaturalLanguageStatistics")
        if raw := to_bytes(inner):
            made.set("value", raw)
        return made
    for field in (
        draw(st.lists(st.sampled_from(fields), unique_by=lambda f: f.oneof or f.name, max_size=6)) if fields else ()
    ):
        one = messages(field.type, level + 1) if is_message(field) else scalars(field)
        made.set(field.name, draw(st.lists(one, min_size=1, max_size=3) if field.repeated else one))
    return made


KINDS = st.sampled_from(["Schema", "DatasetFeatureStatisticsList"])
ANY = KINDS.flatmap(messages)
MANY = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


@MANY
@given(ANY)
def test_nothing_is_lost_between_text_bytes_and_back(message):
    assert from_text(message.kind.name, to_text(message)) == message
    assert from_bytes(message.kind.name, to_bytes(message)) == message
    assert from_yaml(message.kind.name, to_yaml(message)) == message


@MANY
@given(ANY)
def test_tfdv_reads_what_we_write_and_we_read_what_it_writes(message):
    schema_pb2 = pytest.importorskip("tensorflow_metadata.proto.v0.schema_pb2")
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import statistics_pb2

    kind = message.kind.name
    make = schema_pb2.Schema if kind == "Schema" else statistics_pb2.DatasetFeatureStatisticsList
    if "TensorRepresentationGroup" in repr(message):
        return  # theirs are maps there: a key that comes twice is kept once
    theirs = make.FromString(to_bytes(message))
    assert text_format.Parse(to_text(message), make()) == theirs
    assert from_bytes(kind, theirs.SerializeToString()) == message
    assert from_text(kind, text_format.MessageToString(theirs)) == message


def test_fields_of_a_later_version_survive():
    later = to_bytes(Message("Schema")) + b"\xfa\x06\x03abc"
    message = from_bytes("Schema", later)
    assert to_bytes(message) == later


def test_a_float_is_what_32_bits_hold():
    domain = from_text("FloatDomain", "min: 0.1")
    assert domain["min"] == single(0.1) != 0.1
    assert to_text(domain) == "min: 0.1\n"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('feature {\n  name: "a"\n  type: INT\n}\nfeature {\n  name: "b"\n  typo: INT\n}', "line 7, column 3"),
        ('feature {\n name: "a"\n type: INTEGER }', "line 3, column 8"),
        ('feature { name: "a"', "column 20"),
        ("feature { presence { min_count: 1.5 } }", "column 33"),
        ("feature { presence { min_count: 99999999999999999999 } }", "does not fit int64"),
        ('feature { name: "a" name: "b" }', "given twice"),
        ("feature { int_domain {} float_domain {} }", "exclude each other"),
        ('feature { name: "\\377" }', "not valid UTF-8"),
        ('feature { name: "a }', "does not belong here"),
        ("feature { " * 200, "nested deeper"),
    ],
)
def test_an_error_in_a_schema_names_its_place(text, place):
    if "nested" in place:
        text = "feature { struct_domain { " * 200
    with pytest.raises(Unreadable, match=place):
        from_text("Schema", text, name="schema.pbtxt")


def test_an_error_in_a_schema_as_yaml_names_its_line():
    lines = [
        "feature:",
        "- name: a",
        "  type: INT",
        "  presence: {min_count: 1}",
        "- name: b",
        "  type: INT",
        "  typo: 1",
    ]
    with pytest.raises(Unreadable, match="line 7: Feature has no field 'typo'"):
        from_yaml("Schema", "\n".join(lines))
    for text, place in (("feature: 3", "line 1"), ("feature:\n- type: INTEGER", "line 2"), ("a: {", "line 1")):
        with pytest.raises(Unreadable, match=place):
            from_yaml("Schema", text)


def test_bytes_that_are_cut_off_or_something_else_are_refused():
    whole = to_bytes(from_text("Schema", 'feature { name: "abc" type: INT }'))
    for wrong in (whole[:-1], b"\xff" * 12, b"\x0b"):
        with pytest.raises(Unreadable):
            from_bytes("Schema", wrong)
