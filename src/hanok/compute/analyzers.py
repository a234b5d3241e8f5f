"""Metrics of a relation: all of a suite's analyzers in one SQL statement over one scan.

Definitions are Deequ's: standard deviation, variance, skewness and kurtosis are of the population (kurtosis in excess),
entropy and mutual information in nats, uniqueness over rows that have at least one of the columns.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from hanok.compute.analyzer_parts import (
    Decode,
    Part,
    as_tuple,
    filtered,
    first_value,
    literal,
    matches,
    narrowed,
    needed,
    number_of,
    probability,
    ratio,
    standardised,
    type_share,
)
from hanok.compute.duck import Relation, closed, numbered, quoted
from hanok.compute.sketches import Kll
from hanok.compute.states import NUMERIC
from hanok.compute.values import column_type
from hanok.core.checks import Metric
from hanok.core.errors import HanokError, MetricFailed

HISTOGRAM_MAX = 1000
BUCKETS = 100
PEEK_ROWS = 4096
NUMBERED, POSITION = "data__numbered", "_row"  # the rows with their position, for lists of rows
TYPES = {
    "Fractional": r"^[-+]? ?\d+(?:\.\d+|(?:\.\d+)?[Ee][-+]?\d+)$",
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
        return Part((f"count(*){filtered(m)}",), first_value)

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
        """The share of rows that meet the predicate; there is none when it is null (unknown) for every row."""
        predicate = m.option("predicate")
        share = self._share(m, predicate)
        judged = f"count(*) FILTER (WHERE {narrowed(f'({predicate}) IS NOT NULL', m.where)})"

        def decode(row: Sequence[Any]) -> float:
            if not row[2]:
                raise MetricFailed(f"{m.text}: the predicate is null for every row")
            return float(share.decode(row[:2]))

        return Part((*share.expressions, judged), decode)

    def _pattern_match(self, m: Metric) -> Part:
        return self._share(m, matches(m.columns[0], m.option("pattern")))

    def _share(self, m: Metric, condition: str) -> Part:
        """The share of rows for which the condition is true; null is not true."""
        return Part((f"count(*) FILTER (WHERE {narrowed(condition, m.where)})", f"count(*){filtered(m)}"), ratio(m))

    def _mean(self, m: Metric) -> Part:
        return Part((f"avg({number_of(m)}){filtered(m)}",), needed(m))

    def _sum(self, m: Metric) -> Part:
        return Part((f"sum({number_of(m)}){filtered(m)}",), needed(m))

    def _minimum(self, m: Metric) -> Part:
        return Part((f"min({number_of(m)}){filtered(m)}",), needed(m))

    def _maximum(self, m: Metric) -> Part:
        return Part((f"max({number_of(m)}){filtered(m)}",), needed(m))

    def _range(self, m: Metric) -> Part:
        return Part((f"max({number_of(m)}){filtered(m)} - min({number_of(m)}){filtered(m)}",), needed(m))

    def _standard_deviation(self, m: Metric) -> Part:
        return Part((f"stddev_pop({number_of(m)}){filtered(m)}",), needed(m))

    def _variance(self, m: Metric) -> Part:
        return Part((f"var_pop({number_of(m)}){filtered(m)}",), needed(m))

    def _skewness(self, m: Metric) -> Part:
        return Part(self._powers(m), lambda row: standardised(m, row)[0])

    def _kurtosis(self, m: Metric) -> Part:
        return Part(self._powers(m), lambda row: standardised(m, row)[1])

    def _powers(self, m: Metric) -> tuple[str, ...]:
        centre, spread = self._centres[m.columns[0]]
        z = f"(({number_of(m)} - ({centre!r})) / {spread!r})"
        sums = (f"sum({'*'.join([z] * k)}){filtered(m)}" for k in (1, 2, 3, 4))
        return (f"count({number_of(m)}){filtered(m)}", *sums)

    def _zeros_count(self, m: Metric) -> Part:
        return Part((f"count(*) FILTER (WHERE {narrowed(f'{number_of(m)} = 0', m.where)})",), first_value)

    def _ratio_of_sums(self, m: Metric) -> Part:
        first, second = (m.option("numerator"), m.option("denominator")) if not m.columns else m.columns
        for name in (first, second):
            if name not in self.schema.names:
                raise MetricFailed(f"{m.text}: there is no column {name!r}")
        sums = tuple(f"sum({quoted(c)}::DOUBLE){filtered(m)}" for c in (first, second))

        def decode(row: Sequence[Any]) -> float:
            if row[1] == 0:
                raise MetricFailed(f"{m.text}: the sum of {second!r} is zero")
            return float(ratio(m)(row))

        return Part(sums, decode)

    def _correlation(self, m: Metric) -> Part:
        a, b = (f"{quoted(c)}::DOUBLE" for c in m.columns)
        return Part((f"corr({a}, {b}){filtered(m)}",), needed(m))

    def _exact_quantile(self, m: Metric) -> Part:
        share = probability(m, m.option("quantile"))
        return Part((f"quantile_cont({number_of(m)}, {share!r}){filtered(m)}",), needed(m))

    def _approx_quantile(self, m: Metric) -> Part:
        share = probability(m, m.option("quantile"))
        return Part((f"quantile_disc({number_of(m)}, {share!r}){filtered(m)}",), needed(m))

    def _approx_quantiles(self, m: Metric) -> Part:
        shares = [probability(m, q) for q in m.option("quantiles", ())]
        decode = needed(m)
        return Part(
            (f"quantile_disc({number_of(m)}, {shares}){filtered(m)}",),
            lambda row: {f"{q:g}": float(v) for q, v in zip(shares, decode(row), strict=True)},
        )

    def _interquartile_range(self, m: Metric) -> Part:
        decode = needed(m)
        quartiles = f"quantile_cont({number_of(m)}, [0.25, 0.75]){filtered(m)}"
        return Part((quartiles,), lambda row: float(np.diff(decode(row))[0]))

    def _approx_count_distinct(self, m: Metric) -> Part:
        return Part((f"approx_count_distinct({quoted(m.columns[0])}){filtered(m)}",), first_value)

    def _min_length(self, m: Metric) -> Part:
        return Part((f"min({self._length(m, -sys.float_info.max)}){filtered(m)}",), needed(m))

    def _max_length(self, m: Metric) -> Part:
        return Part((f"max({self._length(m, sys.float_info.max)}){filtered(m)}",), needed(m))

    def _length(self, m: Metric, failing: float) -> str:
        """Characters; nulls are left out, count as empty text, or fail (`null_behavior`)."""
        behaviour = m.option("null_behavior", "Ignore")
        size = f"length({quoted(m.columns[0])})::DOUBLE"
        match behaviour:
            case "Ignore":
                return size
            case "EmptyString":
                return f"coalesce({size}, 0)"
            case "Fail":
                return f"coalesce({size}, {failing!r}::DOUBLE)"
        raise MetricFailed(f"{m.text}: null_behavior is Ignore, EmptyString or Fail, not {behaviour!r}")

    # -- analyzers that group --------------------------------------------------------------------------------

    def _grouped(self, m: Metric, *aggregates: str, decode: Decode) -> Part:
        """Aggregates over the groups of the columns, where `n` counts rows. Groups whose columns are all null go."""
        names = m.columns or tuple(self.schema.names)
        columns = ", ".join(quoted(c) for c in names)
        joined = " OR ".join(f"{quoted(c)} IS NOT NULL" for c in names)
        source = f"(SELECT {columns}, count(*) AS n FROM rows_ WHERE {narrowed(joined, m.where)} GROUP BY {columns})"
        return Part(tuple(f"(SELECT {a} FROM {source})" for a in aggregates), decode, own=True)

    def _count_distinct(self, m: Metric) -> Part:
        return self._grouped(m, "count(*)", decode=first_value)

    def _distinctness(self, m: Metric) -> Part:
        return self._grouped(m, "count(*)", "sum(n)", decode=ratio(m))

    def _uniqueness(self, m: Metric) -> Part:
        return self._grouped(m, "count(*) FILTER (WHERE n = 1)", "sum(n)", decode=ratio(m))

    def _unique_value_ratio(self, m: Metric) -> Part:
        return self._grouped(m, "count(*) FILTER (WHERE n = 1)", "count(*)", decode=ratio(m))

    def _duplicate_row_count(self, m: Metric) -> Part:
        return self._grouped(m, "coalesce(sum(n) FILTER (WHERE n > 1), 0)", decode=first_value)

    def _entropy(self, m: Metric) -> Part:
        entropy = "ln(sum(n)) - sum(n * ln(n)) / sum(n)"
        return self._grouped(m, entropy, decode=needed(m))

    def _mutual_information(self, m: Metric) -> Part:
        """Over the rows that have both values; as in Deequ, shares are of the rows that have either, so that what a
        column says beside a null counts in its own share."""
        a, b = (quoted(c) for c in m.columns)
        kept = narrowed(f"{a} IS NOT NULL OR {b} IS NOT NULL", m.where)
        pairs = f"SELECT {a} AS a, {b} AS b, count(*)::DOUBLE AS n FROM rows_ WHERE {kept} GROUP BY ALL"
        shares = (
            f"SELECT a, b, n / sum(n) OVER () AS p, sum(n) OVER (PARTITION BY a) / sum(n) OVER () AS pa, "
            f"sum(n) OVER (PARTITION BY b) / sum(n) OVER () AS pb FROM ({pairs})"
        )
        value = f"(SELECT sum(p * ln(p / (pa * pb))) FROM ({shares}) WHERE a IS NOT NULL AND b IS NOT NULL)"
        return Part((value,), needed(m), own=True)

    def _histogram(self, m: Metric) -> Part:
        """The most frequent values with counts, null as NullValue; with of="bins" how many values there are."""
        if m.option("of") == "bins":
            columns = ", ".join(map(quoted, m.columns))
            distinct = f"SELECT DISTINCT {columns} FROM rows_ WHERE {m.where or 'TRUE'}"
            return Part((f"(SELECT count(*) FROM ({distinct}))",), first_value, own=True)
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
        """Counts in bins of one width between the ends (one bin where all values are equal), or between `edges`, the
        last bin with its upper end; what lies outside given edges is not counted. `nulls` are counted apart."""
        given = sorted(float(e) for e in as_tuple(m.option("edges")))
        bins = len(given) - 1 if given else int(m.option("bins", 10))
        if bins < 1 or bins > HISTOGRAM_MAX:
            raise MetricFailed(f"{m.text}: there are 1 to {HISTOGRAM_MAX} bins, not {bins}")
        x, where = number_of(m), m.where or "TRUE"
        ends = f"SELECT min({x}) AS low, max({x}) AS high FROM rows_ WHERE isfinite({x}) AND ({where})"
        place = f"least({bins - 1}, coalesce(floor(({x} - low) / nullif((high - low) / {bins}, 0)), 0))"
        inside = f"isfinite({x})"
        if given:
            place = f"least({bins - 1}, len(list_filter({given!r}, lambda e: e <= {x})) - 1)"
            inside = f"{x} BETWEEN {given[0]!r} AND {given[-1]!r}"
        counts = (
            f"(SELECT map_from_entries(list((b, n))) FROM (SELECT ({place})::INT AS b, count(*) AS n "
            f"FROM rows_, ({ends}) WHERE {inside} AND ({where}) GROUP BY b))"
        )
        nulls = f"count(*) FILTER (WHERE {narrowed(f'{quoted(m.columns[0])} IS NULL', m.where)})"

        def decode(row: Sequence[Any]) -> dict[str, Any]:
            low, high, counted, missing = row
            edges = given
            if not given and low is not None:
                edges = [low, high] if low == high else [low + (high - low) / bins * i for i in range(bins + 1)]
            by_bin = counted or {}
            found = [int(by_bin.get(i, 0)) for i in range(len(edges) - 1)]
            if edges and edges[0] == edges[-1]:  # all values are equal, and in the one bin wherever they were put
                found = [int(sum(by_bin.values()))]
            return {"edges": edges, "counts": found, "nulls": int(missing)}

        return Part((f"(SELECT low FROM ({ends}))", f"(SELECT high FROM ({ends}))", counts, nulls), decode, own=True)

    def _data_type(self, m: Metric) -> Part:
        name = m.columns[0]
        kind = column_type(self.schema.field(name).type)
        fixed = {"INT": "Integral", "FLOAT": "Fractional", "BOOL": "Boolean", "TIMESTAMP": "String"}.get(kind)
        x = quoted(name)
        conditions = {
            k: f"({fixed == k!s} AND {x} IS NOT NULL)" if fixed else f"regexp_matches({x}, {literal(p)})"
            for k, p in TYPES.items()
        }
        counts = [f"count(*) FILTER (WHERE {narrowed(c, m.where)})" for c in conditions.values()]
        counts += [f"count(*) FILTER (WHERE {narrowed(f'{x} IS NULL', m.where)})", f"count(*){filtered(m)}"]

        def decode(row: Sequence[Any]) -> Any:
            fractional, integral, boolean, unknown, total = row
            found = {
                "Unknown": unknown,
                "Fractional": fractional,
                "Integral": integral,
                "Boolean": boolean,
                "String": total - unknown - fractional - integral - boolean,
            }
            return type_share(m, found) if m.option("type") else found

        return Part(tuple(counts), decode)

    # -- analyzers outside the statement ---------------------------------------------------------------------

    def _kll_sketch(self, m: Metric) -> Callable[[], Any]:
        def run() -> dict[str, Any]:
            sketch = Kll()
            low, high = math.inf, -math.inf
            query = f"SELECT {number_of(m)} AS x FROM data WHERE isfinite({number_of(m)}) AND {m.where or 'TRUE'}"
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
            value: float = needed(m)(rows[0])
            return value

        return run

    def _custom_aggregator(self, m: Metric) -> Callable[[], Any]:
        function = m.option("function")
        if not callable(function):
            raise MetricFailed("CustomAggregator needs function=, which is given the rows as an Arrow table")
        return lambda: float(function(self.duck.sql(f"SELECT * FROM data WHERE {m.where or 'TRUE'}").to_arrow_table()))

    def _row_count_match(self, m: Metric) -> Part:
        return Part((f"count(*){filtered(m)}", f"(SELECT count(*) FROM {self._reference(m)})"), ratio(m))

    def _schema_match(self, m: Metric) -> Callable[[], Any]:
        other = {c[0]: str(c[1]) for c in self.duck.execute(f"DESCRIBE {self._reference(m)}").fetchall()}
        ours = {c[0]: str(c[1]) for c in self.duck.execute("DESCRIBE data").fetchall()}
        both = ours.keys() | other.keys()
        return lambda: sum(ours.get(c) == other.get(c) for c in both) / len(both) if both else 1.0

    def _referential_integrity(self, m: Metric) -> Part:
        """The share of rows whose values are in the reference; nulls are not."""
        theirs = as_tuple(m.option("keys")) or m.columns
        on = " AND ".join(f"r.{quoted(b)} = d.{quoted(a)}" for a, b in zip(m.columns, theirs, strict=True))
        found = f"EXISTS (SELECT 1 FROM {self._reference(m)} r WHERE {on})"
        hit = f"(SELECT count(*) FROM rows_ d WHERE {narrowed(found, m.where)})"
        return Part((hit, f"count(*){filtered(m)}"), ratio(m), own=True)

    def _dataset_match(self, m: Metric) -> Part:
        """The share of rows of the larger side that are on the other side too, equal in every column compared; by
        `keys`, or as whole rows."""
        other = self._reference(m)
        columns = m.columns or tuple(self.schema.names)
        listed = ", ".join(quoted(c) for c in columns)
        both = f"(SELECT count(*) FROM (SELECT {listed} FROM rows_ INTERSECT ALL SELECT {listed} FROM {other}))"
        larger = f"(SELECT greatest((SELECT count(*) FROM rows_), (SELECT count(*) FROM {other})))"
        return Part((both, larger), ratio(m), own=True)

    def _data_synchronization(self, m: Metric) -> Part:
        return self._dataset_match(m)

    def _aggregate_match(self, m: Metric) -> Part:
        """One aggregate of the data over the same of the reference: 1 means equal."""
        mine, theirs = m.option("expression"), m.option("other")
        for text in (mine, theirs):
            if len(self.duck.extract_statements(f"SELECT ({text})")) != 1:
                raise MetricFailed(f"{m.text}: {text!r} is no aggregate")
        return Part((f"({mine})::DOUBLE", f"(SELECT ({theirs})::DOUBLE FROM {self._reference(m)})"), ratio(m))

    def _data_freshness(self, m: Metric) -> Part:
        """Hours from the newest value of a time column to `now` (an instant with a zone; the caller's clock)."""
        now = m.option("now")
        if now is None:
            raise MetricFailed(f"{m.text}: freshness needs now=, the present instant")
        newest = f"max({quoted(m.columns[0])}::TIMESTAMPTZ){filtered(m)}"
        return Part((f"epoch({literal(str(now))}::TIMESTAMPTZ - {newest}) / 3600",), needed(m))

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
