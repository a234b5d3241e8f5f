"""Analyzers that are aggregates of single rows: counts, shares, moments, quantiles, lengths."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hanok.compute.analyzer_parts import (
    Analyzer,
    Part,
    Session,
    filtered,
    first_value,
    matches,
    narrowed,
    needed,
    number_of,
    probability,
    ratio,
    standardised,
)  # fmt: skip
from hanok.compute.duck import quoted
from hanok.core.checks import Metric
from hanok.core.errors import MetricFailed


def _size(c: Session, m: Metric) -> Part:
    return Part((f"count(*){filtered(m)}",), first_value)


def _column_count(c: Session, m: Metric) -> Callable[[], Any]:
    return lambda: float(len(c.schema.names))


def _column_exists(c: Session, m: Metric) -> Callable[[], Any]:
    return lambda: float(m.columns[0] in c.schema.names)


def _column_names_match_pattern(c: Session, m: Metric) -> Callable[[], Any]:
    try:
        pattern = re.compile(m.option("pattern"))
    except re.error as error:
        raise MetricFailed(f"{m.text}: the pattern is wrong: {error}") from None
    names = c.schema.names
    return lambda: sum(bool(pattern.search(n)) for n in names) / len(names) if names else 1.0


def _completeness(c: Session, m: Metric) -> Part:
    return _share(c, m, f"{quoted(m.columns[0])} IS NOT NULL")


def _compliance(c: Session, m: Metric) -> Part:
    """The share of rows that meet the predicate; there is none when it is null (unknown) for every row."""
    predicate = m.option("predicate")
    share = _share(c, m, predicate)
    judged = f"count(*) FILTER (WHERE {narrowed(f'({predicate}) IS NOT NULL', m.where)})"

    def decode(row: Sequence[Any]) -> float:
        if not row[2]:
            raise MetricFailed(f"{m.text}: the predicate is null for every row")
        return float(share.decode(row[:2]))

    return Part((*share.expressions, judged), decode)


def _pattern_match(c: Session, m: Metric) -> Part:
    return _share(c, m, matches(m.columns[0], m.option("pattern")))


def _share(c: Session, m: Metric, condition: str) -> Part:
    """The share of rows for which the condition is true; null is not true."""
    return Part((f"count(*) FILTER (WHERE {narrowed(condition, m.where)})", f"count(*){filtered(m)}"), ratio(m))


def _mean(c: Session, m: Metric) -> Part:
    return Part((f"avg({number_of(m)}){filtered(m)}",), needed(m))


def _sum(c: Session, m: Metric) -> Part:
    return Part((f"sum({number_of(m)}){filtered(m)}",), needed(m))


def _minimum(c: Session, m: Metric) -> Part:
    return Part((f"min({number_of(m)}){filtered(m)}",), needed(m))


def _maximum(c: Session, m: Metric) -> Part:
    return Part((f"max({number_of(m)}){filtered(m)}",), needed(m))


def _range(c: Session, m: Metric) -> Part:
    return Part((f"max({number_of(m)}){filtered(m)} - min({number_of(m)}){filtered(m)}",), needed(m))


def _standard_deviation(c: Session, m: Metric) -> Part:
    return Part((f"stddev_pop({number_of(m)}){filtered(m)}",), needed(m))


def _variance(c: Session, m: Metric) -> Part:
    return Part((f"var_pop({number_of(m)}){filtered(m)}",), needed(m))


def _skewness(c: Session, m: Metric) -> Part:
    return Part(_powers(c, m), lambda row: standardised(m, row)[0])


def _kurtosis(c: Session, m: Metric) -> Part:
    return Part(_powers(c, m), lambda row: standardised(m, row)[1])


def _powers(c: Session, m: Metric) -> tuple[str, ...]:
    centre, spread = c.centres[m.columns[0]]
    z = f"(({number_of(m)} - ({centre!r})) / {spread!r})"
    sums = (f"sum({'*'.join([z] * k)}){filtered(m)}" for k in (1, 2, 3, 4))
    return (f"count({number_of(m)}){filtered(m)}", *sums)


def _zeros_count(c: Session, m: Metric) -> Part:
    return Part((f"count(*) FILTER (WHERE {narrowed(f'{number_of(m)} = 0', m.where)})",), first_value)


def _ratio_of_sums(c: Session, m: Metric) -> Part:
    first, second = (m.option("numerator"), m.option("denominator")) if not m.columns else m.columns
    for name in (first, second):
        if name not in c.schema.names:
            raise MetricFailed(f"{m.text}: there is no column {name!r}")
    sums = tuple(f"sum({quoted(c)}::DOUBLE){filtered(m)}" for c in (first, second))

    def decode(row: Sequence[Any]) -> float:
        if row[1] == 0:
            raise MetricFailed(f"{m.text}: the sum of {second!r} is zero")
        return float(ratio(m)(row))

    return Part(sums, decode)


def _correlation(c: Session, m: Metric) -> Part:
    a, b = (f"{quoted(c)}::DOUBLE" for c in m.columns)
    return Part((f"corr({a}, {b}){filtered(m)}",), needed(m))


def _exact_quantile(c: Session, m: Metric) -> Part:
    share = probability(m, m.option("quantile"))
    return Part((f"quantile_cont({number_of(m)}, {share!r}){filtered(m)}",), needed(m))


def _approx_quantile(c: Session, m: Metric) -> Part:
    share = probability(m, m.option("quantile"))
    return Part((f"quantile_disc({number_of(m)}, {share!r}){filtered(m)}",), needed(m))


def _approx_quantiles(c: Session, m: Metric) -> Part:
    shares = [probability(m, q) for q in m.option("quantiles", ())]
    decode = needed(m)
    return Part(
        (f"quantile_disc({number_of(m)}, {shares}){filtered(m)}",),
        lambda row: {f"{q:g}": float(v) for q, v in zip(shares, decode(row), strict=True)},
    )


def _interquartile_range(c: Session, m: Metric) -> Part:
    decode = needed(m)
    quartiles = f"quantile_cont({number_of(m)}, [0.25, 0.75]){filtered(m)}"
    return Part((quartiles,), lambda row: float(np.diff(decode(row))[0]))


def _approx_count_distinct(c: Session, m: Metric) -> Part:
    return Part((f"approx_count_distinct({quoted(m.columns[0])}){filtered(m)}",), first_value)


def _min_length(c: Session, m: Metric) -> Part:
    return Part((f"min({_length(c, m, -sys.float_info.max)}){filtered(m)}",), needed(m))


def _max_length(c: Session, m: Metric) -> Part:
    return Part((f"max({_length(c, m, sys.float_info.max)}){filtered(m)}",), needed(m))


def _length(c: Session, m: Metric, failing: float) -> str:
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


PLAIN: dict[str, Analyzer] = {
    "Size": _size,
    "ColumnCount": _column_count,
    "ColumnExists": _column_exists,
    "ColumnNamesMatchPattern": _column_names_match_pattern,
    "Completeness": _completeness,
    "Compliance": _compliance,
    "PatternMatch": _pattern_match,
    "Mean": _mean,
    "Sum": _sum,
    "Minimum": _minimum,
    "Maximum": _maximum,
    "Range": _range,
    "StandardDeviation": _standard_deviation,
    "Variance": _variance,
    "Skewness": _skewness,
    "Kurtosis": _kurtosis,
    "ZerosCount": _zeros_count,
    "RatioOfSums": _ratio_of_sums,
    "Correlation": _correlation,
    "ExactQuantile": _exact_quantile,
    "ApproxQuantile": _approx_quantile,
    "ApproxQuantiles": _approx_quantiles,
    "InterquartileRange": _interquartile_range,
    "ApproxCountDistinct": _approx_count_distinct,
    "MinLength": _min_length,
    "MaxLength": _max_length,
}
