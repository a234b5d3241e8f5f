"""Online values through kill -9 at any moment: while rows are pushed, views are rebuilt and versions change."""

import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime

import pyarrow as pa

from hanok.compute.duck import read
from hanok.core.tables import SEQUENCE

# Both processes run this: a house with one source, two versions of a view, and a spine.
HOUSE = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
import pyarrow as pa
import hanok as hk
from hanok.core.clock import ReplayClock
from hanok.core.tables import ARRIVED, SEQUENCE
from hanok.parts.features import generations
from hanok.parts.features.service import Features
from hanok.stores.delta import DeltaTables
from hanok.stores.lmdb import LmdbOnlineValues
from hanok.stores.sql import SqlMetadata

generations.CHUNK_ROWS = 32
START = datetime(2013, 1, 1, tzinfo=UTC)

def view(function):
    source = hk.Source("events", event_time="e")
    return hk.FeatureView("f", keys="k", source=source, aggregate={"x": function("v")}, windows=["1h"])

def model(function):
    return hk.Model("m", task="regression", spine=hk.Spine("spine", predict_at="e", keys="k"),
                    label=hk.Label("labels", column="y", known_at="e"), features=[view(function)])

VERSIONS = [model(hk.mean), model(hk.sum)]

def batch(i, size=40):
    at = pa.array([START + timedelta(seconds=i)] * size, pa.timestamp("us", "UTC"))
    values = pa.array([i + j / 3 for j in range(size)])
    return pa.table({"k": [j % 5 for j in range(size)], "v": values, "e": at, ARRIVED: at})

def opened(root):
    tables = DeltaTables(root / "tables")
    if not tables.size("spine"):
        tables.append("spine", batch(0, 1), key="one")
    clock = ReplayClock(START + timedelta(minutes=30))
    online = LmdbOnlineValues(root / "online", start_bytes=1 << 16)
    features = Features(metadata=SqlMetadata.at(root / "m.db"), tables=tables, online=online, clock=clock)
    return tables, online, features
"""
LIVES = (
    HOUSE
    + """
root, low = Path(sys.argv[1]), int(sys.argv[2])
tables, _, features = opened(root)
features.apply(VERSIONS[low % 2].views[0])
features.keep_online(VERSIONS)
for i in range(low, low + 100_000):
    first = tables.append("events", batch(i), key=str(i)).first
    features.push("events", batch(i).append_column(SEQUENCE, pa.array(range(first, first + 40), pa.int64())))
    print(i, flush=True)
    if i % 3 == 0:
        features.materialize("f")
    if i % 7 == 0:
        features.keep_online(VERSIONS[:1])
        features.keep_online(VERSIONS)
"""
)


def test_online_values_are_what_history_gives_after_every_kill(tmp_path):
    house: dict = {}
    exec(HOUSE, house)
    low = 0
    for round_ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", LIVES, str(tmp_path), str(low)], stdout=subprocess.PIPE, text=True
        )
        wait = random.Random(round_).uniform(0.05, 0.6)
        for line in process.stdout:
            acknowledged = int(line)
            if acknowledged >= low + 4:
                time.sleep(wait)
                break
        process.send_signal(signal.SIGKILL)
        low = max([acknowledged, *(int(line) for line in process.stdout)]) + 1
        process.wait()
        tables, online_values, features = house["opened"](tmp_path)
        features.keep_online(house["VERSIONS"])
        at_once = read(tables.scan("events"))
        features.push("events", at_once.slice(at_once.num_rows - 80))  # what the bus had not ticked off runs again
        spine = pa.table({"k": range(6), SEQUENCE: [-1] * 6})
        now = pa.array([datetime(2013, 1, 1, 0, 30, tzinfo=UTC)] * 6, pa.timestamp("us", "UTC"))
        for version in house["VERSIONS"]:
            offline = features.historical(version, spine.append_column("_at", now)).drop_columns(["_at"]).to_pylist()
            online = [features.online_features(version, {"k": k}) for k in range(6)]
            assert online == offline and online[0]["f__x_1h"] is not None
        tables.close()
        online_values.close()
