"""Inferring a schema from data, bringing a batch to it, and finding what does not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hanok.compute.values import ARROW, Brought, Cell, bring, column_type, plain
from hanok.core import validation as v
from hanok.core.errors import BadData
from hanok.core.tables import BOOKKEEPING
from hanok.core.validation import Anomaly, ColumnSchema, ColumnStatistics, TableSchema

DOMAIN_MAX = 100
RANGE_WIDTHS = 10.0
MOSTLY_PRESENT = 0.5


def infer_schema(
    table: str,
    statistics: Sequence[ColumnStatistics],
    rows: pa.Table,
    *,
    event_time: str = "",
    keys: Sequence[str] = (),
) -> TableSchema:
    """What later batches are held to.

    A numeric column may leave its observed range by ten times the range's width on either side: room for seasons and
    storms, none for a unit or sensor fault. One whose smallest value is 0, held by at least 1 % of the rows, is an
    amount and never negative. A text column with at most 100 values, at most a tenth of them singletons, has a domain.
    """
    columns = []
    for s in statistics:
        low = high = None
        if s.type in ("INT", "FLOAT") and s.minimum is not None and s.maximum is not None and s.maximum > s.minimum:
            slack = RANGE_WIDTHS * (s.maximum - s.minimum)
            low = 0.0 if s.minimum == 0 and s.zeros >= 0.01 * s.rows else s.minimum - slack
            high = s.maximum + slack
        domain = _domain(rows.column(s.name)) if s.type == "STRING" and s.name in rows.column_names else None
        columns.append(ColumnSchema(s.name, s.type, round(s.presence, 6), low, high, domain, s.quantiles[1:-1]))
    days = _days(rows, event_time)
    return TableSchema(table, tuple(columns), event_time, tuple(keys), rows.num_rows, usual_days=days)


def _days(rows: pa.Table, event_time: str) -> int:
    """Over how many days rows spread, by their event time, or else the one column of times that they have."""
    times = [f.name for f in rows.schema if pa.types.is_timestamp(f.type) and f.name not in BOOKKEEPING]
    event_time = event_time or (times[0] if len(times) == 1 else "")
    if event_time not in times:
        return 0
    ends = pc.min_max(rows.column(event_time).cast(pa.timestamp("us", "UTC")))
    first, last = ends["min"].as_py(), ends["max"].as_py()
    return 0 if first is None else int((last - first).days)


def _domain(column: pa.ChunkedArray) -> tuple[str, ...] | None:
    counts = pc.value_counts(column.drop_null()).to_pylist()
    singletons = sum(item["counts"] == 1 for item in counts)
    if not counts or len(counts) > DOMAIN_MAX or singletons > 0.1 * len(counts):
        return None
    return tuple(sorted(item["values"] for item in counts))


def widened(schema: TableSchema, accepted: pa.Table) -> TableSchema:
    """The schema after a batch was accepted: new values of domains and new columns are known from now on."""
    columns = []
    for column in schema.columns:
        if column.domain is not None and column.name in accepted.column_names:
            seen = set(pc.unique(accepted.column(column.name)).drop_null().to_pylist())
            known = seen | set(column.domain)
            columns.append(replace(column, domain=tuple(sorted(known)) if len(known) <= 2 * DOMAIN_MAX else None))
        else:
            columns.append(column)
    return replace(schema, columns=tuple(columns), rows_seen=schema.rows_seen + accepted.num_rows)


def allowing(schema: TableSchema, rows: pa.Table, columns: Sequence[str]) -> TableSchema:
    """The schema after a person said that the values which `rows` have in these columns are right."""
    changed = []
    for column in schema.columns:
        if column.name in columns:
            values = [v for v in rows.column(column.name).to_pylist() if v is not None]
            if column.domain is not None:
                column = replace(column, domain=tuple(sorted({*column.domain, *map(str, values)})))
            numbers = [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
            if numbers and column.minimum is not None:
                column = replace(column, minimum=min(column.minimum, *numbers))
            if numbers and column.maximum is not None:
                column = replace(column, maximum=max(column.maximum, *numbers))
        changed.append(column)
    return replace(schema, columns=tuple(changed))


def typed_rows(rows: Sequence[Mapping[str, Cell]], schema: TableSchema) -> pa.Table:
    """Rows as they were written down (times as text) in the types of the schema; what cannot be is left as text, for
    the check to find."""
    columns = {}
    for name in dict.fromkeys(n for row in rows for n in row):
        values = [row.get(name) for row in rows]
        column = schema.column(name)
        try:
            came = pa.chunked_array([pa.array(values)])
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            came = pa.chunked_array([pa.array([None if v is None else str(v) for v in values], pa.string())])
        made = bring(came, column.type) if column is not None else None
        columns[name] = came if made is None or made.bad.any() else made.column
    return pa.table(columns)


@dataclass(frozen=True, slots=True)
class Checked:
    """A batch brought to its schema: which rows stay, why the others do not, and all anomalies. `came` are the columns
    as they came, in the types of the schema where all their values are of them."""

    rows: pa.Table
    bad: np.ndarray
    reasons: list[str]
    anomalies: tuple[Anomaly, ...]
    came: pa.Table


def normalised(rows: pa.Table) -> pa.Table:
    """Plain column types: int64, float64, string, bool, timestamp[us, UTC]. Naive timestamps are UTC.

    Raises BadData for values that cannot be kept.
    """
    columns = {}
    for field, column in zip(rows.schema, rows.columns, strict=True):
        made = plain(field.name, column)
        if made.bad.any():
            raise BadData(f"column {field.name!r} {made.reason}: {made.first}")
        columns[field.name] = made.column
    return pa.table(columns)


def as_came(rows: pa.Table) -> tuple[pa.Table, dict[str, Brought]]:
    """The first rows of a table in the types that hold them, and what there is to say of each column."""
    made = {f.name: plain(f.name, column) for f, column in zip(rows.schema, rows.columns, strict=True)}
    return pa.table({name: brought.column for name, brought in made.items()}), made


class _Findings:
    """Anomalies of a batch, the rows at fault, and the first reason of each."""

    def __init__(self, rows: int) -> None:
        self.anomalies: list[Anomaly] = []
        self.reasons = [""] * rows
        self.bad = np.zeros(rows, bool)

    def mark(self, mask: np.ndarray, anomaly: Anomaly) -> None:
        hit = np.flatnonzero(mask)
        if not len(hit):
            return
        self.anomalies.append(replace(anomaly, rows=len(hit)))
        self.bad[hit] = True
        for i in hit:
            self.reasons[i] = self.reasons[i] or f"{anomaly.type}: {anomaly.message}"

    def unreadable(self, name: str, brought: Brought, bound: str = "") -> None:
        message = f"{name} {brought.reason}"
        self.mark(brought.bad, Anomaly(v.UNEXPECTED_TYPE, name, "error", message, brought.first, bound))
        if brought.bad.any() and brought.first:  # of all rows that it is the reason of, the first is shown
            self.anomalies[-1] = replace(self.anomalies[-1], message=f"{message}: {brought.first}")

    def warn(self, kind: str, column: str, message: str, observed: str = "", bound: str = "", rows: int = 0) -> None:
        self.anomalies.append(Anomaly(kind, column, "warning", message, observed, bound, rows))


def check_batch(rows: pa.Table, schema: TableSchema, row_key: Sequence[str] = ()) -> Checked:
    """Hold a batch to its schema.

    Errors mark the rows that cause them (a value out of range, of another type, a null key, a second row of the same
    key); warnings concern the batch (a new value, a column gone null) and leave its rows in. Where `row_key` tells rows
    apart, a second row of the same key is no error: it corrects the first.
    """
    found = _Findings(rows.num_rows)
    if not rows.num_rows:
        found.warn(v.NO_EXAMPLES, "", "the batch is empty", "0", "> 0")
    columns, came = {}, {f.name: c for f, c in zip(rows.schema, rows.columns, strict=True)}
    for expected in schema.columns:
        if expected.name not in came:
            _missing(expected, schema, found)
            columns[expected.name] = pa.nulls(rows.num_rows, ARROW[expected.type])
            continue
        kind = rows.schema.field(expected.name).type
        brought = bring(came[expected.name], expected.type)
        columns[expected.name] = brought.column
        if brought.bad.any():
            found.unreadable(expected.name, brought, expected.type)
        else:
            came[expected.name] = brought.column
            _converted(expected, kind, brought, found)
        _check_column(brought, expected, found)
    for name in rows.column_names:
        if schema.column(name) is None and name not in BOOKKEEPING:
            found.warn(v.NEW_COLUMN, name, f"column {name!r} was not there before")
            brought = plain(name, came[name])
            columns[name] = came[name] = brought.column
            found.unreadable(name, brought)
            if brought.remark:
                found.warn(v.CONVERTED, name, f"{name} {brought.remark}")
    brought_rows = pa.table(columns)
    _check_identity(brought_rows, schema, row_key, found)
    return Checked(brought_rows, found.bad, found.reasons, tuple(found.anomalies), pa.table(came))


def _missing(expected: ColumnSchema, schema: TableSchema, found: _Findings) -> None:
    must = expected.name in schema.keys or expected.name == schema.event_time
    if not must and not expected.presence:
        return  # it was never promised: a column that came later
    message = f"column {expected.name!r} is missing"
    if must:
        found.bad[:] = True
        found.reasons = [r or f"{v.MISSING_COLUMN}: {message}" for r in found.reasons]
    found.anomalies.append(Anomaly(v.MISSING_COLUMN, expected.name, "error" if must else "warning", message))


def _converted(expected: ColumnSchema, kind: pa.DataType, brought: Brought, found: _Findings) -> None:
    """Say where values of another type were taken: as text, or rounded."""
    came = column_type(kind)
    if brought.remark:
        found.warn(v.CONVERTED, expected.name, f"{expected.name} {brought.remark}", str(kind), expected.type)
    elif expected.type == "STRING" and came not in ("STRING", "NULL"):
        message = f"{expected.name} is text here, and its {kind} values are kept as text"
        found.warn(v.CONVERTED, expected.name, message, str(kind), expected.type)


def _check_identity(rows: pa.Table, schema: TableSchema, row_key: Sequence[str], found: _Findings) -> None:
    identity = [n for n in dict.fromkeys((*schema.keys, schema.event_time)) if n]
    for name in dict.fromkeys((*identity, *row_key)):
        null = rows.column(name).is_null().to_numpy() if name in rows.column_names else np.ones(rows.num_rows, bool)
        message = f"{name} is null; it identifies the row"
        found.mark(null & ~found.bad, Anomaly(v.NULL_KEY, name, "error", message))
    if schema.keys and not row_key and rows.num_rows:
        again = _repeated(rows.select(identity)) & ~found.bad
        listed = ", ".join(identity)
        found.mark(again, Anomaly(v.DUPLICATE_KEY, listed, "error", f"a second row of the same {listed}"))


ALL_NULL_BY_CHANCE = 0.001  # as often a few rows may be null in all of a column that is so in some rows


def _check_column(brought: Brought, expected: ColumnSchema, found: _Findings) -> None:
    column = brought.column
    name, rows = expected.name, len(column)
    unreadable = int(brought.bad.sum())  # values that came, and are null here
    present = (rows - column.null_count + unreadable) / rows if rows else 1.0
    usual = expected.presence
    if rows and not present and (1 - usual) ** rows < ALL_NULL_BY_CHANCE:
        kind = v.NOT_PRESENT if usual >= MOSTLY_PRESENT else v.LOW_FRACTION
        found.warn(kind, name, f"{name} is null in every row", "0", f"{usual:.3f}")
    elif present and null_more_often(usual, present, rows):
        found.warn(v.LOW_FRACTION, name, f"{name} is null more often", f"{present:.3f}", f"{usual:.3f}")
    if expected.type in ("INT", "FLOAT"):
        _check_range(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), expected, found)
    if expected.domain is not None and rows:
        unknown = sorted(set(pc.unique(column).drop_null().to_pylist()) - set(expected.domain))
        if unknown:
            shown = ", ".join(unknown[:5])
            count = int(pc.sum(pc.is_in(column, pa.array(unknown, pa.string()))).as_py() or 0)
            found.warn(v.UNEXPECTED_VALUES, name, f"{name} has values not seen before: {shown}", shown, "", count)


def null_more_often(usual: float, present: float, rows: int) -> bool:
    """Whether a share of values that are there lies below the usual one by more than so many rows make by chance."""
    return bool(rows and usual - present > max(0.05, 4 * (usual * (1 - usual) / rows) ** 0.5))


def _check_range(values: np.ndarray, expected: ColumnSchema, found: _Findings) -> None:
    name, low, high = expected.name, expected.minimum, expected.maximum
    with np.errstate(invalid="ignore"):
        found.mark(np.isinf(values), Anomaly(v.NON_FINITE, name, "error", f"{name} is infinite"))
        if high is not None and (over := values > high).any():
            worst = f"{np.nanmax(values):g}"
            message = f"{name} = {worst} is above {high:g}"
            found.mark(over, Anomaly(v.BIG, name, "error", message, worst, f"<= {high:g}"))
        if low is not None and (under := values < low).any():
            worst = f"{np.nanmin(values):g}"
            message = f"{name} = {worst} is below {low:g}"
            found.mark(under, Anomaly(v.SMALL, name, "error", message, worst, f">= {low:g}"))


def _repeated(identity: pa.Table) -> np.ndarray:
    """Every row but the first of equal identity."""
    names = [str(i) for i in range(identity.num_columns)]
    numbered = identity.rename_columns(names).append_column("row", pa.array(range(identity.num_rows), pa.int64()))
    first = numbered.group_by(names, use_threads=False).aggregate([("row", "min")]).column("row_min")
    repeated = np.ones(identity.num_rows, bool)
    repeated[first.to_numpy()] = False
    return repeated
