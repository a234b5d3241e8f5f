"""The spine rows that answers were about, each as it was known when the answer was given."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from hanok.compute.duck import arrow, connect, one_row, quoted
from hanok.compute.frames import PREDICT_AT
from hanok.core.logged import KEY
from hanok.core.tables import ARRIVED, SEQUENCE, Scan
from hanok.parts.features.assemble import spelled_keys

KNOWN, PLACE = "_known", "_place"
NEVER, EVER = -(1 << 62), 1 << 62


def seen_rows(scan: Scan, keys: Sequence[str], at: str, asked: pa.Table, row_key: Sequence[str] = ()) -> pa.Table:
    """`_place` in `asked` and `_seq` of the spine row of each answer; those about no row of the spine are left out.

    `asked` has `key__...`, `_at` (the instant of the answer) and `_known`: what had arrived by then was known. Of the
    rows with one `row_key` that were known the last one counts. Of several with the same keys it is the one that is to
    be predicted next, else the one that was last; `at` is that instant, as SQL. Where nothing had arrived yet (rows
    that are loaded at night, say), what came first counts."""
    own = [f"k{i}" for i in range(len(keys))]  # columns of people's have any name
    names = ", ".join(f"{quoted(k)} AS {o}" for k, o in zip(keys, own, strict=True))
    came = f"coalesce(epoch_us({ARRIVED}), {NEVER})"
    life = f"{EVER} AS until, true AS first"
    if row_key:
        by = f"PARTITION BY {one_row(row_key)} ORDER BY"
        life = (
            f"coalesce(min({came}) OVER ({by} {SEQUENCE} ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING), {EVER}) "
            f"AS until, row_number() OVER ({by} {came}, {SEQUENCE}) = 1 AS first"
        )
    with connect({"spine": scan}) as duck:
        rows = arrow(
            duck, f"SELECT {names}, epoch_us({at}) AS due, {came} AS came, {life}, {SEQUENCE} AS seq FROM spine"
        )
    wanted = spelled_keys(asked.select([KEY + k for k in keys]).rename_columns(own), rows, own)
    wanted = wanted.append_column(PLACE, pa.array(range(asked.num_rows), pa.int64()))
    for name in (PREDICT_AT, KNOWN):
        wanted = wanted.append_column(name, asked.column(name).cast(pa.timestamp("us", "UTC")).cast(pa.int64()))
    same = " AND ".join(f"a.{k} = s.{k}" for k in own)
    with connect({"asked": wanted, "spine": spelled_keys(rows, rows, own)}) as duck:
        return arrow(
            duck,
            f"SELECT a.{PLACE}, arg_max(s.seq, (s.came <= a.{KNOWN}, s.due >= a.{PREDICT_AT}, "
            f"-abs(s.due - a.{PREDICT_AT}), s.seq)) AS {SEQUENCE} FROM asked a JOIN spine s ON {same} "
            f"AND s.due IS NOT NULL "
            f"AND (s.came > a.{KNOWN} AND s.first OR s.came <= a.{KNOWN} AND s.until > a.{KNOWN}) "
            f"GROUP BY a.{PLACE} ORDER BY a.{PLACE}",
        )
