"""Analyzers that group rows: distinct values, entropy, histograms; and the types of texts.

Names that a statement gives begin with `__hanok`, which no column of the data does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hanok.compute.analyzer_parts import (
    Analyzer,
    Decode,
    Part,
    Session,
    as_tuple,
    filtered,
    first_value,
    literal,
    narrowed,
    needed,
    number_of,
    ratio,
    type_share,
)  # fmt: skip
from hanok.compute.duck import quoted
from hanok.compute.values import column_type
from hanok.core.checks import Metric
from hanok.core.errors import MetricFailed

HISTOGRAM_MAX = 1000
N, V, LOW, HIGH = "__hanok_n", "__hanok_v", "__hanok_low", "__hanok_high"
TYPES = {
    "Fractional": r"^[-+]? ?\d+(?:\.\d+|(?:\.\d+)?[Ee][-+]?\d+)$",
    "Integral": r"^[-+]? ?\d+$",
    "Boolean": r"^(?:true|false)$",
}


def _grouped(c: Session, m: Metric, *aggregates: str, decode: Decode) -> Part:
    """Aggregates over the groups of the columns, where N counts rows. Groups whose columns are all null go."""
    names = m.columns or tuple(c.schema.names)
    columns = ", ".join(quoted(c) for c in names)
    joined = " OR ".join(f"{quoted(c)} IS NOT NULL" for c in names)
    source = f"(SELECT {columns}, count(*) AS {N} FROM rows_ WHERE {narrowed(joined, m.where)} GROUP BY {columns})"
    return Part(tuple(f"(SELECT {a} FROM {source})" for a in aggregates), decode, own=True)


def _count_distinct(c: Session, m: Metric) -> Part:
    return _grouped(c, m, "count(*)", decode=first_value)


def _distinctness(c: Session, m: Metric) -> Part:
    return _grouped(c, m, "count(*)", f"sum({N})", decode=ratio(m))


def _uniqueness(c: Session, m: Metric) -> Part:
    return _grouped(c, m, f"count(*) FILTER (WHERE {N} = 1)", f"sum({N})", decode=ratio(m))


def _unique_value_ratio(c: Session, m: Metric) -> Part:
    return _grouped(c, m, f"count(*) FILTER (WHERE {N} = 1)", "count(*)", decode=ratio(m))


def _duplicate_row_count(c: Session, m: Metric) -> Part:
    return _grouped(c, m, f"coalesce(sum({N}) FILTER (WHERE {N} > 1), 0)", decode=first_value)


def _entropy(c: Session, m: Metric) -> Part:
    entropy = f"ln(sum({N})) - sum({N} * ln({N})) / sum({N})"
    return _grouped(c, m, entropy, decode=needed(m))


def _mutual_information(c: Session, m: Metric) -> Part:
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


def _histogram(c: Session, m: Metric) -> Part:
    """The most frequent values with counts, null as NullValue; with of="bins" how many values there are."""
    if m.option("of") == "bins":
        columns = ", ".join(map(quoted, m.columns))
        distinct = f"SELECT DISTINCT {columns} FROM rows_ WHERE {m.where or 'TRUE'}"
        return Part((f"(SELECT count(*) FROM ({distinct}))",), first_value, own=True)
    x = f"coalesce({quoted(m.columns[0])}::VARCHAR, 'NullValue')"
    limit = int(m.option("max_bins", HISTOGRAM_MAX))
    inner = f"SELECT {x} AS {V}, count(*) AS {N} FROM rows_ WHERE {m.where or 'TRUE'} GROUP BY 1"
    counted = (
        f"(SELECT list({{'v': {V}, 'n': {N}}} ORDER BY {N} DESC, {V}) "
        f"FROM ({inner} ORDER BY {N} DESC, {V} LIMIT {limit}))"
    )

    def decode(row: Sequence[Any]) -> dict[str, dict[str, float]]:
        total = row[1] or 0
        return {b["v"]: {"absolute": b["n"], "ratio": b["n"] / total} for b in row[0] or ()}

    return Part((counted, f"(SELECT count(*) FROM rows_ WHERE {m.where or 'TRUE'})"), decode, own=True)


def _histogram_binned(c: Session, m: Metric) -> Part:
    """Counts in bins of one width between the ends (one bin where all values are equal), or between `edges`, the
    last bin with its upper end; what lies outside given edges is not counted. `nulls` are counted apart."""
    given = sorted(float(e) for e in as_tuple(m.option("edges")))
    bins = len(given) - 1 if given else int(m.option("bins", 10))
    if bins < 1 or bins > HISTOGRAM_MAX:
        raise MetricFailed(f"{m.text}: there are 1 to {HISTOGRAM_MAX} bins, not {bins}")
    x, where = number_of(m), m.where or "TRUE"
    ends = f"SELECT min({x}) AS {LOW}, max({x}) AS {HIGH} FROM rows_ WHERE isfinite({x}) AND ({where})"
    place = f"least({bins - 1}, coalesce(floor(({x} - {LOW}) / nullif(({HIGH} - {LOW}) / {bins}, 0)), 0))"
    inside = f"isfinite({x})"
    if given:
        place = f"least({bins - 1}, len(list_filter({given!r}, lambda {V}: {V} <= {x})) - 1)"
        inside = f"{x} BETWEEN {given[0]!r} AND {given[-1]!r}"
    counts = (
        f"(SELECT map_from_entries(list(({V}, {N}))) FROM (SELECT ({place})::INT AS {V}, count(*) AS {N} "
        f"FROM rows_, ({ends}) WHERE {inside} AND ({where}) GROUP BY 1))"
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

    return Part((f"(SELECT {LOW} FROM ({ends}))", f"(SELECT {HIGH} FROM ({ends}))", counts, nulls), decode, own=True)


def _data_type(c: Session, m: Metric) -> Part:
    name = m.columns[0]
    kind = column_type(c.schema.field(name).type)
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


GROUPING: dict[str, Analyzer] = {
    "CountDistinct": _count_distinct,
    "Distinctness": _distinctness,
    "Uniqueness": _uniqueness,
    "UniqueValueRatio": _unique_value_ratio,
    "DuplicateRowCount": _duplicate_row_count,
    "Entropy": _entropy,
    "MutualInformation": _mutual_information,
    "Histogram": _histogram,
    "HistogramBinned": _histogram_binned,
    "DataType": _data_type,
}
