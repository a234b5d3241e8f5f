"""Inferring a schema from data, bringing a batch to it, and finding what does not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hanok.compute.statistics import column_type
from hanok.core import validation as v
from hanok.core.errors import BadData
from hanok.core.tables import BOOKKEEPING
from hanok.core.validation import Anomaly, ColumnSchema, ColumnStatistics, TableSchema

DOMAIN_MAX = 100
RANGE_WIDTHS = 10.0
MOSTLY_PRESENT = 0.5
_ARROW = {
    "INT": pa.int64(),
    "FLOAT": pa.float64(),
    "STRING": pa.string(),
    "BOOL": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us", "UTC"),
}


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
        columns.append(ColumnSchema(s.name, s.type, round(s.presence, 6), low, high, domain))
    return TableSchema(table, tuple(columns), event_time, tuple(keys), rows.num_rows)


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


def typed_rows(rows: Sequence[Mapping[str, Any]], schema: TableSchema) -> pa.Table:
    """Rows as they were written down (times as text) in the types of the schema; what cannot be is left as text, for
    the check to find."""
    columns = {}
    for name in dict.fromkeys(n for row in rows for n in row):
        values = [row.get(name) for row in rows]
        column = schema.column(name)
        try:
            made = pa.array(values)
            columns[name] = made.cast(_ARROW[column.type]) if column is not None else made
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
            columns[name] = pa.array([None if v is None else str(v) for v in values])
    return pa.table(columns)


@dataclass(frozen=True, slots=True)
class Checked:
    """A batch brought to its schema: which rows stay, why the others do not, and all anomalies."""

    rows: pa.Table
    bad: np.ndarray
    reasons: list[str]
    anomalies: tuple[Anomaly, ...]


def normalised(rows: pa.Table) -> pa.Table:
    """Plain column types: int64, float64, string, bool, timestamp[us, UTC]. Naive timestamps are UTC."""
    columns = {}
    for field, column in zip(rows.schema, rows.columns, strict=True):
        target = _ARROW[column_type(field.type)]
        if pa.types.is_dictionary(field.type):
            column = column.cast(field.type.value_type)
        if pa.types.is_timestamp(field.type) and field.type.tz is None:
            column = pc.assume_timezone(column.cast(pa.timestamp("us"), safe=False), "UTC")
        elif pa.types.is_timestamp(field.type):
            column = column.cast(target, safe=False)  # nanoseconds are cut to microseconds
        elif pa.types.is_nested(field.type):
            raise BadData(f"column {field.name!r} is {field.type}: nested columns are not supported; flatten it first")
        columns[field.name] = column.cast(target)
    return pa.table(columns)


def check_batch(rows: pa.Table, schema: TableSchema) -> Checked:
    """Hold a batch to its schema.

    Errors mark the rows that cause them (a value out of range, an unreadable type, a null key, a second row of the
    same key); warnings concern the batch (a new value, a column gone null) and leave its rows in.
    """
    found: list[Anomaly] = []
    reasons = [""] * rows.num_rows
    bad = np.zeros(rows.num_rows, bool)

    def mark(mask: np.ndarray, anomaly: Anomaly) -> None:
        hit = np.flatnonzero(mask)
        if not len(hit):
            return
        found.append(replace(anomaly, rows=len(hit)))
        bad[hit] = True
        for i in hit:
            reasons[i] = reasons[i] or f"{anomaly.type}: {anomaly.message}"

    if not rows.num_rows:
        found.append(Anomaly(v.NO_EXAMPLES, "", "warning", "the batch is empty", "0", "> 0"))
    columns = {}
    for expected in schema.columns:
        if expected.name not in rows.column_names:
            must = expected.name in schema.keys or expected.name == schema.event_time
            found.append(
                Anomaly(
                    v.MISSING_COLUMN,
                    expected.name,
                    "error" if must else "warning",
                    f"column {expected.name!r} is missing",
                )
            )
            if must:
                bad[:] = True
                reasons = [r or f"{v.MISSING_COLUMN}: column {expected.name!r} is missing" for r in reasons]
            columns[expected.name] = pa.nulls(rows.num_rows, _ARROW[expected.type])
            continue
        column, unreadable = _brought_to(rows.column(expected.name), expected.type)
        columns[expected.name] = column
        mark(
            unreadable,
            Anomaly(
                v.UNEXPECTED_TYPE,
                expected.name,
                "error",
                f"{expected.name} is {expected.type} and this value is not",
                str(rows.schema.field(expected.name).type),
                expected.type,
            ),
        )
        _check_column(column, expected, mark, found)
    for name in rows.column_names:
        if schema.column(name) is None and name not in BOOKKEEPING:
            found.append(Anomaly(v.NEW_COLUMN, name, "warning", f"column {name!r} was not there before"))
            columns[name] = rows.column(name)
    brought = pa.table(columns)
    for name in dict.fromkeys((*schema.keys, schema.event_time)):
        if name:
            mark(
                brought.column(name).is_null().to_numpy() & ~bad,
                Anomaly(v.NULL_KEY, name, "error", f"{name} is null; it identifies the row"),
            )
    identity = [n for n in dict.fromkeys((*schema.keys, schema.event_time)) if n]
    if schema.keys and rows.num_rows:
        mark(
            _repeated(brought.select(identity)) & ~bad,
            Anomaly(v.DUPLICATE_KEY, ", ".join(identity), "error", f"a second row of the same {', '.join(identity)}"),
        )
    return Checked(brought, bad, reasons, tuple(found))


def _check_column(column: pa.ChunkedArray, expected: ColumnSchema, mark: object, found: list[Anomaly]) -> None:
    assert callable(mark)
    name, rows = expected.name, len(column)
    present = (rows - column.null_count) / rows if rows else 1.0
    if rows and not present and expected.presence > 0:
        kind = v.NOT_PRESENT if expected.presence >= MOSTLY_PRESENT else v.LOW_FRACTION
        found.append(Anomaly(kind, name, "warning", f"{name} is null in every row", "0", f"{expected.presence:.3f}"))
    elif rows and expected.presence - present > max(
        0.05, 4 * (expected.presence * (1 - expected.presence) / rows) ** 0.5
    ):
        found.append(
            Anomaly(
                v.LOW_FRACTION,
                name,
                "warning",
                f"{name} is null more often",
                f"{present:.3f}",
                f"{expected.presence:.3f}",
            )
        )
    if expected.type in ("INT", "FLOAT"):
        values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        with np.errstate(invalid="ignore"):
            mark(np.isinf(values), Anomaly(v.NON_FINITE, name, "error", f"{name} is infinite"))
            if expected.maximum is not None and rows:
                over = values > expected.maximum
                worst = f"{np.nanmax(values):g}" if over.any() else ""
                mark(
                    over,
                    Anomaly(
                        v.BIG,
                        name,
                        "error",
                        f"{name} = {worst} is above {expected.maximum:g}",
                        worst,
                        f"<= {expected.maximum:g}",
                    ),
                )
            if expected.minimum is not None and rows:
                under = values < expected.minimum
                worst = f"{np.nanmin(values):g}" if under.any() else ""
                mark(
                    under,
                    Anomaly(
                        v.SMALL,
                        name,
                        "error",
                        f"{name} = {worst} is below {expected.minimum:g}",
                        worst,
                        f">= {expected.minimum:g}",
                    ),
                )
    if expected.domain is not None and rows:
        unknown = sorted(set(pc.unique(column).drop_null().to_pylist()) - set(expected.domain))
        if unknown:
            shown = ", ".join(unknown[:5])
            count = int(pc.sum(pc.is_in(column, pa.array(unknown, pa.string()))).as_py() or 0)
            found.append(
                Anomaly(
                    v.UNEXPECTED_VALUES,
                    name,
                    "warning",
                    f"{name} has values not seen before: {shown}",
                    shown,
                    "",
                    count,
                )
            )


def _brought_to(column: pa.ChunkedArray, kind: str) -> tuple[pa.ChunkedArray, np.ndarray]:
    """The column in the type of its schema, and which rows could not be read so (they become null)."""
    target = _ARROW[kind]
    if column.type == target:
        return column, np.zeros(len(column), bool)
    try:
        return column.cast(target), np.zeros(len(column), bool)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        pass
    out, unreadable = [], np.zeros(len(column), bool)
    for i, value in enumerate(column):
        try:
            out.append(value.cast(target).as_py())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            out.append(None)
            unreadable[i] = True
    return pa.chunked_array([pa.array(out, target)]), unreadable


def _repeated(identity: pa.Table) -> np.ndarray:
    """Every row but the first of equal identity."""
    numbered = identity.append_column("_i", pa.array(range(identity.num_rows), pa.int64()))
    first = numbered.group_by(identity.column_names, use_threads=False).aggregate([("_i", "min")]).column("_i_min")
    repeated = np.ones(identity.num_rows, bool)
    repeated[first.to_numpy()] = False
    return repeated
