"""A process of its own reads segments: the same rows as here, and whatever ends it holds up no segment for good."""

import os
import signal
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from hanok.core.errors import Unavailable
from hanok.core.serving import Column, Signature
from hanok.parts.serving.entries import Entry
from hanok.parts.serving.log import PredictionLog
from hanok.parts.serving.reading import FactsOf, RowsOf, read
from hanok.server.reading import ReadingProcess
from hanok.stores.delta import DeltaTables

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SIGNATURES = {1: Signature((Column("x", "FP64"), Column("kind", "BYTES")), "regression")}


def entry(n, **features):
    return Entry(n, 1, "primary", 0.5, [], features, {"who": f"p{n}"}, "", 9, "", 1)


@pytest.fixture
def log(tmp_path):
    tables = DeltaTables(tmp_path / "tables")
    log = PredictionLog(tmp_path / "log", tables, started=NOW)
    yield log
    log.close()
    tables.close()


@pytest.fixture
def process():
    process = ReadingProcess()
    yield process
    process.close()


def test_another_process_reads_the_same_and_is_begun_again_when_it_ended(log, process):
    log.append_many("m", [entry(n, x=n / 2, kind="a\ud800" if n == 3 else None, odd=10**30) for n in range(40)])
    log._segments.finish("m")
    (path,) = log._segments.files("m")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    for known in (None, pa.schema([("i__x", pa.string())])):
        asked = RowsOf("m", path, known, SIGNATURES)
        here, there = read(asked), process(asked)
        assert there.table.equals(here.table) and there.bad == here.bad != ""
        os.kill(process.process.pid, signal.SIGKILL)
    facts = FactsOf("m", path, 10, 25)
    assert process(facts).table.equals(read(facts).table) and process(facts).table.num_rows == 25
    with pytest.raises(FileNotFoundError):
        process(FactsOf("m", path.with_name("gone.seg"), 0, 5))
    with pytest.raises(Unavailable, match="IsADirectory"):
        process(FactsOf("m", path.parent, 0, 5))
    process.process._answer_s = 0.0
    with pytest.raises(Unavailable, match="had not answered after 0 s over"):
        process(facts)


def test_a_log_that_is_read_by_another_process_is_compacted_and_looked_at(log, process):
    log.reader = process
    ids = log.append_many("m", [entry(n, x=float(n)) for n in range(100)])
    assert log.since("m", NOW.replace(year=1970)).num_rows == 100
    assert log.compact(everything=True) == 100
    assert log.compact(everything=True) == 0
    assert log.find(ids[7]).features == {"x": 7.0}
    assert log.since("m", NOW.replace(year=1970)).num_rows == 100
