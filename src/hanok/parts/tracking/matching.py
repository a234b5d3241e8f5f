"""Search over things that are few enough to hold in memory: experiments, models, versions."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TypeVar

from hanok.core.errors import Invalid
from hanok.core.tracking import All, AnyOf, Comparison, Filter, Not, Order, Page

T = TypeVar("T")
Value = str | float | None
Lookup = Callable[[T, Comparison | Order], Value]


def select(
    items: Sequence[T], wanted: Filter, order: Sequence[Order], lookup: Lookup[T], *, limit: int, offset: int
) -> Page[T]:
    """The page at `offset` of the items that match; the given order breaks ties."""
    found = [item for item in items if matches(wanted, item, lookup)]
    for term in reversed(order):
        found = _ordered(found, term, lookup)
    more = offset + limit < len(found)
    return Page(tuple(found[offset : offset + limit]), offset + limit if more else None)


def matches(wanted: Filter, item: T, lookup: Lookup[T]) -> bool:
    if isinstance(wanted, All):
        return all(matches(part, item, lookup) for part in wanted.parts)
    if isinstance(wanted, AnyOf):
        return any(matches(part, item, lookup) for part in wanted.parts)
    if isinstance(wanted, Not):
        return not matches(wanted.part, item, lookup)
    return _holds(wanted, lookup(item, wanted))


def unknown(kind: str, wanted: Comparison | Order) -> Invalid:
    """The error for a search key that this kind of thing does not have."""
    return Invalid(f"{kind} cannot be searched by {wanted.subject} {wanted.key!r}")


def _ordered(items: list[T], term: Order, lookup: Lookup[T]) -> list[T]:
    """Stable; what has no value, or NaN, comes last in both directions."""
    keyed = [(lookup(item, term), item) for item in items]
    present = [(value, item) for value, item in keyed if not _absent(value)]
    absent = [item for value, item in keyed if _absent(value)]
    present.sort(key=lambda pair: pair[0], reverse=not term.ascending)  # type: ignore[arg-type, return-value]
    return [item for _, item in present] + absent


def _absent(value: Value) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _holds(wanted: Comparison, value: Value) -> bool:
    operator, other = wanted.operator, wanted.value
    if operator == "IS NULL":
        return value is None
    if value is None:
        return False
    if operator == "IS NOT NULL":
        return True
    if isinstance(other, tuple):
        return (value in other) == (operator == "IN")
    if operator in ("LIKE", "ILIKE"):
        return _pattern(str(other), operator == "ILIKE").fullmatch(str(value)) is not None
    if isinstance(value, str) != isinstance(other, str) or other is None:
        value, other = str(value), str(other)
    return _compare(operator, value, other)


def _compare(operator: str, left: str | float, right: str | float) -> bool:
    if operator == "=":
        return left == right
    if operator == "!=":
        return left != right
    if operator == "<":
        return left < right  # type: ignore[operator]
    if operator == "<=":
        return left <= right  # type: ignore[operator]
    return left > right if operator == ">" else left >= right  # type: ignore[operator]


@lru_cache(maxsize=256)
def _pattern(like: str, ignore_case: bool) -> re.Pattern[str]:
    parts = (".*" if c == "%" else "." if c == "_" else re.escape(c) for c in like)
    return re.compile("".join(parts), re.DOTALL | (re.IGNORECASE if ignore_case else 0))
