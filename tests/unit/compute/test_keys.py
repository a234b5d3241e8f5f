"""Columns of keys are spelled as single values are, whatever Arrow type they have."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanok.compute.keys import canonical_column, key_type, refused_values
from hanok.core.errors import BadKey, DeclarationError
from hanok.core.keys import KeyType, canonical, fits

INTS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
TEXTS = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]
STAMPS = [pa.timestamp(u, z) for u in ("s", "ms", "us", "ns") for z in (None, "UTC", "Europe/Berlin", "+05:30")]
WORDS = st.sampled_from(
    "1 1.0 007 true True false 0 -3 2013-01-01 2013-01-01T05:00:00Z 2013-01-01T05:00:00+02:00 x".split()
)


def _integers(kind):
    low = 0 if pa.types.is_unsigned_integer(kind) else -(2 ** (kind.bit_width - 1))
    return st.integers(low, 2 ** (kind.bit_width - (low < 0)) - 1)


def _instants(kind):
    step = {"s": 10**6, "ms": 10**3, "us": 1, "ns": 1}[kind.unit]
    tz = None if kind.tz is None else UTC
    start = datetime(2013, 1, 1, tzinfo=tz)
    return st.integers(-(10**9), 10**9).map(lambda i: start + timedelta(microseconds=i * step))


COLUMNS = [
    *((k, _integers(k)) for k in INTS),
    *((k, WORDS | st.text(max_size=3)) for k in TEXTS),
    *((k, _instants(k)) for k in STAMPS),
    (pa.bool_(), st.booleans()),
    (pa.date32(), st.dates()),
    (pa.date64(), st.dates(date(1800, 1, 1), date(2200, 1, 1))),
    (pa.float64(), st.floats() | st.integers(-9, 9).map(float)),
    (pa.float32(), st.floats(width=32)),
    (pa.decimal128(20, 0), st.integers(-(10**20) + 1, 10**20 - 1).map(Decimal)),
    (pa.decimal128(12, 3), st.decimals(-(10**8), 10**8, places=3)),
]


def _expected(kind, value):
    try:
        return canonical(kind, value)
    except BadKey:
        return None


@given(
    st.sampled_from(COLUMNS).flatmap(lambda c: st.tuples(st.just(c[0]), st.lists(st.none() | c[1], max_size=8))),
    st.sampled_from(list(KeyType)),
)
@settings(max_examples=400, deadline=None)
def test_a_column_is_spelled_value_by_value(drawn, kind):
    arrow_type, values = drawn
    column = pa.chunked_array([pa.array(values[:3], arrow_type), pa.array(values[3:], arrow_type)], arrow_type)
    plain = column.cast(pa.string()) if arrow_type == pa.string_view() else column
    wanted = [_expected(kind, v) for v in plain.to_pylist()]
    if fits(kind, key_type(arrow_type)):
        spelled = canonical_column(kind, column, strict=False)
        assert spelled.to_pylist() == wanted and spelled.type == pa.string()
    else:
        assert all(w is None for w in wanted)  # the pair is refused by its types; no value of it would convert
    null = pc.is_null(plain, nan_is_null=True).to_pylist()
    assert (len(refused_values(kind, plain)) > 0) == any(w is None and not n for w, n in zip(wanted, null, strict=True))


def test_the_first_value_that_is_no_key_is_named():
    with pytest.raises(BadKey, match="customer='x7' is no integer key"):
        canonical_column(KeyType.INTEGER, pa.array(["7", "x7", "y"]), name="customer")


def test_instants_finer_than_microseconds_or_beyond_the_calendar_are_no_keys():
    fine = pa.array([0, 1_000, 1_001], pa.timestamp("ns", "UTC"))
    spelled = canonical_column(KeyType.INSTANT, fine, strict=False).to_pylist()
    assert spelled == ["1970-01-01T00:00:00+00:00", "1970-01-01T00:00:00.000001+00:00", None]
    far = pa.array([0, 10**15], pa.timestamp("s"))
    assert canonical_column(KeyType.INSTANT, far, strict=False).to_pylist()[1] is None
    with pytest.raises(BadKey):
        canonical_column(KeyType.INSTANT, far)


def test_text_of_earlier_versions_is_read():
    written = ["2013-01-01T05:00:00+00:00", "2013-01-01 05:00:00+00:00", "2013-01-01 05:00:00+00", None, "?"]
    spelled = canonical_column(KeyType.INSTANT, pa.array(written), strict=False).to_pylist()
    assert spelled == ["2013-01-01T05:00:00+00:00"] * 3 + [None, None]
    assert canonical_column(KeyType.BOOLEAN, pa.array(["True", "true"])).to_pylist() == ["true", "true"]


def test_a_type_that_holds_no_keys_is_refused():
    for kind in (pa.list_(pa.int64()), pa.binary(), pa.struct([("a", pa.int8())]), pa.time64("us")):
        with pytest.raises(DeclarationError, match="'k'"):
            key_type(kind, name="k")
