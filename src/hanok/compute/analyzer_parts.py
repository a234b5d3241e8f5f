"""What an analyzer is made of: expressions over `data` in one SELECT, and how their results become the value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import duckdb
import pyarrow as pa

from hanok.compute.duck import quoted
from hanok.core.checks import Metric
from hanok.core.errors import MetricFailed

Decode = Callable[[Sequence[Any]], Any]


@dataclass(frozen=True, slots=True)
class Part:
    """SQL expressions over `data` in one SELECT, and how their results become the value. `own`: expressions are scalar
    subqueries (they group), so the rows are kept for the statement rather than scanned again."""

    expressions: tuple[str, ...]
    decode: Decode
    own: bool = False


class Session(Protocol):
    """What an analyzer may ask of the data: SQL over `data`, its columns, and a centre and spread near each."""

    duck: duckdb.DuckDBPyConnection
    schema: pa.Schema
    centres: dict[str, tuple[float, float]]


Analyzer = Callable[[Session, Metric], Part | Callable[[], Any]]


def number_of(m: Metric) -> str:
    return f"{quoted(m.columns[0])}::DOUBLE"


def filtered(m: Metric) -> str:
    return f" FILTER (WHERE ({m.where}))" if m.where else ""


def narrowed(condition: str, where: str) -> str:
    return f"({condition}) AND ({where})" if where else f"({condition})"


def literal(value: Any) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def as_tuple(value: Any) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)


def first_value(row: Sequence[Any]) -> float:
    return float(row[0] or 0)


def needed(m: Metric) -> Decode:
    def decode(row: Sequence[Any]) -> Any:
        if row[0] is None:
            raise MetricFailed(f"{m.text}: there are no values to compute it from")
        return row[0] if isinstance(row[0], list) else float(row[0])

    return decode


def ratio(m: Metric) -> Decode:
    def decode(row: Sequence[Any]) -> float:
        if not row[1]:
            raise MetricFailed(f"{m.text}: there are no rows to compute it from")
        return float((row[0] or 0) / row[1])

    return decode


def probability(m: Metric, value: Any) -> float:
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise MetricFailed(f"{m.text}: a quantile is between 0 and 1, not {value!r}")
    return float(value)


def standardised(m: Metric, row: Sequence[Any]) -> tuple[float, float]:
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


def type_share(m: Metric, found: Mapping[str, int]) -> float:
    """The share of non-null values of a type; Numeric is integral or fractional, Null the share of nulls of all.
    Where all are null no value has any type."""
    wanted = str(m.option("type"))
    total = sum(found.values())
    if wanted == "Null":
        return found["Unknown"] / total if total else 0.0
    known = total - found["Unknown"]
    match wanted:
        case "Numeric":
            return (found["Integral"] + found["Fractional"]) / known if known else 0.0
        case "Integral" | "Fractional" | "Boolean" | "String":
            return found[wanted] / known if known else 0.0
    raise MetricFailed(f"{m.text}: a type is Numeric, Integral, Fractional, Boolean, String or Null, not {wanted!r}")


def matches(column: str, pattern: str) -> str:
    """True where the pattern is found anywhere in the text. A match of no character counts in the empty text alone:
    `^\\d*$` matches it, and `x*` does not match 'abc'."""
    text, wanted = quoted(column), literal(pattern)
    return (
        f"CASE WHEN {text} = '' THEN regexp_matches({text}, {wanted}) ELSE regexp_extract({text}, {wanted}) <> '' END"
    )
