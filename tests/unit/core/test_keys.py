"""Each value of a key has one spelling, and what names no single value is refused."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanok.core.errors import BadKey
from hanok.core.keys import KeyType, canonical, fits, parse, spelled

TEXT, INTEGER, NUMBER = KeyType.TEXT, KeyType.INTEGER, KeyType.NUMBER
BOOLEAN, DATE, INSTANT = KeyType.BOOLEAN, KeyType.DATE, KeyType.INSTANT
FIVE = "2013-01-01T05:00:00+00:00"


@pytest.mark.parametrize(
    ("kind", "values", "spelling"),
    [
        (INTEGER, [1, 1.0, "1", "1.0", " 1 ", "+1", "1e0", Decimal("1.00")], "1"),
        (INTEGER, [0, -0.0, "-0"], "0"),
        (INTEGER, [12345678901234567890, "12345678901234567890"], "12345678901234567890"),
        (NUMBER, [0.1, "0.1", "0.10", "1e-1", Decimal("0.100")], "0.1"),
        (NUMBER, [7, 7.0, "7.0"], "7"),
        (NUMBER, [1e-7, "0.0000001"], "0.0000001"),
        (BOOLEAN, [True, "true", "True", "TRUE "], "true"),
        (TEXT, ["007"], "007"),
        (TEXT, [7, 7.0, "7"], "7"),
        (TEXT, [" a"], " a"),
        (TEXT, [""], ""),
        (TEXT, ["e\u0301"], "e\u0301"),
        (DATE, [date(2013, 1, 31), "2013-01-31", "2013-01-31T00:00Z", "2013-01-31T02:00:00+02:00"], "2013-01-31"),
        (
            INSTANT,
            [
                datetime(2013, 1, 1, 5, tzinfo=UTC),
                datetime(2013, 1, 1, 5),
                datetime(2013, 1, 1, 7, tzinfo=timezone(timedelta(hours=2))),
                "2013-01-01T05:00:00Z",
                "2013-01-01t05:00:00z",
                "2013-01-01 05:00:00",
                "2013-01-01 05:00:00+00",
                "2013-01-01T05:00",
                "2013-01-01T07:00:00.000+02:00",
                "2013-01-01T00:00:00.000000000-05:00",
                "2013-01-01T070000+0200",
            ],
            FIVE,
        ),
        (INSTANT, ["2013-01-01T05:00:00.5Z", "2013-01-01T05:00:00,500000"], "2013-01-01T05:00:00.500000+00:00"),
        (INSTANT, [date(2013, 1, 1), "2013-01-01"], "2013-01-01T00:00:00+00:00"),
    ],
)
def test_all_ways_to_write_a_value_have_one_spelling(kind, values, spelling):
    assert [canonical(kind, v) for v in values] == [spelling] * len(values)


@pytest.mark.parametrize(
    ("kind", "value", "why"),
    [
        (INTEGER, "007", "leading zeros"),
        (INTEGER, 1.5, "fraction"),
        (INTEGER, 2.0**53, "no single integer"),
        (INTEGER, True, "no number"),
        (INTEGER, "1_000", "no number"),
        (INTEGER, "１", "no number"),
        (INTEGER, "", "no number"),
        (INTEGER, "9" * 5000, "digits"),
        (NUMBER, "1e999", "digits"),
        (NUMBER, float("inf"), "no number"),
        (BOOLEAN, 1, "true or false"),
        (BOOLEAN, "yes", "true or false"),
        (TEXT, True, "as text"),
        (TEXT, 1.5, "fraction"),
        (TEXT, "\ud800", "surrogate"),
        (TEXT, ["a"], "one value"),
        (DATE, "2013-01-01T01:00Z", "midnight"),
        (INSTANT, "2013-13-01", "month"),
        (INSTANT, "yesterday", "ISO 8601"),
        (INSTANT, 1357016400, "ISO 8601"),
        (INSTANT, "2013-01-01T05:00:00.0000001Z", "microseconds"),
        (INSTANT, "0001-01-01T00:00:00+02:00", "years"),
        *((kind, value, "null") for kind in KeyType for value in (None, float("nan"), Decimal("nan"))),
    ],
)
def test_what_names_no_single_value_is_refused_with_name_value_and_type(kind, value, why):
    with pytest.raises(BadKey, match=why) as refused:
        canonical(kind, value, name="customer")
    assert "customer" in refused.value.message and refused.value.status == 400
    assert refused.value.fields["type"] == kind.value


ZONES = st.sampled_from([UTC, timezone(timedelta(hours=2)), timezone(-timedelta(hours=9, minutes=30))])
VALUES = {
    TEXT: st.text(max_size=8).filter(lambda t: t.encode("utf-8", "ignore").decode() == t),
    INTEGER: st.integers(-(2**70), 2**70),
    NUMBER: st.floats(allow_nan=False, allow_infinity=False) | st.decimals(-(10**30), 10**30, places=12),
    BOOLEAN: st.booleans(),
    DATE: st.dates(),
    INSTANT: st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=ZONES),
}


@given(st.sampled_from(list(KeyType)).flatmap(lambda k: st.tuples(st.just(k), VALUES[k], VALUES[k])))
@settings(max_examples=200, deadline=None)
def test_spellings_are_equal_exactly_when_values_are_and_are_read_back(drawn):
    kind, one, other = drawn
    text = canonical(kind, one)
    assert (text == canonical(kind, other)) == (one == other)
    assert canonical(kind, text) == text == spelled(parse(kind, text))
    if kind != TEXT:
        assert canonical(kind, f" {text}\t") == text
    if kind != NUMBER or isinstance(one, Decimal):
        assert parse(kind, text) == one
    else:
        assert float(parse(kind, text)) == one


def test_which_columns_may_be_keys_of_a_type():
    assert all(fits(k, k) for k in KeyType)
    assert all(fits(k, TEXT) for k in KeyType)
    assert not fits(BOOLEAN, INTEGER) and not fits(INTEGER, BOOLEAN)
    assert not fits(TEXT, INSTANT) and not fits(TEXT, BOOLEAN)  # as text they may be written in other ways


def test_a_text_key_holds_no_null_character():
    """No store of text takes one: it is refused where it comes in, not where it is looked for."""
    with pytest.raises(BadKey, match="null character"):
        canonical(KeyType.TEXT, "a\x00")
