"""The spine row that an answer was about is the one that could be seen then: corrections count from their arrival."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from hanok.parts.features.seen import seen_rows
from hanok.stores.memory.tables import MemoryTables

START = datetime(2026, 1, 1, tzinfo=UTC)
INSTANT = pa.timestamp("us", "UTC")
DUE = "CAST(due AS TIMESTAMPTZ)"
MINUTES = st.integers(0, 20)
ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 2), st.none() | MINUTES, MINUTES), min_size=1, max_size=8)
ASKED = st.lists(st.tuples(st.integers(1, 3), MINUTES, st.integers(0, 9)), min_size=1, max_size=5)


def instants(minutes):
    return pa.array([None if m is None else START + timedelta(minutes=m) for m in minutes], INSTANT)


def found(rows, asked, row_key):
    """The number of the row for each answer; None for none. Rows: (row, key, due, arrived); asked: (key, at, later)."""
    tables = MemoryTables()
    row, key, due, came = zip(*rows, strict=True)
    columns = {"row": row, "until": key, "due": instants(due), "_arrived": instants(came)}  # a key of an odd name
    tables.append("t", pa.table(columns), key="one")
    key, at, later = zip(*asked, strict=True)
    known = [a + b for a, b in zip(at, later, strict=True)]
    wanted = pa.table({"key__until": [str(k) for k in key], "_at": instants(at), "_known": instants(known)})
    seen = seen_rows(tables.scan("t"), ["until"], DUE, wanted, row_key).to_pylist()
    by_place = {r["_place"]: r["_seq"] for r in seen}
    return [by_place.get(i) for i in range(len(asked))]


def by_hand(rows, key, at, known, row_key):
    versions = {}
    for number, (row, *rest) in enumerate(rows):
        versions.setdefault(row if row_key else number, []).append((number, *rest))
    there = [max(some) for of in versions.values() if (some := [v for v in of if v[3] <= known])]
    first = [min(of, key=lambda v: (v[3], v[0])) for of in versions.values() if all(v[3] > known for v in of)]
    for candidates in (there, first):
        own = [v for v in candidates if v[1] == key and v[2] is not None]
        if own:
            return max(own, key=lambda v: (v[2] >= at, -abs(v[2] - at), v[0]))[0]
    return None


@settings(max_examples=25, deadline=None)
@given(ROWS, ASKED, st.sampled_from([(), ("row",)]))
def test_an_answer_is_about_the_row_that_could_be_seen_then(rows, asked, row_key):
    wanted = [by_hand(rows, key, at, at + later, row_key) for key, at, later in asked]
    assert found(rows, asked, row_key) == wanted
