"""One table of type rules: what a type holds exactly is brought to it, the rest is marked with its reason."""

import datetime as dt
import math
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanok.compute.values import ARROW, bring, column_type, plain
from hanok.core.errors import BadData

U = dt.UTC
WHOLE = 1 << 53


def brought(values, kind, arrow=None):
    made = bring(pa.chunked_array([pa.array(values, arrow)]), kind)
    return made.column.to_pylist(), made.bad.tolist(), made.reason


@pytest.mark.parametrize(
    ("values", "arrow", "kind", "want"),
    [
        (["1", " 2", "+3", "4.0", None], None, "INT", [1, 2, 3, 4, None]),
        (["007", "1.5", "x", "1e3", "99999999999999999999", ""], None, "INT", [None] * 6),
        ([1.0, math.nan, 1.5, math.inf, 2.0**60], None, "INT", [1, None, None, None, None]),
        ([2**64 - 1, 5], pa.uint64(), "INT", [None, 5]),
        ([Decimal("5.00"), Decimal("5.50")], None, "INT", [5, None]),
        ([True, None], None, "INT", [1, None]),
        (["1", "1.5", "-2e3", ".5", None], None, "FLOAT", [1, 1.5, -2000, 0.5, None]),
        (["1,5", "1_000", "007", "x", "9007199254740993"], None, "FLOAT", [None] * 5),
        ([WHOLE, WHOLE + 1], None, "FLOAT", [WHOLE, None]),
        ([Decimal("0.10")], None, "FLOAT", [0.1]),
        ([Decimal("12345678901234567890123")], None, "FLOAT", [None]),
        (["true", "FALSE", "1", "0", "yes", "2", ""], None, "BOOL", [True, False, True, False, None, None, None]),
        ([0, 1, 2, -1, None], None, "BOOL", [False, True, None, None, None]),
        ([0.0, 1.0, 0.5, math.nan], None, "BOOL", [False, True, None, None]),
        ([1704164645], None, "TIMESTAMP", [None]),
        ([1.5, None], None, "TIMESTAMP", [None, None]),
        (["1704164645", "unknown", "20240102", "2024-13-01"], None, "TIMESTAMP", [None] * 4),
        ([dt.date(2024, 1, 2)], None, "TIMESTAMP", [dt.datetime(2024, 1, 2, tzinfo=U)]),
        ([2**40], pa.timestamp("s"), "TIMESTAMP", [None]),
        ([1, 10, None], None, "STRING", ["1", "10", None]),
        ([True, False], None, "STRING", ["true", "false"]),
        ([dt.time(1, 2)], None, "STRING", ["01:02:00.000000"]),
        ([b"ok", b"\xff"], None, "STRING", ["ok", None]),
        ([[1], None], None, "INT", [None, None]),
    ],
)
def test_a_value_is_brought_or_marked(values, arrow, kind, want):
    got, bad, reason = brought(values, kind, arrow)
    assert got == want
    missing = [v is None or (isinstance(v, float) and math.isnan(v)) for v in values]
    assert bad == [w is None and not m for w, m in zip(want, missing, strict=True)]
    assert bool(reason) == any(bad)


def test_times_in_all_their_spellings():
    texts = [
        "2024-01-02",
        "2024-01-02 03:04",
        "2024-01-02T03:04:05.5",
        "2024-01-02T03:04:05+02:00",
        "2024-01-02 03:04:05 Z",
    ]
    got, bad, _ = brought(texts, "TIMESTAMP")
    day = dt.datetime(2024, 1, 2, tzinfo=U)
    seconds = [0, 11040, 11045.5, 11045 - 7200, 11045]
    assert got == [day + dt.timedelta(seconds=s) for s in seconds] and not any(bad)


def test_nanoseconds_are_cut_and_said():
    made = bring(pa.chunked_array([pa.array([-1, 1_000, None], pa.timestamp("ns"))]), "TIMESTAMP")
    assert made.column.cast(pa.int64()).to_pylist() == [-1, 1, None] and made.remark


@pytest.mark.parametrize(
    ("column", "want"),
    [
        (pa.array([Decimal("12345678901234567890123")], pa.decimal128(38, 0)), ["12345678901234567890123"]),
        (pa.array([2**63 + 5, 1], pa.uint64()), ["9223372036854775813", "1"]),
        (pa.array([Decimal(5)], pa.decimal128(38, 0)), [5]),
        (pa.array([dt.timedelta(days=1), None]), [86400.0, None]),
        (pa.array(["a", None]).dictionary_encode(), ["a", None]),
        (pa.array(["a"], pa.large_string()), ["a"]),
        (pa.array(["a"], pa.string_view()), ["a"]),
        (pa.array([1.5], pa.float16()), [1.5]),
        (
            pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"\0" * 16], pa.binary(16))),
            ["0" * 8 + "-0000" * 3 + "-" + "0" * 12],
        ),
    ],
)
def test_first_columns_of_every_type_keep_what_they_hold(column, want):
    assert plain("c", pa.chunked_array([column])).column.to_pylist() == want


def test_what_no_column_holds_is_refused_by_name():
    pairs = pa.map_(pa.string(), pa.int64())
    for values, kind in (([[1]], None), ([{"a": 1}], None), ([b"\xff"], None), ([[("a", 1)]], pairs)):
        with pytest.raises(BadData, match="'c'"):
            plain("c", pa.chunked_array([pa.array(values, kind)]))


cells = st.one_of(
    st.none(),
    st.integers(-(2**70), 2**70).map(str),
    st.floats().map(repr),
    st.text(max_size=6),
    st.booleans().map(str),
    st.datetimes(timezones=st.just(U)).map(dt.datetime.isoformat),
    st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str),
)


@pytest.mark.parametrize("kind", ["INT", "FLOAT"])
@pytest.mark.parametrize("digits", [21, 400, 5000])
def test_a_number_of_more_digits_than_fit_is_marked_and_its_neighbours_are_taken(kind, digits):
    got, bad, _ = brought(["7" * digits, "3"], kind, pa.string())
    assert (got[1], list(bad)) == (3, [True, False])


@settings(max_examples=200, deadline=None)
@given(st.lists(cells, max_size=8), st.sampled_from(sorted(ARROW)))
def test_any_text_is_the_same_value_in_the_type_or_marked(values, kind):
    values = [None if v is None else v.encode("utf-8", "ignore").decode() for v in values]
    got, bad, _ = brought(values, kind, pa.string())
    for text, value, marked in zip(values, got, bad, strict=True):
        assert (value is None) == (marked or text is None)
        if value is None or marked:
            continue
        if kind == "INT":
            assert Decimal(text.strip()) == value
        elif kind == "FLOAT":
            assert float(text) == value or math.isnan(value)
        elif kind == "STRING":
            assert value == text
        elif kind == "BOOL":
            assert text.strip().lower() in (("true", "1", "1.0") if value else ("false", "0", "0.0"))
        else:
            assert f"{value:%Y}"[-4:] and text.strip()[:2].isdigit()


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_number_is_equal_in_the_type_or_marked(data):
    kind = data.draw(st.sampled_from(["INT", "FLOAT", "BOOL", "STRING"]))
    arrow, values = data.draw(
        st.sampled_from([
            (pa.int64(), st.integers(-(2**63), 2**63 - 1)), (pa.uint64(), st.integers(0, 2**64 - 1)),
            (pa.float64(), st.floats()), (pa.float32(), st.floats(width=32)), (pa.int8(), st.integers(-128, 127)),
            (pa.decimal128(38, 0), st.integers(-(10**37), 10**37).map(Decimal)), (pa.bool_(), st.booleans()),
        ])
    )  # fmt: skip
    given_values = data.draw(st.lists(st.one_of(st.none(), values), max_size=8))
    got, bad, _ = brought(given_values, kind, arrow)
    for before, after, marked in zip(given_values, got, bad, strict=True):
        if after is None or before != before:
            assert marked or before is None or before != before
        elif kind == "STRING":
            assert after == str(before).lower() if isinstance(before, bool) else float(after) == float(before)
        else:
            assert after == before
    assert column_type(arrow) in ARROW
