"""Metrics of a relation: all of a suite's analyzers in one SQL statement over one scan.

Definitions are Deequ's: standard deviation, variance, skewness and kurtosis are of the population (kurtosis in excess),
entropy and mutual information in nats, uniqueness over rows that have at least one of the columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa

from hanok.compute.analyzer_parts import Analyzer, Part
from hanok.compute.analyzers_beyond import BEYOND
from hanok.compute.analyzers_grouping import GROUPING
from hanok.compute.analyzers_plain import PLAIN
from hanok.compute.duck import Relation, closed, numbered, quoted
from hanok.compute.states import NUMERIC
from hanok.compute.values import column_type
from hanok.core.checks import Metric
from hanok.core.errors import HanokError, MetricFailed

PEEK_ROWS = 4096
NUMBERED, POSITION = "data__numbered", "_row"  # the rows with their position, for lists of rows
ANALYZERS: dict[str, Analyzer] = {**PLAIN, **GROUPING, **BEYOND}
NEEDS_NUMBERS = frozenset(
    [
        "Mean",
        "Sum",
        "Minimum",
        "Maximum",
        "Range",
        "StandardDeviation",
        "Variance",
        "Skewness",
        "Kurtosis",
        "ZerosCount",
        "ExactQuantile",
        "ApproxQuantile",
        "ApproxQuantiles",
        "InterquartileRange",
        "Correlation",
        "RatioOfSums",
        "KLLSketch",
        "HistogramBinned",
    ]
)
NEEDS_TEXT = frozenset(("MinLength", "MaxLength", "PatternMatch"))


def evaluate(
    relation: Relation, metrics: Sequence[Metric], references: Mapping[str, Relation] | None = None
) -> dict[Metric, Any]:
    """The value of each metric, or the MetricFailed that says why there is none."""
    with opened(relation, references) as session:
        return session.evaluate(metrics)


@contextmanager
def opened(relation: Relation, references: Mapping[str, Relation] | None = None) -> Iterator[Session]:
    """A session that can compute metrics and list rows. SQL in it reads `data` and the references, nothing else."""
    with closed({"data": relation, **(references or {})}) as duck:
        duck.execute(f"CREATE TEMP VIEW {NUMBERED} AS {numbered(relation)}")
        yield Session(duck, relation)


class Session:
    def __init__(self, duck: duckdb.DuckDBPyConnection, relation: Relation) -> None:
        self.duck, self.schema = duck, relation.schema
        self.centres: dict[str, tuple[float, float]] = {}

    def evaluate(self, metrics: Sequence[Metric]) -> dict[Metric, Any]:
        wanted = list(dict.fromkeys(metrics))
        results: dict[Metric, Any] = {}
        parts: dict[Metric, Part] = {}
        self._peek([m.columns[0] for m in wanted if m.name in ("Skewness", "Kurtosis") and m.columns])
        for metric in wanted:
            try:
                self._checked(metric)
                made = ANALYZERS[metric.name](self, metric)
                if isinstance(made, Part):
                    parts[metric] = made
                else:
                    results[metric] = made()
            except HanokError as error:
                results[metric] = error if isinstance(error, MetricFailed) else MetricFailed(error.message)
            except (duckdb.Error, pa.ArrowInvalid) as error:
                results[metric] = _failed(metric, error)
        results |= self._run(parts)
        return {m: results[m] for m in wanted}

    def _run(self, parts: Mapping[Metric, Part]) -> dict[Metric, Any]:
        """All parts in one statement; if that fails, each by itself, so that one bad metric fails alone."""
        if not parts:
            return {}
        expressions = [e for p in parts.values() for e in p.expressions]
        kept = any(p.own for p in parts.values())
        try:
            values = list(self._select(expressions, kept))
        except duckdb.Error as error:
            if len(parts) == 1:
                return {m: _failed(m, error) for m in parts}
            return {m: v for metric, part in parts.items() for m, v in self._run({metric: part}).items()}
        results: dict[Metric, Any] = {}
        for metric, part in parts.items():
            own, values = values[: len(part.expressions)], values[len(part.expressions) :]
            try:
                results[metric] = part.decode(own)
            except MetricFailed as error:
                results[metric] = error
        return results

    def _select(self, expressions: Sequence[str], kept: bool) -> Sequence[Any]:
        source = "WITH rows_ AS MATERIALIZED (SELECT * FROM data) " if kept else ""
        table = "rows_" if kept else "data"
        query = f"{source}SELECT {', '.join(expressions)} FROM {table} LIMIT 1"
        (row,) = self.duck.execute(query).fetchall()  # all: the connection is free for the next statement
        found: Sequence[Any] = row
        return found

    def _checked(self, metric: Metric) -> None:
        for name in metric.columns:
            if metric.name in ("ColumnExists", "AggregateMatch"):
                continue
            if name not in self.schema.names:
                raise MetricFailed(
                    f"{metric.text}: there is no column {name!r}; there are {', '.join(self.schema.names[:12])}"
                )
            kind = column_type(self.schema.field(name).type)
            if metric.name in NEEDS_NUMBERS and kind not in NUMERIC:
                raise MetricFailed(f"{metric.text}: column {name!r} is {self.schema.field(name).type}, not a number")
            if metric.name in NEEDS_TEXT and kind != "STRING":
                raise MetricFailed(f"{metric.text}: column {name!r} is {self.schema.field(name).type}, not text")
        for condition in (metric.where, metric.option("predicate")):
            if condition:
                self._bound(metric, condition)

    def _bound(self, metric: Metric, condition: str) -> None:
        """A condition must be one expression about a row: it is parsed alone first, so it cannot end the statement."""
        try:
            kinds = self.duck.extract_statements(f"SELECT ({condition})")
            if len(kinds) != 1:
                raise MetricFailed(f"{metric.text}: {condition!r} is more than one expression")
            self.duck.execute(f"SELECT 1 FROM data WHERE ({condition}) LIMIT 0")
        except duckdb.Error as error:
            raise _failed(metric, error) from None

    def _peek(self, columns: Sequence[str]) -> None:
        """A centre and a spread near those of each column, from its first rows, so that sums of powers stay exact."""
        known = [c for c in dict.fromkeys(columns) if c in self.schema.names]
        numeric = [c for c in known if column_type(self.schema.field(c).type) in NUMERIC]
        for column in numeric:
            x = f"{quoted(column)}::DOUBLE"
            row = self.duck.execute(
                f"SELECT avg(x), stddev_pop(x) FROM (SELECT {x} AS x FROM data LIMIT {PEEK_ROWS}) WHERE isfinite(x)"
            ).fetchone()
            centre, spread = row if row else (None, None)
            self.centres[column] = (centre or 0.0, spread or 1.0)


def _failed(metric: Metric, error: Exception) -> MetricFailed:
    return MetricFailed(f"{metric.text}: {str(error).splitlines()[0]}")
