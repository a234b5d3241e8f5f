"""Users' SQL in a process of its own: it ends in time, within its memory, and when nobody waits. Real processes."""

import threading
from dataclasses import replace

import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from hanok.compute.user_sql import Limits, is_query, select_only
from hanok.core.access import Access, Actor, acting
from hanok.core.errors import Cancelled, HanokError, Invalid, TooLarge, Unavailable
from hanok.core.tables import Overlay, Scan
from hanok.engine.executors.asking import QueryProcesses, hanging_up

LONG = "SELECT count(*) FROM range(10000000000) a, range(1000000) b WHERE a.range * b.range % 7 = 3"
ONE_SCALAR = "SELECT len(range(200000000))"
RUNS = {"runs": pa.table({"name": ["a", "b"], "loss": [0.5, None]})}
LIMITS = Limits("512MB", 30.0, 100)


@pytest.fixture
def processes(tmp_path):
    made = QueryProcesses(tmp_path / "work")
    yield made
    made.close()
    assert list((tmp_path / "work").iterdir()) == []


def test_a_query_ends_in_time_and_within_its_memory_and_the_next_one_is_answered(processes, tmp_path):
    one = processes.select("SELECT name FROM runs WHERE loss IS NULL", RUNS, LIMITS)
    assert one.to_pylist() == [{"name": "b"}]
    pq.write_table(pa.table({"k": ["a", "b", "c"], "x": [1, 2, 3], "_seq": [0, 1, 2]}), tmp_path / "t.parquet")
    tail = pa.table({"k": ["b", "c"], "x": [20, 30], "_seq": [3, 4]})
    snapshot = Scan("t", (str(tmp_path / "t.parquet"),), tail, 4, tail.schema, Overlay(("k",)))
    two = processes.select("SELECT k, x FROM t ORDER BY k", {"t": snapshot}, replace(LIMITS, memory="2GB"))
    assert two.to_pylist() == [{"k": "a", "x": 1}, {"k": "b", "x": 20}, {"k": "c", "x": 3}]
    with pytest.raises(Invalid, match=r"stopped after 0\.05 s"):
        processes.select(LONG, {}, Limits("512MB", 0.05, 100))
    with pytest.raises(TooLarge, match="LIMIT"):
        processes.select("SELECT * FROM range(1000)", {}, LIMITS)
    with pytest.raises(HanokError) as refused:
        processes.select(ONE_SCALAR, {}, LIMITS)
    assert isinstance(refused.value, TooLarge)
    assert processes.select("SELECT 1 AS n", {}, LIMITS).to_pylist() == [{"n": 1}]


def test_a_query_ends_when_its_caller_hangs_up_and_when_the_server_stops(processes):
    with acting(Actor("eve", Access.READ)) as call:
        call.gone = True
        with pytest.raises(Cancelled):
            select_only(LONG, {}, LIMITS, gone=hanging_up())
        threading.Timer(0.2, processes.close).start()
        with pytest.raises((Cancelled, Unavailable)):
            processes.select(LONG, {}, LIMITS)
    with pytest.raises(Unavailable):
        processes.select("SELECT 1", {}, LIMITS)


@pytest.mark.parametrize(
    "query",
    ["SELECT 1", "select\n 1", "WITH\n r AS (SELECT 1) FROM r", "-- mine; FROM x\nSELECT 1", "/* a * b */ (SELECT 1)",
     "FROM(SELECT 1)", "((SELECT(1)))", " \n\tSELECT*FROM (SELECT 1)", "--\n--\nFROM (SELECT 1)"],
)  # fmt: skip
def test_a_select_is_one_however_it_begins(query):
    assert is_query(query)
    assert select_only(query, {}, LIMITS).num_rows == 1


@pytest.mark.parametrize("text", ["selected", "with/rows.csv", "from.parquet", "rows.csv", "", "-- SELECT 1", "SELECT"])
def test_what_is_a_name_or_a_path_is_no_select(text):
    assert not is_query(text)
