"""Labels a year late: 69,126 of them, for as many answers, joined and measured; and one label more, by itself."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter

import numpy as np
import pyarrow as pa

from hanok.core.clock import ReplayClock
from hanok.core.keys import KeyType
from hanok.core.labels import LabelSource
from hanok.core.serving import Signature
from hanok.parts.monitoring.alerts import Alerts
from hanok.parts.monitoring.service import Monitoring
from hanok.stores.delta import DeltaTables
from hanok.stores.sql import SqlMetadata

ROWS = 69_126
START, YEAR = datetime(2025, 1, 1, tzinfo=UTC), timedelta(days=365)
INSTANT = pa.timestamp("us", "UTC")
SIGNATURE = Signature((), "binary", ("0", "1"))


def measure():
    with tempfile.TemporaryDirectory() as folder:
        metadata, tables = SqlMetadata.at(Path(folder) / "m.db"), DeltaTables(Path(folder) / "tables")
        clock = ReplayClock(START + YEAR)
        alerts = Alerts(metadata=metadata, clock=clock)
        monitoring = Monitoring(metadata=metadata, tables=tables, alerts=alerts, clock=clock)
        source = LabelSource("m", "truth", "late", "known", ("flight", "day"))
        kinds = (KeyType.TEXT, KeyType.INTEGER)

        def join():
            began = perf_counter()
            joined = monitoring.labels.join(source, kinds, lambda _: SIGNATURE, SIGNATURE)
            return perf_counter() - began, joined

        _answer(tables)
        _tell(tables, np.arange(ROWS), "all")
        late, joined = join()
        assert joined == ROWS
        began = perf_counter()
        monitoring.measure("m", "binary", [START])
        measured = perf_counter() - began
        singles = []
        for number in range(20):
            _tell(tables, np.array([number * 3_000]), f"one {number}")
            singles.append(join()[0])
        tables.close()
        metadata.close()
    return [
        {"what": f"{ROWS} labels a year late, joined", "value": round(late, 2), "unit": "s", "note": "at most 5"},
        {"what": "performance of the 365 days they are of", "value": round(measured, 2), "unit": "s"},
        {"what": "one label more", "value": round(1000 * float(np.median(singles)), 1), "unit": "ms"},
    ]


def _keys(rows):
    return {"flight": [f"UA{n % 4_000}" for n in rows], "day": pa.array(rows // 4_000, pa.int64())}


def _answer(tables):
    rows = np.arange(ROWS)
    at = pa.array(np.datetime64(START.replace(tzinfo=None), "us") + rows * 456_000_000).cast(INSTANT)
    keys = _keys(rows)
    ids = [f"m~{n:08d}" for n in rows]
    log = {
        "prediction_id": ids,
        "row_id": ids,
        "at": at,
        "version": np.ones(ROWS, int),
        "arm": ["primary"] * ROWS,
        "score": np.random.default_rng(0).random(ROWS),
        "scores": pa.array([[]] * ROWS, pa.list_(pa.float64())),
        "error": [""] * ROWS,
        "key__flight": keys["flight"],
        "key__day": keys["day"].cast(pa.string()),
        "_arrived": at,
    }
    tables.append("predictions--m", pa.table(log), key="all")


def _tell(tables, rows, key):
    now = pa.array([START + YEAR] * len(rows), INSTANT)
    late = np.random.default_rng(1).integers(0, 2, len(rows))
    tables.append("truth", pa.table(_keys(rows) | {"late": late, "known": now, "_arrived": now}), key=key)
