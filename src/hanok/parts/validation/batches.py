"""Batches that came before: what became of each, and whether its rows are there still."""

from __future__ import annotations

from hanok.compute.duck import connect, one_row, quoted, read, same_row
from hanok.core.errors import Conflict
from hanok.core.tables import SEQUENCE, Overlay
from hanok.core.validation import CHECK, REPLAYED, CheckResult
from hanok.stores.ports import Metadata, Tables

QUARANTINE = "quarantine--"
ENDS_READ = 20  # of the newest batches, for where the rows end


class Batches:
    """A batch is in when its outcome is known and its rows are there: what a disk lost may come again."""

    def __init__(self, *, metadata: Metadata, tables: Tables) -> None:
        self._metadata, self._tables = metadata, tables
        self._ends: dict[str, int] = {}

    def earlier(self, table: str, key: str) -> CheckResult | None:
        """The outcome of a batch that is in."""
        result = CHECK.open(self._metadata.read(lambda r: r.records.get(CHECK.name, table, key)))
        return None if result is None or self._is_lost(result) else result

    def lost(self, table: str) -> list[CheckResult]:
        """Batches that were accepted and whose rows are not there any more, the oldest first."""
        return [r for r in reversed(self._newest(table, 1 << 30)) if self._is_lost(r)]

    def waiting(self, table: str, since: str) -> list[str]:
        """Why rows were set aside that nobody tried again: those of the batch `since`, and later ones."""
        if not self._tables.size(QUARANTINE + table):
            return []
        rows = read(self._tables.scan(QUARANTINE + table), ["batch", "reason", SEQUENCE])
        batches, reasons, ids = (rows.column(n).to_pylist() for n in rows.column_names)
        start = batches.index(since) if since in batches else 0
        tried = {b["_key"] for b in self._metadata.read(lambda r: r.records.list(REPLAYED.name, table, limit=1 << 30))}
        return [why for row, why in zip(ids[start:], reasons[start:], strict=True) if str(row) not in tried]

    def standing(self, table: str, kind: str, column: str, since: str, overlay: Overlay | None) -> int:
        """How many rows count that came with this fault, in the batch `since` or a later one: those that a correction
        took the place of do not."""
        results = list(reversed(self._newest(table, 1 << 30)))
        start = next((i for i, r in enumerate(results) if r.batch == since), 0)
        spans = [
            f"({SEQUENCE} >= {r.first} AND {SEQUENCE} < {r.first + r.accepted})"
            for r in results[start:]
            if r.first is not None and any((a.type, a.column) == (kind, column) for a in r.anomalies)
        ]
        if not spans or not self._tables.size(table):
            return 0
        within, scan = " OR ".join(spans), self._tables.scan(table)
        if overlay is None or not set(overlay.row_key) <= set(scan.schema.names):
            return read(scan, [SEQUENCE], within).num_rows
        key = overlay.row_key
        by = ", ".join(map(quoted, key))
        newest = f"SELECT max(t.{SEQUENCE}) AS n FROM source t SEMI JOIN k ON {same_row('t', 'k', key)} "
        newest += f"GROUP BY {one_row(key, 't.')}"
        with connect({"source": scan}) as duck:
            found = duck.execute(
                f"WITH k AS (SELECT {by}, {SEQUENCE} FROM source WHERE {within}), newest AS ({newest}) "
                f"SELECT count(*) FROM source WHERE ({within}) AND {SEQUENCE} IN (SELECT n FROM newest)"
            ).fetchone()
        return int(found[0]) if found else 0

    def end(self, table: str) -> int:
        """Where the rows of the batches so far end, the lost ones included."""
        if table not in self._ends:
            ends = [r.first + r.accepted for r in self._newest(table, ENDS_READ) if r.first is not None]
            self._ends[table] = max(ends, default=0)
        return self._ends[table]

    def _newest(self, table: str, limit: int) -> list[CheckResult]:
        return CHECK.all(self._metadata.read(lambda r: r.records.list(CHECK.name, table, limit=limit)))

    def _is_lost(self, result: CheckResult) -> bool:
        places = ((result.table, result.accepted), (QUARANTINE + result.table, result.quarantined))
        return any(rows and not self._tables.holds(name, result.batch) for name, rows in places)


def sent_again(done: CheckResult, rows: int, digest: str) -> CheckResult:
    """The outcome of a batch that came before, where the same rows come again; batches of earlier releases have no
    digest and are told apart by their number of rows. Raises Conflict."""
    if (digest if done.digest is None else done.digest) != digest or done.rows != rows:
        raise Conflict(
            f"batch {done.batch!r} of {done.table!r} is in already with other rows ({done.rows}): nothing was changed. "
            "`key` names a batch, and the same key again has no effect: give another, or leave it out. Columns that "
            "identify a row are `keys`",
            table=done.table,
            key=done.batch,
        )
    return done
