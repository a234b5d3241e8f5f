"""Rows that come again: a file does what its rows would do one by one, however they are cut into files."""

import random
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pyarrow as pa
import pytest

import hanok as hk
from hanok.compute.duck import read
from hanok.core.clock import ReplayClock
from hanok.core.declare import Project
from hanok.core.errors import BadData
from hanok.core.tables import Overlay, Scan
from hanok.engine.app import open_app
from hanok.engine.config import Config
from hanok.parts.validation.again import compared

ROW_KEY = ("k", "at")
SCHEMA = pa.schema({"k": pa.string(), "at": pa.int64(), "a": pa.float64(), "b": pa.string()})
VALUES = ("ABCDEF", (1, 2), (None, 1.0, 2.0), "xy")


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    made = open_app(
        Config(home=tmp_path_factory.mktemp("home")),
        clock=ReplayClock(datetime(2026, 1, 1, tzinfo=UTC)),
        project=Project((hk.Source("facts", row_key="k"),), (), ()),
    )
    yield made
    made.close()


def one_by_one(batches):
    """What counts in the end, how many rows were appended, unchanged and corrected, and corrections by column."""
    counting, sums, by_column = {}, [0, 0, 0], {"a": 0, "b": 0}
    for batch, whole in batches:
        for k, at, a, b in batch:
            before = counting.get((k, at))
            now = (a, b if whole else before and before[1])
            moved = [c for i, c in enumerate("ab") if before is not None and before[i] != now[i]]
            kind = 0 if before is None else 2 if moved else 1
            sums[0] += kind != 1
            sums[1] += kind == 1
            sums[2] += kind == 2
            for c in moved:
                by_column[c] += 1
            counting[(k, at)] = now
    return counting, tuple(sums), by_column


@pytest.mark.parametrize("seed", range(3))
def test_a_file_does_what_its_rows_would_do_one_by_one(seed):
    """Rows of few keys, cut into files anywhere. Some files lack a column: rows that are there keep its values."""
    rng = random.Random(seed)
    rows = [tuple(rng.choice(values) for values in VALUES) for _ in range(80)]
    cuts = [0, *sorted(rng.sample(range(1, 80), 6)), 80]
    batches = [(rows[i:j], not i or rng.random() < 0.6) for i, j in pairwise(cuts)]
    appended, there, sums, by_column = SCHEMA.empty_table(), None, (0, 0, 0), {"a": 0, "b": 0}
    for batch, whole in batches:
        came = pa.Table.from_pylist([dict(zip(SCHEMA.names, r, strict=True)) for r in batch], SCHEMA)
        if not whole:
            came = came.set_column(3, "b", pa.nulls(len(batch), pa.string()))
        found = compared(came, SCHEMA.names[: 4 if whole else 3], there, ROW_KEY)
        sums = tuple(x + y for x, y in zip(sums, (len(found.rows), found.unchanged, found.corrected), strict=True))
        for change in found.changes:
            by_column[change.column] += change.rows
        appended = pa.concat_tables([appended, found.rows])
        tail = appended.append_column("_seq", pa.array(range(len(appended)), pa.int64()))
        there = Scan("t", (), tail, len(tail), tail.schema)
    rows = read(replace(there, overlay=Overlay(ROW_KEY))).to_pylist()
    assert ({(r["k"], r["at"]): (r["a"], r["b"]) for r in rows}, sums, by_column) == one_by_one(batches)


def test_a_first_file_corrects_its_own_rows_and_says_how_often(app):
    came = pa.table({"k": ["A", "A", "B", "A", "B"], "a": [1.5, 7.0, 1.0, 2.0, 1.0]})
    done = app.validation.ingest("first", came, key="1", keys=["k"], row_key=["k"])
    assert (done.accepted, done.unchanged, done.corrected, done.quarantined) == (4, 1, 2, 0)
    assert [a.message for a in done.anomalies] == ["a is corrected 2 times in 1 earlier row, like 1.5 to 7.0 (k=A)"]


def test_every_column_of_a_row_key_identifies(app):
    """A row without one is set aside, whichever column it is; a file without the column is refused."""
    for name in ROW_KEY:
        came = {"k": ["A", "B"], "at": [1, 2], "a": [1.0, 2.0]} | {name: [None, {"k": "B", "at": 2}[name]]}
        for again in range(2):
            done = app.validation.ingest(f"null-{name}", pa.table(came), key=str(again), row_key=ROW_KEY)
            assert (done.accepted, done.unchanged, done.quarantined) == ((1, 0, 1), (0, 1, 1))[again]
            assert done.anomalies[-1].message == f"{name} is null; it identifies the row"
        for table in (f"null-{name}", f"new-{name}"):
            with pytest.raises(BadData, match=f"lacks the column '{name}'"):
                app.validation.ingest(table, pa.table(came).drop_columns([name]), key="without", row_key=ROW_KEY)


def test_rows_of_the_quarantine_come_again_in_the_order_in_which_they_came(app):
    app.validation.ingest("facts", pa.table({"k": ["A"], "a": [8]}), key="1", row_key=["k"])
    bad = pa.table({"k": ["A", "A", "A"], "a": ["x", "y", "z"]})
    assert app.validation.ingest("facts", bad, key="2", row_key=["k"]).quarantined == 3
    third, second, _ = (r.id for r in app.validation.quarantined("facts"))
    done = app.validation.replay("facts", [third, second], changes={"a": 8})
    assert (done.accepted, done.unchanged, done.quarantined) == (0, 2, 0)
