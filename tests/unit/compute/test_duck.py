"""Snapshots of tables as DuckDB reads them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from hanok.compute.duck import read, within
from hanok.core.tables import ARRIVED, SEQUENCE, Overlay
from hanok.stores.delta import DeltaTables


@pytest.mark.parametrize("kind", ["text", "whole", "instant", "naive"])
def test_files_left_out_hold_nothing_between_the_ends(tmp_path, kind):
    """Any ranges over files with nulls, and one that holds nothing else."""
    rng = np.random.default_rng(7)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    made = {
        "text": lambda n: f"k{n:03d}" + "x" * 90,
        "whole": lambda n: n,
        "instant": lambda n: start + timedelta(hours=n),
        "naive": lambda n: start + timedelta(hours=n),
    }[kind]
    types = {
        "text": pa.string(),
        "whole": pa.int64(),
        "instant": pa.timestamp("us", "UTC"),
        "naive": pa.timestamp("us"),
    }
    tables = DeltaTables(tmp_path)
    for i in range(6):
        at = int(rng.integers(0, 50))
        given = [None if rng.random() < 0.2 or i == 3 else int(rng.integers(at, at + 9)) for _ in range(8)]
        values = [None if n is None else made(n) for n in given]
        if kind == "naive":
            values = [None if v is None else v.replace(tzinfo=None) for v in values]
        rows = pa.table({"v": pa.array(values, types[kind]), ARRIVED: pa.array([start] * 8, pa.timestamp("us", "UTC"))})
        tables.append("t", rows, key=str(i))
        tables.flush("t")
    scan, fewer = tables.scan("t"), 0
    for low in range(-2, 60, 3):
        for high in (low, low + 1, low + 20):
            ends = made(max(low, 0)), made(max(high, 0))
            near = within(scan, "v", *ends)
            fewer += len(near.files) < len(scan.files)
            of = "TIMESTAMP" if kind == "naive" else "TIMESTAMPTZ"
            sql = [str(e) if kind == "whole" else f"'{e}'" if kind == "text" else f"{of} '{e}'" for e in ends]
            if kind == "naive":
                sql = [f"{of} '{e.replace(tzinfo=None)}'" for e in ends]
            where = f"v BETWEEN {sql[0]} AND {sql[1]}"
            assert read(near, [SEQUENCE], where) == read(scan, [SEQUENCE], where)
    assert fewer > 20


def test_no_file_is_left_out_that_may_hold_the_newest_form_of_a_row(tmp_path):
    at = pa.array([datetime(2026, 1, 1, tzinfo=UTC)], pa.timestamp("us", "UTC"))
    tables = DeltaTables(tmp_path)
    for v in (1, 5):
        tables.append("t", pa.table({"k": ["a"], "v": [v], ARRIVED: at}), key=str(v))
        tables.flush("t")
    scan = replace(tables.scan("t"), overlay=Overlay(("k",)))
    assert within(scan, "v", 0, 2) == scan and read(within(scan, "v", 0, 2), ["v"], "v <= 2").num_rows == 0
    assert within(scan, "k", "b", "c").files == ()


def test_a_column_that_the_chosen_rows_do_not_have_is_null_in_them(tmp_path):
    at = pa.array([datetime(2026, 1, 1, tzinfo=UTC)], pa.timestamp("us", "UTC"))
    tables = DeltaTables(tmp_path)
    for i, columns in enumerate(({"v": [1], "w": [7]}, {"v": [2]}, {"w": [1], "v": [3]})):
        tables.append("t", pa.table(columns | {ARRIVED: at}), key=str(i))
        tables.flush("t")
    assert read(tables.scan("t", first=1, upto=2), ["v", "w"]).to_pylist() == [{"v": 2, "w": None}]
    assert read(tables.scan("t"), ["v", "w"]).to_pylist() == [{"v": 1, "w": 7}, {"v": 2, "w": None}, {"v": 3, "w": 1}]
