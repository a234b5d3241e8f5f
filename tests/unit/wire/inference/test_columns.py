"""A file that is answered in bulk is read by the rule of requests: the same value, or the same refusal, of each row."""

import csv
import io
import json
from datetime import date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from hanok.core.errors import SignatureMismatch
from hanok.core.serving import Column, Signature
from hanok.engine.pieces import open_source
from hanok.wire.inference import invocations
from hanok.wire.inference.columns import CELLS, read_column

DATATYPES = ("FP64", "INT64", "BOOL", "BYTES")
WHOLE = st.sampled_from([0, 1, -1, 2, 2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)])
FLOATS = st.one_of(st.floats(width=64), st.sampled_from([0.0, -0.0, 1.0, 2.5, 2.0**53, 2.0**53 + 2, 1e30, 1e308]))
TEXTS = st.one_of(
    st.sampled_from("1 0 2.5 -0 007 1.0 2e3 1e30 1e400 inf -inf nan true False yes 1_0 ٣ 9007199254740993".split()),
    st.sampled_from([" 5 ", "0x10", "+5", ".5", "5.", "12345678901234567890", "1" * 400, "a", "é"]),
    st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str),
    st.integers().map(str),
)
ARROW = {
    pa.int64(): WHOLE,
    pa.int8(): st.integers(-128, 127),
    pa.uint64(): st.sampled_from([0, 1, 2**53 + 1, 2**63, 2**64 - 1]),
    pa.float64(): FLOATS,
    pa.float32(): st.floats(width=32),
    pa.bool_(): st.booleans(),
    pa.string(): TEXTS,
    pa.large_string(): TEXTS,
    pa.dictionary(pa.int32(), pa.string()): TEXTS,
    pa.binary(): st.binary(max_size=3),
    pa.decimal128(25, 2): st.decimals(-(10**20), 10**20, places=2),
    pa.decimal128(25, 0): st.integers(-(10**20), 10**20).map(Decimal),
    pa.date32(): st.dates(date(1, 1, 1)),
    pa.timestamp("us"): st.datetimes(datetime(1700, 1, 1)),
    pa.timestamp("ns"): st.integers(0, 2**40),
    pa.duration("us"): st.timedeltas(timedelta(0), timedelta(9)),
    pa.list_(pa.int64()): st.lists(st.integers(0, 3), max_size=2),
}
FEW = settings(max_examples=25, deadline=None)


def online(datatype, body, content_type):
    """What a request of one row is read as, or why it is refused."""
    try:
        return invocations.decode(body, content_type, [Signature((Column("x", datatype),), "regression")]).columns["x"]
    except SignatureMismatch as error:
        return str(error)


def bulk(datatype, values, **how):
    """The same of each row of a column."""
    read = read_column(Column("x", datatype), values, **{"written": False, **how})
    assert len(read.column) == len(values)
    return [read.refused.get(row, [v]) for row, v in enumerate(read.column.to_pylist())]


def equal(one, other):
    """Whether they are one value, or one refusal."""
    if isinstance(one, str) or isinstance(other, str):
        return str(one).replace(".0", "") == str(other).replace(".0", "")  # 5 beside 2.5 is 5.0
    (a,), (b,) = one, other
    missing = [v is None or v != v for v in (a, b)]
    return missing == [True, True] or (missing == [False, False] and float_or(a) == float_or(b))


def float_or(value):
    return value if isinstance(value, str) else float(value)


@pytest.mark.parametrize("datatype", DATATYPES)
@FEW
@given(data=st.data(), kind=st.sampled_from(list(ARROW)))
def test_columns_of_any_type_are_read_as_a_parquet_body_is(datatype, data, kind):
    values = pa.chunked_array([pa.array(data.draw(st.lists(st.none() | ARROW[kind], min_size=1, max_size=5)), kind)])
    for row, found in enumerate(bulk(datatype, values)):
        sink = io.BytesIO()
        parquet.write_table(pa.table({"x": values.slice(row, 1)}), sink)
        said = online(datatype, sink.getvalue(), invocations.PARQUET)
        assert equal(found, said), (values[row], found, said)


@pytest.mark.parametrize("datatype", DATATYPES)
@FEW
@given(values=st.lists(st.none() | TEXTS, min_size=1, max_size=5))
def test_text_of_a_file_without_types_is_read_as_a_csv_body_is(datatype, values):
    for row, found in enumerate(bulk(datatype, pa.chunked_array([pa.array(values, pa.string())]), written=True)):
        sink = io.StringIO()
        csv.writer(sink).writerows([["x", "y"], [values[row], "1"]])
        said = online(datatype, sink.getvalue().encode(), invocations.CSV)
        assert equal(found, said), (values[row], found, said)


FINITE = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.one_of(WHOLE, FINITE, TEXTS, st.booleans(), st.none(), st.just([1]), st.just({"a": 1}), st.integers())


@pytest.mark.parametrize("datatype", DATATYPES)
@FEW
@given(values=st.lists(JSON, min_size=1, max_size=5))
def test_lines_of_json_are_read_as_a_json_body_is(datatype, values, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "rows.jsonl"
    path.write_text("".join(json.dumps({"x": v}) + "\n" for v in values))
    (piece,) = open_source(path).pieces(["x"], 10)
    spelled = CELLS in (piece.schema.field("x").metadata or {})
    for row, found in enumerate(bulk(datatype, piece.column("x"), spelled=spelled)):
        body = json.dumps({"dataframe_split": {"columns": ["x"], "data": [[values[row]]]}}).encode()
        said = online(datatype, body, invocations.JSON)
        assert equal(found, said), (values[row], found, said)


def test_a_decimal_is_the_number_that_a_request_would_hold():
    """What is logged of it is scored again to prove a rollback."""
    values = pa.chunked_array([pa.array([Decimal("1.5"), None, Decimal("7.00")], pa.decimal128(9, 2))])
    read = read_column(Column("x", "FP64"), values, written=False)
    assert (read.column.type, read.column.to_pylist(), read.refused) == (pa.float64(), [1.5, None, 7.0], {})
    read = read_column(Column("x", "INT64"), values, written=False)
    assert (read.column.type, read.column.to_pylist(), list(read.refused)) == (pa.int64(), [None, None, 7], [0])
