"""One table whose rows are corrected, that is spine and source, or source alone, beside a plain list of its rows."""

from datetime import UTC, datetime

import pyarrow as pa

import hanok as hk
from hanok.core.clock import ReplayClock
from hanok.core.tables import ARRIVED
from hanok.parts.features.service import Features
from hanok.stores.memory import MemoryOnlineValues, MemoryTables

START = datetime(2026, 1, 1, tzinfo=UTC)
MICROS = pa.timestamp("us", "UTC")


class Corrected:
    """A model that reads `view`, a view of table t by k whose rows `row_key` tells apart; `own`: t is its spine too."""

    def __init__(self, metadata, row_key, own, view):
        self.metadata, self.row_key, self.own, self.view = metadata, row_key, own, view
        self.clock, self.tables, self.rows = ReplayClock(START), MemoryTables(), []
        self.model = hk.Model(
            "m",
            task="regression",
            spine=hk.Spine("t" if own else "s", predict_at="e", keys="k"),
            label=hk.Label("labels", column="y", known_at="e"),
            features=[view],
        )
        if not own:
            first = pa.table({"k": ["a"], "e": pa.array([START], MICROS), ARRIVED: pa.array([START], MICROS)})
            self.tables.append("s", first, key="one")
        self.features = self.started()

    def started(self):
        made = Features(metadata=self.metadata, tables=self.tables, online=MemoryOnlineValues(), clock=self.clock)
        made.keep_online([self.model])
        return made
