"""What a batch must have to be one of its table at all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa

from hanok.compute.schemas import Checked
from hanok.core.errors import BadData, Invalid
from hanok.core.validation import TableSchema


def arrivals(rows: pa.Table, arrived: pa.ChunkedArray | pa.Array | None, now: datetime) -> pa.Array:
    kind = pa.timestamp("us", "UTC")
    if arrived is None:
        return pa.array([now] * rows.num_rows, kind)
    if len(arrived) != rows.num_rows:
        raise BadData(f"{len(arrived)} instants of arrival were given for {rows.num_rows} rows")
    return arrived.cast(kind)


def require(table: str, rows: pa.Table, columns: Sequence[str]) -> None:
    if missing := [c for c in columns if c and c not in rows.column_names]:
        raise BadData(
            f"the batch for {table!r} lacks the column {missing[0]!r}; it has {', '.join(rows.column_names[:12])}"
        )


def sliceable(schema: TableSchema, columns: Sequence[str]) -> None:
    for name in columns:
        column = schema.column(name)
        if column is None:
            raise Invalid(
                f"{schema.table!r} has no column {name!r}; it has {', '.join(c.name for c in schema.columns)}"
            )
        if column.type in ("FLOAT", "TIMESTAMP"):
            raise Invalid(f"{name} is {column.type}: slices are the values of a text, INT or BOOL column")


def acceptable(table: str, checked: Checked, row_key: Sequence[str]) -> None:
    """A batch whose every row lacks its identity is not a batch of this table: refuse it whole, keep nothing."""
    gone = [a.column for a in checked.anomalies if a.type == "SCHEMA_MISSING_COLUMN" and a.severity == "error"]
    if gone := [*gone, *(k for k in row_key if k not in checked.came.column_names)]:
        raise BadData(
            f"the batch for {table!r} lacks the column {gone[0]!r}, without which its rows are not told apart "
            "or dated: nothing was ingested; add the column, or name another table"
        )
