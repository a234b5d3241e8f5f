"""The newest rows of a feed of small batches, judged together: units and nulls that no six rows can say anything of."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hanok.compute.schemas import null_more_often
from hanok.compute.units import ROWS_MIN, USUAL_ROWS_MIN, unit_change
from hanok.compute.unlike import GAPS, NEARLY
from hanok.core import validation as v
from hanok.core.validation import Anomaly, ColumnSchema, ColumnStatistics, Lately, LatelyColumn, TableSchema

LEVELS = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)  # of the quantiles that are measured


@dataclass(frozen=True, slots=True)
class Judged:
    """`units` are the columns of which there were rows enough. `lately` is what the next batch needs to know; `usual`
    are the quantiles of columns that are still learned."""

    anomalies: tuple[Anomaly, ...]
    units: tuple[str, ...]
    lately: Lately
    usual: dict[str, tuple[float, ...]]

    def taught(self, schema: TableSchema) -> TableSchema:
        columns = (replace(c, usual=self.usual.get(c.name, c.usual)) for c in schema.columns)
        return replace(schema, columns=tuple(columns))


def judged(
    schema: TableSchema,
    came: pa.Table,
    measured: Sequence[ColumnStatistics],
    before: Lately | None,
    *,
    identity: Collection[str],
    known: Sequence[Anomaly],
) -> Judged:
    """Hold a batch, with the small ones before it, to what is usual. `identity` columns tell rows apart and have no
    unit, nor has what only counts on; `known` was found in the batch alone."""
    found: list[Anomaly] = []
    units: list[str] = []
    kept: dict[str, LatelyColumn] = {}
    usual: dict[str, tuple[float, ...]] = {}
    learning = schema.rows_seen < USUAL_ROWS_MIN
    said = {a.column for a in known if a.type in (v.LOW_FRACTION, v.NOT_PRESENT)}
    for now in measured:
        column = schema.column(now.name)
        if column is None:
            continue
        old = (before.columns.get(now.name) if before else None) or LatelyColumn()
        new = kept[now.name] = _with(old, now, came, schema)
        if (
            now.rows < ROWS_MIN
            and now.name not in said
            and (nulls := _nulls(column, new, schema.rows_seen)) is not None
        ):
            found.append(nulls)
        if column.type not in ("INT", "FLOAT") or not column.usual or now.name in {*identity, schema.event_time}:
            continue
        if learning:
            if now.rows < USUAL_ROWS_MIN and len(new.values) > _present(now):
                usual[now.name] = _quantiles(new.values)
            continue
        rows, quantiles = _present(now), now.quantiles[1:-1]
        if rows < ROWS_MIN:
            rows, quantiles = len(new.values), _quantiles(new.values)
        if rows < ROWS_MIN:
            continue
        units.append(now.name)
        text = "" if _given_out(now) else unit_change(column.usual, quantiles, rows, days=schema.usual_days)
        if text and not _counts_on(column, new, now.rows, rows, came, schema.event_time):
            found.append(Anomaly(v.UNIT, now.name, "warning", f"{now.name} is {text}", rows=rows))
    return Judged(tuple(found), tuple(units), Lately(kept), usual)


def _with(old: LatelyColumn, now: ColumnStatistics, came: pa.Table, schema: TableSchema) -> LatelyColumn:
    rows = _present(now)
    sample: tuple[float, ...] = ()
    if rows and len(now.quantiles) == len(LEVELS):
        places = (np.arange(min(rows, USUAL_ROWS_MIN)) + 0.5) / min(rows, USUAL_ROWS_MIN)
        sample = tuple(_within_range(np.interp(places, LEVELS, now.quantiles)).tolist())
    rising, top = old.rising, old.top
    if now.rows >= USUAL_ROWS_MIN:  # it speaks for itself
        rising, top = 0, None
    elif len(values := _in_order(came, now.name, schema.event_time)):
        on = bool(np.all(np.diff(values) >= 0))
        goes_on = top is None or values[0] >= top
        rising, top = (len(values) + (rising if goes_on else 0) if on else 0), float(values[-1])
    nulls = [*old.nulls, (now.rows, now.nulls)]
    while sum(n for n, _ in nulls[1:]) >= ROWS_MIN:
        nulls = nulls[1:]
    most = USUAL_ROWS_MIN if schema.rows_seen < USUAL_ROWS_MIN else ROWS_MIN
    finite = [*(x for x in old.values if math.isfinite(x)), *sample]
    return LatelyColumn(tuple(finite[-most:]), rising, top, tuple(nulls))


def _counts_on(column: ColumnSchema, new: LatelyColumn, batch: int, rows: int, came: pa.Table, event_time: str) -> bool:
    """Whether the judged rows only go up in time: a counter. Of numbers with fractions their order alone, without a
    time, is no sign: a file may be sorted by them."""
    if column.type != "INT" and not event_time:
        return False
    if batch < USUAL_ROWS_MIN:
        return new.rising >= rows
    return bool(np.all(np.diff(_in_order(came, column.name, event_time)) >= 0))


def _in_order(came: pa.Table, name: str, event_time: str) -> NDArray[np.float64]:
    """The numbers of a column by the time of their rows, or else as they came."""
    column = came.column(name)
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return np.empty(0)
    if event_time in came.column_names and event_time != name:
        column = column.take(pc.array_sort_indices(came.column(event_time)))
    numbers: NDArray[np.float64] = column.drop_null().cast(pa.float64(), safe=False).to_numpy()
    return numbers


def _before(usual: float, new: LatelyColumn, seen: int) -> float:
    """The usual share without the judged rows, of which all but the last batch are among the `seen` ones already."""
    rows, nulls = (sum(pair[i] for pair in new.nulls[:-1]) for i in (0, 1))
    if seen - rows < 2 * ROWS_MIN:
        return usual
    return min(1.0, max(usual, (usual * seen - (rows - nulls)) / (seen - rows)))


def _nulls(column: ColumnSchema, new: LatelyColumn, seen: int) -> Anomaly | None:
    rows, nulls = (sum(pair[i] for pair in new.nulls) for i in (0, 1))
    present = (rows - nulls) / rows if rows else 1.0
    if rows < ROWS_MIN or not null_more_often(_before(column.presence, new, seen), present, rows):
        return None
    said = f"{column.name} is null more often in the last {rows} rows"
    return Anomaly(v.LOW_FRACTION, column.name, "warning", said, f"{present:.3f}", f"{column.presence:.3f}", nulls)


def _given_out(now: ColumnStatistics) -> bool:
    """Whether the numbers of a batch number its rows, in whatever order they come."""
    rows = _present(now)
    if now.type != "INT" or rows < 2 or now.minimum is None or now.maximum is None:
        return False
    return now.distinct >= NEARLY * rows and now.maximum - now.minimum < GAPS * rows


def _present(now: ColumnStatistics) -> int:
    return now.rows - now.nulls - now.non_finite


def _quantiles(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(_within_range(np.quantile(values, LEVELS[1:-1])).tolist()) if values else ()


def _within_range(between: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values between two others: of the largest numbers their difference is none any more."""
    largest = float(np.finfo(float).max)
    return np.nan_to_num(between, nan=0.0, posinf=largest, neginf=-largest)
