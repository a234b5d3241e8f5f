"""Metrics of a relation: all of a suite's analyzers in one SQL statement over one scan.

Definitions are Deequ's: standard deviation, variance, skewness and kurtosis are of the population (kurtosis in excess),
entropy and mutual information in nats, uniqueness over rows that have at least one of the columns.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from hanok.compute.duck import Relation, closed, numbered, quoted
from hanok.compute.sketches import Kll
from hanok.compute.states import NUMERIC, column_type
from hanok.core.checks import Metric
from hanok.core.errors import HanokError, MetricFailed

HISTOGRAM_MAX = 1000
BUCKETS = 100
PEEK_ROWS = 4096
NUMBERED, POSITION = "data__numbered", "_row"  # the rows with their position, for lists of rows
TYPES = {
    "Fractional": r"^[-+]? ?(?:\d+\.\d*|\.\d+)$",
    "Integral": r"^[-+]? ?\d+$",
    "Boolean": r"^(?:true|false)$",
}
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


Decode = Callable[[Sequence[Any]], Any]


@dataclass(frozen=True, slots=True)
class Part:
    """SQL expressions over `data` in one SELECT, and how their results become the value. `own`: expressions are scalar
    subqueries (they group), so the rows are kept for the statement rather than scanned again."""

    expressions: tuple[str, ...]
    decode: Decode
    own: bool = False


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
        self._centres: dict[str, tuple[float, float]] = {}

    def evaluate(self, metrics: Sequence[Metric]) -> dict[Metric, Any]:
        wanted = list(dict.fromkeys(metrics))
        results: dict[Metric, Any] = {}
        parts: dict[Metric, Part] = {}
        self._peek([m.columns[0] for m in wanted if m.name in ("Skewness", "Kurtosis") and m.columns])
        for metric in wanted:
            try:
                self._checked(metric)
                made = self._part(metric)
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
        query = f"{source}SELECT {', '.join(expressions)} FROM {table}"
        row = self.duck.execute(query).fetchone()
        assert row is not None
        return row

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
            self._centres[column] = (centre or 0.0, spread or 1.0)

    # -- analyzers -------------------------------------------------------------------------------------------

    def _part(self, metric: Metric) -> Part | Callable[[], Any]:
        builder = getattr(self, "_" + _snake(metric.name))
        return builder(metric)

    def _size(self, m: Metric) -> Part:
        return Part((f"count(*){_filter(m)}",), _first)

    def _column_count(self, m: Metric) -> Callable[[], Any]:
        return lambda: float(len(self.schema.names))

    def _column_exists(self, m: Metric) -> Callable[[], Any]:
        return lambda: float(m.columns[0] in self.schema.names)

    def _column_names_match_pattern(self, m: Metric) -> Callable[[], Any]:
        try:
            pattern = re.compile(m.option("pattern"))
        except re.error as error:
            raise MetricFailed(f"{m.text}: the pattern is wrong: {error}") from None
        names = self.schema.names
        return lambda: sum(bool(pattern.search(n)) for n in names) / len(names) if names else 1.0

    def _completeness(self, m: Metric) -> Part:
        return self._share(m, f"{quoted(m.columns[0])} IS NOT NULL")

    def _compliance(self, m: Metric) -> Part:
        return self._share(m, m.option("predicate"))

    def _pattern_match(self, m: Metric) -> Part:
        return self._share(m, f"regexp_matches({quoted(m.columns[0])}, {_text(m.option('pattern'))})")

    def _share(self, m: Metric, condition: str) -> Part:
        """The share of rows for which the condition is true; null is not true."""
        return Part((f"count(*) FILTER (WHERE {_and(condition, m.where)})", f"count(*){_filter(m)}"), _ratio(m))

    def _mean(self, m: Metric) -> Part:
        return Part((f"avg({_number(m)}){_filter(m)}",), _known(m))

    def _sum(self, m: Metric) -> Part:
        return Part((f"sum({_number(m)}){_filter(m)}",), _known(m))

    def _minimum(self, m: Metric) -> Part:
        return Part((f"min({_number(m)}){_filter(m)}",), _known(m))

    def _maximum(self, m: Metric) -> Part:
        return Part((f"max({_number(m)}){_filter(m)}",), _known(m))

    def _range(self, m: Metric) -> Part:
        return Part((f"max({_number(m)}){_filter(m)} - min({_number(m)}){_filter(m)}",), _known(m))

    def _standard_deviation(self, m: Metric) -> Part:
        return Part((f"stddev_pop({_number(m)}){_filter(m)}",), _known(m))

    def _variance(self, m: Metric) -> Part:
        return Part((f"var_pop({_number(m)}){_filter(m)}",), _known(m))

    def _skewness(self, m: Metric) -> Part:
        return Part(self._powers(m), lambda row: _standardised(m, row)[0])

    def _kurtosis(self, m: Metric) -> Part:
        return Part(self._powers(m), lambda row: _standardised(m, row)[1])

    def _powers(self, m: Metric) -> tuple[str, ...]:
        centre, spread = self._centres[m.columns[0]]
        z = f"(({_number(m)} - ({centre!r})) / {spread!r})"
        return (f"count({_number(m)}){_filter(m)}", *(f"sum({'*'.join([z] * k)}){_filter(m)}" for k in (1, 2, 3, 4)))

    def _zeros_count(self, m: Metric) -> Part:
        return Part((f"count(*) FILTER (WHERE {_and(f'{_number(m)} = 0', m.where)})",), _first)

    def _ratio_of_sums(self, m: Metric) -> Part:
        first, second = (m.option("numerator"), m.option("denominator")) if not m.columns else m.columns
        for name in (first, second):
            if name not in self.schema.names:
                raise MetricFailed(f"{m.text}: there is no column {name!r}")
        sums = tuple(f"sum({quoted(c)}::DOUBLE){_filter(m)}" for c in (first, second))
        return Part(sums, _ratio(m))

    def _correlation(self, m: Metric) -> Part:
        a, b = (f"{quoted(c)}::DOUBLE" for c in m.columns)
        return Part((f"corr({a}, {b}){_filter(m)}",), _known(m))

    def _exact_quantile(self, m: Metric) -> Part:
        share = _probability(m, m.option("quantile"))
        return Part((f"quantile_cont({_number(m)}, {share!r}){_filter(m)}",), _known(m))

    def _approx_quantile(self, m: Metric) -> Part:
        share = _probability(m, m.option("quantile"))
        return Part((f"quantile_disc({_number(m)}, {share!r}){_filter(m)}",), _known(m))

    def _approx_quantiles(self, m: Metric) -> Part:
        shares = [_probability(m, q) for q in m.option("quantiles", ())]
        decode = _known(m)
        return Part(
            (f"quantile_disc({_number(m)}, {shares}){_filter(m)}",),
            lambda row: {f"{q:g}": float(v) for q, v in zip(shares, decode(row), strict=True)},
        )

    def _interquartile_range(self, m: Metric) -> Part:
        decode = _known(m)
        quartiles = f"quantile_cont({_number(m)}, [0.25, 0.75]){_filter(m)}"
        return Part((quartiles,), lambda row: float(np.diff(decode(row))[0]))

    def _approx_count_distinct(self, m: Metric) -> Part:
        return Part((f"approx_count_distinct({quoted(m.columns[0])}){_filter(m)}",), _first)

    def _min_length(self, m: Metric) -> Part:
        return Part((f"min({self._length(m, '-inf')}){_filter(m)}",), _known(m))

    def _max_length(self, m: Metric) -> Part:
        return Part((f"max({self._length(m, 'inf')}){_filter(m)}",), _known(m))

    def _length(self, m: Metric, failing: str) -> str:
        """Characters; nulls are left out, count as empty text, or fail (`null_behavior`)."""
        behaviour = m.option("null_behavior", "Ignore")
        size = f"length({quoted(m.columns[0])})::DOUBLE"
        match behaviour:
            case "Ignore":
                return size
            case "EmptyString":
                return f"coalesce({size}, 0)"
            case "Fail":
                return f"coalesce({size}, '{failing}'::DOUBLE)"
        raise MetricFailed(f"{m.text}: null_behavior is Ignore, EmptyString or Fail, not {behaviour!r}")

    # -- analyzers that group --------------------------------------------------------------------------------

    def _grouped(self, m: Metric, *aggregates: str, decode: Decode, complete: bool = False) -> Part:
        """Aggregates over the groups of the columns, where `n` counts rows. Groups whose columns are all null go;
        with `complete` those with any null."""
        names = m.columns or tuple(self.schema.names)
        columns = ", ".join(quoted(c) for c in names)
        joined = (" AND " if complete else " OR ").join(f"{quoted(c)} IS NOT NULL" for c in names)
        source = f"(SELECT {columns}, count(*) AS n FROM rows_ WHERE {_and(joined, m.where)} GROUP BY {columns})"
        return Part(tuple(f"(SELECT {a} FROM {source})" for a in aggregates), decode, own=True)

    def _count_distinct(self, m: Metric) -> Part:
        return self._grouped(m, "count(*)", decode=_first)

    def _distinctness(self, m: Metric) -> Part:
        return self._grouped(m, "count(*)", "sum(n)", decode=_ratio(m))

    def _uniqueness(self, m: Metric) -> Part:
        return self._grouped(m, "count(*) FILTER (WHERE n = 1)", "sum(n)", decode=_ratio(m))

    def _unique_value_ratio(self, m: Metric) -> Part:
        return self._grouped(m, "count(*) FILTER (WHERE n = 1)", "count(*)", decode=_ratio(m))

    def _duplicate_row_count(self, m: Metric) -> Part:
        return self._grouped(m, "coalesce(sum(n) FILTER (WHERE n > 1), 0)", decode=_first)

    def _entropy(self, m: Metric) -> Part:
        entropy = "ln(sum(n)) - sum(n * ln(n)) / sum(n)"
        return self._grouped(m, entropy, decode=_known(m))

    def _mutual_information(self, m: Metric) -> Part:
        a, b = m.columns
        both = self._grouped(m, "ln(sum(n)) - sum(n * ln(n)) / sum(n)", decode=_known(m), complete=True)
        kept = _and(f"{quoted(a)} IS NOT NULL AND {quoted(b)} IS NOT NULL", m.where)
        sides = [
            f"(SELECT ln(sum(n)) - sum(n * ln(n)) / sum(n) FROM "
            f"(SELECT count(*) AS n FROM rows_ WHERE {kept} GROUP BY {quoted(c)}))"
            for c in (a, b)
        ]
        known = _known(m)
        return Part((*both.expressions, *sides), lambda row: max(0.0, row[1] + row[2] - known(row[:1])), own=True)

    def _histogram(self, m: Metric) -> Part:
        x = f"coalesce({quoted(m.columns[0])}::VARCHAR, 'NullValue')"
        limit = int(m.option("max_bins", HISTOGRAM_MAX))
        inner = f"SELECT {x} AS v, count(*) AS n FROM rows_ WHERE {m.where or 'TRUE'} GROUP BY v"
        counted = (
            f"(SELECT list({{'v': v, 'n': n}} ORDER BY n DESC, v) FROM ({inner} ORDER BY n DESC, v LIMIT {limit}))"
        )

        def decode(row: Sequence[Any]) -> dict[str, dict[str, float]]:
            total = row[1] or 0
            return {b["v"]: {"absolute": b["n"], "ratio": b["n"] / total} for b in row[0] or ()}

        return Part((counted, f"(SELECT count(*) FROM rows_ WHERE {m.where or 'TRUE'})"), decode, own=True)

    def _histogram_binned(self, m: Metric) -> Part:
        bins = int(m.option("bins", 10))
        if bins < 1:
            raise MetricFailed(f"{m.text}: there is at least one bin, not {bins}")
        x = f"{_number(m)}"
        ends = f"SELECT min({x}) AS low, max({x}) AS high FROM rows_ WHERE isfinite({x}) AND {m.where or 'TRUE'}"
        place = f"least({bins - 1}, floor(({x} - low) / nullif(high - low, 0) * {bins}))"
        counts = (
            f"(SELECT map_from_entries(list((b, n))) FROM (SELECT coalesce({place}, 0)::INT AS b, count(*) AS n "
            f"FROM rows_, ({ends}) WHERE isfinite({x}) AND {m.where or 'TRUE'} GROUP BY b))"
        )

        def decode(row: Sequence[Any]) -> dict[str, Any]:
            low, high, counted = row
            if low is None:
                raise MetricFailed(f"{m.text}: there are no values")
            edges = [low + (high - low) * i / bins for i in range(bins + 1)]
            return {"edges": edges, "counts": [int((counted or {}).get(i, 0)) for i in range(bins)]}

        return Part((f"(SELECT low FROM ({ends}))", f"(SELECT high FROM ({ends}))", counts), decode, own=True)

    def _data_type(self, m: Metric) -> Part:
        name = m.columns[0]
        kind = column_type(self.schema.field(name).type)
        fixed = {"INT": "Integral", "FLOAT": "Fractional", "BOOL": "Boolean", "TIMESTAMP": "String"}.get(kind)
        x = quoted(name)
        conditions = {
            k: f"({fixed == k!s} AND {x} IS NOT NULL)" if fixed else f"regexp_matches({x}, {_text(p)})"
            for k, p in TYPES.items()
        }
        counts = [f"count(*) FILTER (WHERE {_and(c, m.where)})" for c in conditions.values()]
        counts += [f"count(*) FILTER (WHERE {_and(f'{x} IS NULL', m.where)})", f"count(*){_filter(m)}"]

        def decode(row: Sequence[Any]) -> Any:
            fractional, integral, boolean, unknown, total = row
            found = {
                "Unknown": unknown,
                "Fractional": fractional,
                "Integral": integral,
                "Boolean": boolean,
                "String": total - unknown - fractional - integral - boolean,
            }
            return _type_share(m, found) if m.option("type") else found

        return Part(tuple(counts), decode)

    # -- analyzers outside the statement ---------------------------------------------------------------------

    def _kll_sketch(self, m: Metric) -> Callable[[], Any]:
        def run() -> dict[str, Any]:
            sketch = Kll()
            low, high = math.inf, -math.inf
            query = f"SELECT {_number(m)} AS x FROM data WHERE isfinite({_number(m)}) AND {m.where or 'TRUE'}"
            for batch in self.duck.sql(query).to_arrow_reader(1 << 17):
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

    def _custom_sql(self, m: Metric) -> Callable[[], Any]:
        def run() -> float:
            statements = self.duck.extract_statements(m.option("expression"))
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise MetricFailed(f"{m.text}: the expression is one SELECT over `data`")
            rows = self.duck.execute(m.option("expression")).fetchmany(2)
            if len(rows) != 1 or len(rows[0]) != 1:
                raise MetricFailed(f"{m.text}: the SELECT must give one row of one number")
            value: float = _known(m)(rows[0])
            return value

        return run

    def _custom_aggregator(self, m: Metric) -> Callable[[], Any]:
        function = m.option("function")
        if not callable(function):
            raise MetricFailed("CustomAggregator needs function=, which is given the rows as an Arrow table")
        return lambda: float(function(self.duck.sql(f"SELECT * FROM data WHERE {m.where or 'TRUE'}").to_arrow_table()))

    def _row_count_match(self, m: Metric) -> Part:
        return Part((f"count(*){_filter(m)}", f"(SELECT count(*) FROM {self._reference(m)})"), _ratio(m))

    def _schema_match(self, m: Metric) -> Callable[[], Any]:
        other = {c[0]: str(c[1]) for c in self.duck.execute(f"DESCRIBE {self._reference(m)}").fetchall()}
        ours = {c[0]: str(c[1]) for c in self.duck.execute("DESCRIBE data").fetchall()}
        both = ours.keys() | other.keys()
        return lambda: sum(ours.get(c) == other.get(c) for c in both) / len(both) if both else 1.0

    def _referential_integrity(self, m: Metric) -> Part:
        """The share of rows whose values are in the reference; nulls are not."""
        theirs = _listed(m.option("keys")) or m.columns
        on = " AND ".join(f"r.{quoted(b)} = d.{quoted(a)}" for a, b in zip(m.columns, theirs, strict=True))
        found = f"EXISTS (SELECT 1 FROM {self._reference(m)} r WHERE {on})"
        hit = f"(SELECT count(*) FROM rows_ d WHERE {_and(found, m.where)})"
        return Part((hit, f"count(*){_filter(m)}"), _ratio(m), own=True)

    def _dataset_match(self, m: Metric) -> Part:
        """The share of rows of the larger side that are on the other side too, equal in every column compared; by
        `keys`, or as whole rows."""
        other = self._reference(m)
        columns = m.columns or tuple(self.schema.names)
        listed = ", ".join(quoted(c) for c in columns)
        both = f"(SELECT count(*) FROM (SELECT {listed} FROM rows_ INTERSECT ALL SELECT {listed} FROM {other}))"
        larger = f"(SELECT greatest((SELECT count(*) FROM rows_), (SELECT count(*) FROM {other})))"
        return Part((both, larger), _ratio(m), own=True)

    def _data_synchronization(self, m: Metric) -> Part:
        return self._dataset_match(m)

    def _aggregate_match(self, m: Metric) -> Part:
        """One aggregate of the data over the same of the reference: 1 means equal."""
        mine, theirs = m.option("expression"), m.option("other")
        for text in (mine, theirs):
            if len(self.duck.extract_statements(f"SELECT ({text})")) != 1:
                raise MetricFailed(f"{m.text}: {text!r} is no aggregate")
        return Part((f"({mine})::DOUBLE", f"(SELECT ({theirs})::DOUBLE FROM {self._reference(m)})"), _ratio(m))

    def _data_freshness(self, m: Metric) -> Part:
        """Hours from the newest value of a time column to `now` (an instant with a zone; the caller's clock)."""
        now = m.option("now")
        if now is None:
            raise MetricFailed(f"{m.text}: freshness needs now=, the present instant")
        newest = f"max({quoted(m.columns[0])}::TIMESTAMPTZ){_filter(m)}"
        return Part((f"epoch({_text(str(now))}::TIMESTAMPTZ - {newest}) / 3600",), _known(m))

    def _reference(self, m: Metric) -> str:
        name = str(m.option("reference", ""))
        known = {r[0] for r in self.duck.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()}
        known |= {r[0] for r in self.duck.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        if name not in known:
            raise MetricFailed(f"{m.text}: there is no other data set {name!r}; give it as a reference")
        return quoted(name)


def _failed(metric: Metric, error: Exception) -> MetricFailed:
    return MetricFailed(f"{metric.text}: {str(error).splitlines()[0]}")


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().replace("kllsketch", "kll_sketch")


def _number(m: Metric) -> str:
    return f"{quoted(m.columns[0])}::DOUBLE"


def _filter(m: Metric) -> str:
    return f" FILTER (WHERE ({m.where}))" if m.where else ""


def _and(condition: str, where: str) -> str:
    return f"({condition}) AND ({where})" if where else f"({condition})"


def _text(value: Any) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def _listed(value: Any) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)


def _first(row: Sequence[Any]) -> float:
    return float(row[0] or 0)


def _known(m: Metric) -> Decode:
    def decode(row: Sequence[Any]) -> Any:
        if row[0] is None:
            raise MetricFailed(f"{m.text}: there are no values to compute it from")
        return row[0] if isinstance(row[0], list) else float(row[0])

    return decode


def _ratio(m: Metric) -> Decode:
    def decode(row: Sequence[Any]) -> float:
        if not row[1]:
            raise MetricFailed(f"{m.text}: there are no rows to compute it from")
        return float((row[0] or 0) / row[1])

    return decode


def _probability(m: Metric, value: Any) -> float:
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise MetricFailed(f"{m.text}: a quantile is between 0 and 1, not {value!r}")
    return float(value)


def _standardised(m: Metric, row: Sequence[Any]) -> tuple[float, float]:
    """Population skewness and excess kurtosis from sums of powers about a centre; 0 for a constant."""
    n = row[0]
    if not n:
        raise MetricFailed(f"{m.text}: there are no values to compute it from")
    s1, s2, s3, s4 = (x / n for x in row[1:])
    m2 = s2 - s1**2
    if m2 <= 1e-14 * max(1.0, s2):
        return 0.0, 0.0
    m3 = s3 - 3 * s1 * s2 + 2 * s1**3
    m4 = s4 - 4 * s1 * s3 + 6 * s1**2 * s2 - 3 * s1**4
    return m3 / m2**1.5, m4 / m2**2 - 3


def _type_share(m: Metric, found: Mapping[str, int]) -> float:
    """The share of non-null values of a type; Numeric is integral or fractional, Null the share of nulls of all."""
    wanted = str(m.option("type"))
    total = sum(found.values())
    if wanted == "Null":
        return found["Unknown"] / total if total else 0.0
    known = total - found["Unknown"]
    if not known:
        raise MetricFailed(f"{m.text}: there are no values to tell the type of")
    match wanted:
        case "Numeric":
            return (found["Integral"] + found["Fractional"]) / known
        case "Integral" | "Fractional" | "Boolean" | "String":
            return found[wanted] / known
    raise MetricFailed(f"{m.text}: a type is Numeric, Integral, Fractional, Boolean, String or Null, not {wanted!r}")
