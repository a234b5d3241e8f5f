"""The prediction log is killed at any moment of a compaction: nothing is lost, nothing is there twice."""

import os
import random
import signal
import subprocess
import sys
from datetime import UTC, datetime

from hanok.compute.duck import read
from hanok.core.ids import PredictionId
from hanok.parts.serving.log import PredictionLog
from hanok.stores.delta import DeltaTables

WRITER = """
import sys, threading
from datetime import UTC, datetime
from pathlib import Path
from hanok.parts.serving import segments
from hanok.parts.serving.log import Entry, PredictionLog
from hanok.stores.delta import DeltaTables
segments.SEGMENT_FRAMES = 40
root = Path(sys.argv[1])
log = PredictionLog(root / "log", DeltaTables(root / "tables"), started=datetime(2026, 1, 1, tzinfo=UTC))
def answer():
    number = 0
    while True:
        made = [Entry(1, 1, "primary", float(number + i), [], {"x": number + i}, {}) for i in range(7)]
        for i, entry in zip(log.append_many("m", made), made):
            print(i, entry.features["x"], flush=True)
        number += 7
threading.Thread(target=answer, daemon=True).start()
while True:
    log.compact(everything=True)
"""


def killed(root, seconds):
    """The ids that a writer had given before it was killed, with their value."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = [process.stdout.readline()]
    timer = subprocess.Popen(["sleep", str(seconds)])
    os.set_blocking(process.stdout.fileno(), True)
    while timer.poll() is None:
        lines.append(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.wait()
    lines += process.stdout.read().splitlines()
    return [tuple(line.split()) for line in lines if len(line.split()) == 2 and line.strip()]


def test_a_log_killed_while_it_compacts_keeps_each_record_once(tmp_path):
    rng, given = random.Random(5), []
    for _ in range(4):
        given += killed(tmp_path, rng.uniform(0.1, 0.5))
    tables = DeltaTables(tmp_path / "tables")
    log = PredictionLog(tmp_path / "log", tables, started=datetime.now(UTC))
    known = [line for line in given if line[0].count("-") == 3 and len(line[0]) == len(given[0][0])]
    assert len(known) >= len(given) - 4 and len(known) > 100
    for place in range(0, len(known), max(1, len(known) // 25)):
        assert log.find(PredictionId.parse(known[place][0])).features == {"x": int(known[place][1])}
    log.compact(everything=True)
    log.compact(everything=True)
    kept = read(tables.scan("predictions--m"), ["prediction_id", "i__x"])
    ids = kept.column("prediction_id").to_pylist()
    assert len(ids) == len(set(ids))
    values = dict(zip(ids, kept.column("i__x").to_pylist(), strict=True))
    assert {i: values.get(i) for i, _ in known} == {i: int(x) for i, x in known}
    assert not log.set_aside("m") and not list((tmp_path / "log" / "m").glob("*.seg"))
    tables.close()
