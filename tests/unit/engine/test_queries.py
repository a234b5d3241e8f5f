"""Users' SQL in a process of its own: it ends in time, within its memory, and when nobody waits. Real processes."""

import threading

import pyarrow as pa
import pytest

from hanok.compute.user_sql import Limits, select_only
from hanok.core.access import Access, Actor, acting
from hanok.core.errors import Cancelled, HanokError, Invalid, TooLarge, Unavailable
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


def test_a_query_ends_in_time_and_within_its_memory_and_the_next_one_is_answered(processes):
    one = processes.select("SELECT name FROM runs WHERE loss IS NULL", RUNS, LIMITS)
    assert one.to_pylist() == [{"name": "b"}]
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
