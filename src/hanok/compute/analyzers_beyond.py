"""Analyzers outside the one statement: sketches, a user's SQL and functions, comparisons with another data set."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import duckdb
import numpy as np

from hanok.compute.analyzer_parts import (
    Analyzer,
    Part,
    Session,
    as_tuple,
    filtered,
    literal,
    narrowed,
    needed,
    number_of,
    ratio,
)  # fmt: skip
from hanok.compute.duck import quoted
from hanok.compute.sketches import Kll
from hanok.core.checks import Metric
from hanok.core.errors import MetricFailed

BUCKETS = 100


def _kll_sketch(c: Session, m: Metric) -> Callable[[], Any]:
    def run() -> dict[str, Any]:
        sketch = Kll()
        low, high = math.inf, -math.inf
        query = f"SELECT {number_of(m)} AS x FROM data WHERE isfinite({number_of(m)}) AND {m.where or 'TRUE'}"
        for batch in c.duck.sql(query).to_arrow_reader(1 << 17):
            values = batch.column(0).to_numpy(zero_copy_only=False)
            if len(values):
                sketch.add(values)
                low, high = min(low, float(values.min())), max(high, float(values.max()))
        if not sketch.n:
            raise MetricFailed(f"{m.text}: there are no values")
        edges = np.linspace(low, high, int(m.option("buckets", BUCKETS)) + 1)
        ranks = np.round(sketch.cdf(edges.tolist()) * sketch.n)
        ranks[0], ranks[-1] = 0, sketch.n
        counts = np.diff(ranks).astype(int).tolist()
        return {"min": low, "max": high, "n": sketch.n, "edges": edges.tolist(), "counts": counts}

    return run


def _custom_sql(c: Session, m: Metric) -> Callable[[], Any]:
    def run() -> float:
        statements = c.duck.extract_statements(m.option("expression"))
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise MetricFailed(f"{m.text}: the expression is one SELECT over `data`")
        rows = c.duck.execute(m.option("expression")).fetchmany(2)
        if len(rows) != 1 or len(rows[0]) != 1:
            raise MetricFailed(f"{m.text}: the SELECT must give one row of one number")
        value: float = needed(m)(rows[0])
        return value

    return run


def _custom_aggregator(c: Session, m: Metric) -> Callable[[], Any]:
    function = m.option("function")
    if not callable(function):
        raise MetricFailed("CustomAggregator needs function=, which is given the rows as an Arrow table")
    return lambda: float(function(c.duck.sql(f"SELECT * FROM data WHERE {m.where or 'TRUE'}").to_arrow_table()))


def _row_count_match(c: Session, m: Metric) -> Part:
    return Part((f"count(*){filtered(m)}", f"(SELECT count(*) FROM {_reference(c, m)})"), ratio(m))


def _schema_match(c: Session, m: Metric) -> Callable[[], Any]:
    other = {c[0]: str(c[1]) for c in c.duck.execute(f"DESCRIBE {_reference(c, m)}").fetchall()}
    ours = {c[0]: str(c[1]) for c in c.duck.execute("DESCRIBE data").fetchall()}
    both = ours.keys() | other.keys()
    return lambda: sum(ours.get(c) == other.get(c) for c in both) / len(both) if both else 1.0


def _referential_integrity(c: Session, m: Metric) -> Part:
    """The share of rows whose values are in the reference; nulls are not."""
    theirs = as_tuple(m.option("keys")) or m.columns
    on = " AND ".join(f"r.{quoted(b)} = d.{quoted(a)}" for a, b in zip(m.columns, theirs, strict=True))
    found = f"EXISTS (SELECT 1 FROM {_reference(c, m)} r WHERE {on})"
    hit = f"(SELECT count(*) FROM rows_ d WHERE {narrowed(found, m.where)})"
    return Part((hit, f"count(*){filtered(m)}"), ratio(m), own=True)


def _dataset_match(c: Session, m: Metric) -> Part:
    """The share of rows of the larger side that are on the other side too, equal in every column compared; by
    `keys`, or as whole rows."""
    other = _reference(c, m)
    columns = m.columns or tuple(c.schema.names)
    listed = ", ".join(quoted(c) for c in columns)
    both = f"(SELECT count(*) FROM (SELECT {listed} FROM rows_ INTERSECT ALL SELECT {listed} FROM {other}))"
    larger = f"(SELECT greatest((SELECT count(*) FROM rows_), (SELECT count(*) FROM {other})))"
    return Part((both, larger), ratio(m), own=True)


def _data_synchronization(c: Session, m: Metric) -> Part:
    return _dataset_match(c, m)


def _aggregate_match(c: Session, m: Metric) -> Part:
    """One aggregate of the data over the same of the reference: 1 means equal."""
    mine, theirs = m.option("expression"), m.option("other")
    for text in (mine, theirs):
        if len(c.duck.extract_statements(f"SELECT ({text})")) != 1:
            raise MetricFailed(f"{m.text}: {text!r} is no aggregate")
    return Part((f"({mine})::DOUBLE", f"(SELECT ({theirs})::DOUBLE FROM {_reference(c, m)})"), ratio(m))


def _data_freshness(c: Session, m: Metric) -> Part:
    """Hours from the newest value of a time column to `now` (an instant with a zone; the caller's clock)."""
    now = m.option("now")
    if now is None:
        raise MetricFailed(f"{m.text}: freshness needs now=, the present instant")
    newest = f"max({quoted(m.columns[0])}::TIMESTAMPTZ){filtered(m)}"
    return Part((f"epoch({literal(str(now))}::TIMESTAMPTZ - {newest}) / 3600",), needed(m))


def _reference(c: Session, m: Metric) -> str:
    name = str(m.option("reference", ""))
    known = {r[0] for r in c.duck.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()}
    known |= {r[0] for r in c.duck.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    if name not in known:
        raise MetricFailed(f"{m.text}: there is no other data set {name!r}; give it as a reference")
    return quoted(name)


BEYOND: dict[str, Analyzer] = {
    "KLLSketch": _kll_sketch,
    "CustomSql": _custom_sql,
    "CustomAggregator": _custom_aggregator,
    "RowCountMatch": _row_count_match,
    "SchemaMatch": _schema_match,
    "ReferentialIntegrity": _referential_integrity,
    "DatasetMatch": _dataset_match,
    "DataSynchronization": _data_synchronization,
    "AggregateMatch": _aggregate_match,
    "DataFreshness": _data_freshness,
}
