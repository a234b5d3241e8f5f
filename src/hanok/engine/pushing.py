"""Rows that clients push: the same push sent again is one, and a value that comes back counts again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import pyarrow as pa

from hanok.compute.duck import arrow, connect, quoted, read
from hanok.core.declare import FeatureView
from hanok.core.tables import ARRIVED, SEQUENCE
from hanok.core.validation import CheckResult
from hanok.engine.ingesting import Ingesting
from hanok.parts.access import GuardedTables
from hanok.parts.features.assemble import spelled_keys
from hanok.parts.features.service import Features
from hanok.parts.validation.service import Validation


@dataclass(frozen=True, slots=True)
class Pushing:
    """Made of an App by `parts.find`."""

    ingesting: Ingesting
    validation: Validation
    features: Features
    tables: GuardedTables

    def push(self, table: str, rows: pa.Table, digest: str) -> CheckResult:
        """Ingest rows of which `digest` tells what was sent. What is sent again, because its answer was lost say, has
        no effect, unless other rows of the same entities came meanwhile: then it says that these values hold again.
        Values may go beyond those that were seen; what is declared of them counts. Raises BadData."""
        key = self._key(table, rows, f"push {digest}")
        return self.ingesting.batch(table, rows, key=key, learned_ranges=False).rows

    def _key(self, table: str, rows: pa.Table, name: str) -> str:
        last = self._last(table, name)
        done = self.validation.result(table, _numbered(name, last)) if last else None
        if done is None:
            return name
        end = 0 if done.first is None else done.first + done.accepted
        return _numbered(name, last + self._has_newer(table, rows, end))

    def _last(self, table: str, name: str) -> int:
        """How often this was taken so far."""

        def taken(number: int) -> bool:
            return self.validation.result(table, _numbered(name, number)) is not None

        high = next(n for n in (1 << i for i in count()) if not taken(n))
        low = high >> 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if taken(middle) else (low, middle)
        return low

    def _has_newer(self, table: str, rows: pa.Table, end: int) -> bool:
        """Whether a row from number `end` on took the place of one of these in a view."""
        if self.tables.size(table) <= end:
            return False
        scan = self.tables.scan(table)
        for by in self._replaced_by(table):
            names = [n for n in by if n in rows.column_names and n in scan.schema.names]
            there = read(scan, names, f"{SEQUENCE} >= {end}")
            came = spelled_keys(rows.select(names), there, names)
            same = ", ".join(map(quoted, names))
            with connect({"there": spelled_keys(there, there, names), "came": came}) as duck:
                if arrow(duck, f"SELECT 1 FROM there SEMI JOIN came USING ({same}) LIMIT 1").num_rows:
                    return True
        return False

    def _replaced_by(self, table: str) -> Iterator[tuple[str, ...]]:
        """The columns by which a later row of the table counts instead of an earlier one, for each view over it. Rows
        that have an instant are events to a window: none of them takes another's place."""
        views: list[FeatureView] = [v for v in self.features.views() if v.source.table == table]
        for view in views:
            event_time = view.source.event_time
            if event_time == ARRIVED:
                yield view.key_columns
            elif not view.aggregate:
                yield (*view.key_columns, event_time)


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name} {number}"
