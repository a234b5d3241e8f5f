"""Statistics of all columns of a table in one scan."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa

from hanok.compute.duck import Relation, connect, quoted
from hanok.core.tables import BOOKKEEPING
from hanok.core.validation import ColumnStatistics

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
TOP = 20


def column_type(kind: pa.DataType) -> str:
    """INT, FLOAT, BOOL, TIMESTAMP or STRING."""
    if pa.types.is_boolean(kind):
        return "BOOL"
    if pa.types.is_integer(kind):
        return "INT"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "FLOAT"
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return "TIMESTAMP"
    return "STRING"


def statistics(relation: Relation) -> tuple[ColumnStatistics, ...]:
    """One DuckDB aggregate over the relation; sample standard deviation, quantiles by t-digest."""
    schema = relation.schema
    fields = [(f.name, column_type(f.type)) for f in schema if f.name not in BOOKKEEPING]
    if not fields:
        return ()
    parts = ["count(*)"]
    for name, kind in fields:
        parts += _aggregates(quoted(name), kind)
    with connect({"relation": relation}) as duck:
        row = duck.execute(f"SELECT {', '.join(parts)} FROM relation").fetchone()
    assert row is not None
    values = list(row)
    rows = values.pop(0)
    return tuple(_read(name, kind, rows, values) for name, kind in fields)


def _aggregates(column: str, kind: str) -> list[str]:
    parts = [f"count({column})", f"approx_count_distinct({column})"]
    if kind in ("INT", "FLOAT", "BOOL"):
        x = f"{column}::DOUBLE"
        finite = f"FILTER (WHERE isfinite({x}))"
        parts += [
            f"min({x}) {finite}",
            f"max({x}) {finite}",
            f"avg({x}) {finite}",
            f"stddev_samp({x}) {finite}",
            f"count(*) FILTER (WHERE {x} = 0)",
            f"count(*) FILTER (WHERE {column} IS NOT NULL AND NOT isfinite({x}))",
            f"approx_quantile({x}, {list(QUANTILES)}) {finite}",
        ]
    if kind in ("STRING", "BOOL"):
        parts.append(f"approx_top_k({column}::VARCHAR, {TOP})")
    return parts


def _read(name: str, kind: str, rows: int, values: list[Any]) -> ColumnStatistics:
    present, distinct = values.pop(0), values.pop(0)
    numeric: dict[str, Any] = {}
    if kind in ("INT", "FLOAT", "BOOL"):
        low, high, mean, std, zeros, strange, quantiles = (values.pop(0) for _ in range(7))
        numeric = {
            "minimum": low,
            "maximum": high,
            "mean": mean,
            "std": std if std is None or math.isfinite(std) else None,
            "zeros": zeros,
            "non_finite": strange,
            "quantiles": tuple(quantiles or ()),
        }
    top = tuple((str(v), 0) for v in (values.pop(0) or ())) if kind in ("STRING", "BOOL") else ()
    return ColumnStatistics(name, kind, rows, rows - present, min(distinct, present), top=top, **numeric)
