"""The doctor beside writers: what is being written is no damage, and what is damaged is not certified by a write."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from hanok.core.errors import Corrupt
from hanok.engine.doctor import check_home
from hanok.engine.home import Home
from hanok.parts.serving.entries import Entry
from hanok.parts.serving.log import PredictionLog
from hanok.stores.delta import DeltaTables, check_table
from hanok.stores.delta.log import DIGESTS, DeltaLog, read_digests
from hanok.stores.lmdb import LmdbOnlineValues
from hanok.stores.lmdb.check import CLEAN
from hanok.stores.sql import SqlMetadata
from hanok.stores.testing.tables import rows

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CHECKS = 50


def test_nothing_that_is_being_written_is_called_damage(tmp_path):
    home = Home(tmp_path)
    metadata, tables = SqlMetadata.at(home.database), DeltaTables(home.tables)
    log = PredictionLog(home.log, tables, started=NOW)
    done = threading.Event()

    def write():
        number = 0
        while not done.is_set():
            number += 1
            tables.append(f"t{number % 3}", rows(number, number + 1), key=str(number))
            log.append_many("m", [Entry(number, 1, "primary", 0.5, [], {"x": 1.0}, {})])
            metadata.write(lambda r, n=number: r.records.put("doctor", "n", str(n), {"n": n}, NOW))
            home.note_project(tmp_path / "hanok.db")
            home.note_time(NOW)
            if number % 4 == 0:
                tables.flush(f"t{number % 3}")
            if number % 9 == 0:
                log.compact(everything=True)

    pool = ThreadPoolExecutor(1)
    writing = pool.submit(write)
    try:
        wrong = [f for _ in range(CHECKS) for f in check_home(home) if not f.ok]
    finally:
        done.set()
        writing.result()
        pool.shutdown()
        log.close()
        tables.close()
        metadata.close()
    assert not wrong


WALK = """
import sys; from pathlib import Path; from hanok.stores.lmdb.check import walk
for _ in range(int(sys.argv[2])): walk(Path(sys.argv[1]))
"""


def test_online_values_that_are_pushed_are_no_damage(tmp_path):
    online = LmdbOnlineValues(tmp_path)
    online.put("s", [(b"0", b"v")])
    asked = subprocess.Popen([sys.executable, "-c", WALK, str(tmp_path), str(CHECKS)], stderr=subprocess.PIPE)
    number = 0
    while asked.poll() is None:
        number += 1
        online.put("s", [(b"%d" % (number * k % 5000), b"v" * (number * k % 300)) for k in range(200)])
    assert asked.returncode == 0, asked.stderr.read()
    asked.stderr.close()
    assert not (tmp_path / CLEAN).exists()  # who writes takes back what was noted of the bytes
    online.close()
    assert (tmp_path / CLEAN).exists()


@pytest.fixture
def upgraded(tmp_path):
    """A table as an earlier release left it: nothing is known of its bytes."""
    tables = DeltaTables(tmp_path)
    tables.append("t", rows(*range(4000)), key="one")
    tables.close()
    tables = DeltaTables(tmp_path)
    tables.flush("t")
    tables.close()
    (tmp_path / "t" / DIGESTS).unlink()
    return tmp_path


def test_a_write_certifies_nothing_that_another_process_wrote(upgraded):
    old = {p.name for p in upgraded.rglob("*") if p.is_file()}
    (file,) = (upgraded / "t" / "delta").glob("*.parquet")
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 3] + b"\x5a" * 200 + data[len(data) // 3 + 200 :])
    before = list(check_table(upgraded / "t"))
    assert before
    tables = DeltaTables(upgraded)
    tables.append("t", rows(7), key="two")
    tables.flush("t")
    tables.close()
    assert list(check_table(upgraded / "t")) == before
    noted = read_digests(upgraded / "t" / DIGESTS)
    assert noted.keys().isdisjoint(old) and len(noted) == 2


def test_no_damaged_file_is_merged_into_one_that_looks_whole(tmp_path):
    tables = DeltaTables(tmp_path)
    for number in range(3):
        tables.append("t", rows(number), key=str(number))
        tables.flush("t")
    tables.close()
    file = next((tmp_path / "t" / "delta").glob("*.parquet"))
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(Corrupt, match=file.name):
        DeltaLog(tmp_path / "t" / "delta").compact()
    assert any(file.name in said for said in check_table(tmp_path / "t"))
