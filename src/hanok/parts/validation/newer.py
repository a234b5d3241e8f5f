"""Rows that come late: of their key another row has come in since, and counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hanok.compute.duck import arrow, connect, quoted
from hanok.compute.schemas import typed_rows
from hanok.compute.values import Cell
from hanok.core.errors import Invalid
from hanok.core.names import in_any_spelling
from hanok.core.tables import SEQUENCE, Scan
from hanok.core.validation import CORRECTED, Anomaly, CheckResult, SetAside, TableSchema


def ends(results: Iterable[CheckResult]) -> dict[str, int]:
    """By batch, the number of the first row that came after it; batches of earlier releases do not say it."""
    return {r.batch: r.first + r.accepted for r in results if r.first is not None}


def newest(
    there: Scan,
    rows: pa.Table,
    row_key: Sequence[str],
    after: Sequence[int],
    without: Sequence[tuple[int, int]] = (),
) -> NDArray[np.int64]:
    """The number of the newest row of the table with the key of each of `rows`, from the row `after` on and outside of
    some stretches; -1: none."""
    none = np.full(rows.num_rows, -1, np.int64)
    keys = [in_any_spelling(k, rows.column_names) for k in row_key]
    known = {f.name: f.type for f in there.schema}
    if not keys or not rows.num_rows or not {*keys} <= {*rows.column_names} & {*known}:
        return none
    if any(rows.schema.field(k).type != known[k] for k in keys):
        return none  # such keys cannot be those of a row that is there
    asked = rows.select(keys).append_column("_i", pa.array(np.arange(rows.num_rows)))
    asked = asked.append_column("_after", pa.array(after, pa.int64()))
    on = " AND ".join(f"n.{quoted(k)} = t.{quoted(k)}" for k in keys)
    on += "".join(f" AND NOT t.{SEQUENCE} BETWEEN {first} AND {end - 1}" for first, end in without if end > first)
    with connect({"now": asked, "there": replace(there, overlay=None)}) as duck:
        found = arrow(
            duck,
            f"SELECT n._i AS i, max(t.{SEQUENCE}) AS newest FROM now n JOIN there t ON {on} "
            f"AND t.{SEQUENCE} >= n._after GROUP BY n._i",
        )
    none[found.column("i").to_numpy()] = found.column("newest").to_numpy()
    return none


def superseded(
    there: Scan,
    schema: TableSchema,
    waiting: Sequence[SetAside],
    row_key: Sequence[str],
    results: Sequence[CheckResult],
    changes: Mapping[str, Cell] | None = None,
) -> dict[int, str]:
    """By id, the batch that brought a row with the key of one that was set aside before. `changes` mend them first."""
    ended = ends(results)
    asked = [r for r in waiting if r.batch in ended]
    if not asked:
        return {}
    rows = typed_rows([{**r.row, **(changes or {})} for r in asked], schema)  # type: ignore[dict-item]
    found = newest(there, rows, row_key, [ended[r.batch] for r in asked])
    brought = sorted((r.first, r.batch) for r in results if r.first is not None and r.accepted)
    firsts = [first for first, _ in brought]
    places = np.searchsorted(firsts, found, side="right") - 1
    return {r.id: brought[p][1] for r, n, p in zip(asked, found, places, strict=True) if n >= 0}


def refuse_superseded(table: str, since: Mapping[int, str]) -> None:
    """Raises Invalid for a row whose key came in after it was set aside."""
    for row, batch in since.items():
        raise Invalid(
            f"row {row} was set aside before a row with the same key came in with the batch {batch!r}: trying it again "
            "would undo that. Nothing was changed; leave it, or say that it counts in place of the newer one: "
            f"hanok quarantine replay {table} {row} --over-newer"
        )


def refuse_replayed(ids: Sequence[int], waiting: Mapping[int, SetAside]) -> None:
    """Raises Invalid for a row that was tried again, with what became of it."""
    for row in (i for i in ids if waiting[i].replayed):
        batch = waiting[row].replayed
        left = sorted(r.id for r in waiting.values() if r.batch == batch and not r.replayed)
        now = f"; what is wrong in it still waits as {', '.join(map(str, left))}" if left else ""
        raise Invalid(f"row {row} was replayed in the batch {batch!r} already{now}")


def left_as_it_is(rows: pa.Table, late: NDArray[np.bool_], row_key: Sequence[str]) -> tuple[Anomaly, ...]:
    """What is said of rows of a file read once more that came in anew since."""
    if not late.any():
        return ()
    place, count = int(np.flatnonzero(late)[0]), int(late.sum())
    who = ", ".join(f"{k}={rows.column(k)[place].as_py()}" for k in row_key)
    said = f"1 row has come in since this file was read first, and stays as it came last ({who})"
    if count > 1:
        said = f"{count:,} rows have come in since this file was read first, and stay as they came last (like {who})"
    return (Anomaly(CORRECTED, "", "warning", said, rows=count),)
