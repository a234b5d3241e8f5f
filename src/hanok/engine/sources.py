"""What the project says of the tables that data arrives in: which columns tell rows apart, and what columns are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from hanok.compute.dates import read_dates
from hanok.compute.duck import connect, quoted
from hanok.compute.values import bring
from hanok.core.declare import Source
from hanok.core.names import folded, in_any_spelling
from hanok.core.tables import ARRIVED, Overlay, Scan

FRACTION = r"[.eE]"
TYPES = {
    "number": ("INT", "FLOAT"),
    "integer": ("INT",),
    "float": ("FLOAT",),
    "date": ("TIMESTAMP",),
    "category": ("STRING",),
    "text": ("STRING",),
    "id": ("STRING",),
}
AS_TEXT = ("category", "text", "id", "date")


class Sources:
    """The sources of the project that was applied last, by table. Shared by those who write tables and those
    who read them."""

    def __init__(self) -> None:
        self._known: dict[str, Source] = {}

    def declare(self, sources: Iterable[Source]) -> None:
        self._known = {s.table: s for s in sources}

    def of(self, table: str) -> Source | None:
        return self._known.get(table)

    def overlay(self, table: str) -> Overlay | None:
        """How rows of a table that were corrected are read."""
        source = self._known.get(table)
        return None if source is None or source.row_key is None else Overlay(source.row_key)

    def kinds(self, table: str) -> dict[str, str]:
        """What the columns of a table are, by name, where that is declared."""
        source = self._known.get(table)
        return dict(source.columns or ()) if source is not None else {}

    def as_text(self, table: str) -> list[str]:
        """Columns that keep the text of the file."""
        return [name for name, kind in self.kinds(table).items() if kind.split()[0] in AS_TEXT]

    def typed(self, table: str, rows: pa.Table) -> pa.Table:
        """The rows with their columns as they are declared: without those that are ignored, codes as text."""
        return as_declared(rows, self.kinds(table))


def later_than(scan: Scan, source: Source) -> tuple[int, int]:
    """How many rows that count are known from a later instant on than their `known_at` says; and of how many."""
    column = in_any_spelling(source.known_at or "", scan.schema.names)
    row_key = tuple(in_any_spelling(n, scan.schema.names) for n in source.row_key or ())
    if column not in scan.schema.names:
        return 0, 0
    fits = row_key and set(row_key) <= set(scan.schema.names)
    with connect({"source": replace(scan, overlay=Overlay(row_key) if fits else None)}) as duck:
        found = duck.execute(
            f"SELECT count(*) FILTER (TRY_CAST({quoted(column)} AS TIMESTAMPTZ) < {ARRIVED}), count(*) FROM source"
        ).fetchone()
    return (0, 0) if found is None else (int(found[0]), int(found[1]))


def as_declared(rows: pa.Table, kinds: dict[str, str]) -> pa.Table:
    """Columns that are declared, in their types; a value that does not fit is left for the checks to find."""
    wanted = {folded(n): kind for n, kind in kinds.items()}
    for name in rows.column_names:
        kind, _, spelling = wanted.get(folded(name), "").partition(" ")
        place = rows.column_names.index(name)
        if kind == "ignored":
            rows = rows.remove_column(place)
        elif kind:
            rows = rows.set_column(place, name, _declared(rows.column(name), kind, spelling))
    return rows


def _declared(column: pa.ChunkedArray, kind: str, spelling: str) -> pa.ChunkedArray:
    if kind == "date" and spelling and pa.types.is_string(column.type):
        column = read_dates(column, spelling)
    for wanted in ("FLOAT",) if kind == "number" and _is_fractional(column) else TYPES[kind]:
        made = bring(column, wanted)
        if not made.bad.any():
            return made.column
    return column


def _is_fractional(column: pa.ChunkedArray) -> bool:
    """Whether numbers are written as numbers with fractions, like 2.0: the next ones may be 2.5."""
    kind = column.type
    if pa.types.is_string(kind):
        return bool(pc.any(pc.match_substring_regex(column, FRACTION)).as_py())
    return bool(pa.types.is_floating(kind) or (pa.types.is_decimal(kind) and kind.scale > 0))
