"""Where a batch corrected rows, the statistics of the days that it touched are made anew from the rows that count."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from hanok.compute.duck import arrow, connect, quoted
from hanok.compute.partitions import days_of, parts, sliced, time_of
from hanok.core.tables import SEQUENCE, Overlay, Scan
from hanok.core.validation import Remade, StateIndex, TableSchema
from hanok.parts.validation.kept import ALL_TIME, KeptStates, periods_over


def made_anew(
    kept: KeptStates,
    there: Scan,
    corrected: pa.Table,
    own: StateIndex,
    overlay: Overlay,
    schema: TableSchema,
    slices: Sequence[str],
) -> Remade | None:
    """The statistics that stand, from the snapshot `there` on, for all that was kept of the days in which an earlier or
    the new form of one of the `corrected` rows lies; None where no row of theirs came before. `own` is what is kept of
    the batch that brought them."""
    if not set(overlay.row_key) <= {*there.schema.names} & {*corrected.column_names}:
        return None
    time = time_of(there.schema, schema.event_time)
    before = [one.kept for one in kept.counting(schema.table)]
    known = [p[0] for one in (*before, own) for p in one.places]
    dateless = any(not one.parts for one in before)  # of earlier releases
    touched = _touched(replace(there, overlay=None), corrected.select(list(overlay.row_key)), time)
    if not touched:
        return None
    periods = [ALL_TIME] if dateless else _whole(touched, known)
    rows = _counting(replace(there, overlay=overlay), time, periods)
    found = kept.write(parts(rows, time=schema.event_time, slices=slices), sliced=sliced(rows, slices))
    return Remade(found, tuple(periods), there.upto)


def _touched(there: Scan, asked: pa.Table, time: str) -> set[str]:
    """The days of all forms of the rows asked for that came more than once."""
    keys = ", ".join(map(quoted, asked.column_names))
    query = (
        f"SELECT {quoted(time)} AS at FROM there SEMI JOIN asked USING ({keys}) "
        f"QUALIFY count(*) OVER (PARTITION BY {keys}) > 1"
    )
    with connect({"there": there, "asked": asked}) as duck:
        return set(np.unique(days_of(arrow(duck, query).column("at"))).tolist())


def _whole(days: Iterable[str], known: Iterable[str]) -> list[str]:
    """The days, each as the longest partition that something is kept of and that covers it."""
    there = set(known)
    return sorted({next((p for p in (d[:4], d[:7]) if p in there), d) for d in days})


def _counting(there: Scan, time: str, periods: Sequence[str]) -> pa.Table:
    """The rows that count in these periods."""
    covered = set(periods)
    with connect({"there": there}) as duck:
        placed = arrow(duck, f"SELECT {SEQUENCE}, {quoted(time)} AS at FROM there")
        days, codes = np.unique(days_of(placed.column("at")), return_inverse=True)
        wanted = np.array([not covered.isdisjoint(periods_over(d)) for d in days.tolist()], bool)
        chosen = placed.filter(pa.array(wanted[codes])).select([SEQUENCE])
        duck.register("chosen", chosen)
        return arrow(
            duck,
            f"SELECT * EXCLUDE ({SEQUENCE}) FROM there SEMI JOIN chosen USING ({SEQUENCE}) ORDER BY {SEQUENCE}",
        )
