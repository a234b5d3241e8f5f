"""Constraints suggested from data, each tried on rows it was not learned from.

The rules are Deequ's thirteen. Bounds have room: a suggestion that says `==` what was seen fails on the next batch, so
numbers get an interval that a sample of the same size stays in, and what never happened in so many rows may happen in
`STRAYS` of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from hanok.compute.analyzers import Session, evaluate, opened
from hanok.compute.states import ColumnState, TableState
from hanok.compute.values import unwrapped_columns
from hanok.core.checks import Constraint, constraint, metric
from hanok.core.errors import Invalid, MetricFailed

DEFAULT = (
    "CompleteIfComplete",
    "RetainCompleteness",
    "RetainType",
    "CategoricalRange",
    "FractionalCategoricalRange",
    "NonNegativeNumbers",
)
STRING = ("HasMinLength", "HasMaxLength")
NUMERICAL = ("HasMin", "HasMax", "HasMean", "HasStandardDeviation")
COMMON = ("UniqueIfApproximatelyUnique",)
RULES = (*DEFAULT, *STRING, *NUMERICAL, *COMMON)
Z95 = 1.959963984540054
Z_NEXT = 3.6  # a share of the next sample: two samples differ by 1.41 deviations of one, and 2.5 of these are allowed
DEVIATIONS = 5.0
STRAYS = 5  # of no case in n rows, more than so many in the next n have a chance of 1 in 64 (rule of succession)
LONG_TAIL = 2.0  # skewness from which on a range is exceeded widely
KEY_ROWS = 100
CATEGORIES_MAX = 120
HELD_OUT = 5


@dataclass(frozen=True, slots=True)
class Suggestion:
    """`seen` is what the data showed, `held` whether the constraint is true of the rows kept apart (None: too few)."""

    rule: str
    column: str
    constraint: Constraint
    reason: str
    seen: float | None = None
    held: bool | None = None


def wilson_lower(share: float, n: int, z: float = Z95) -> float:
    """The lower end of Wilson's interval (1927) of a share, of 95 % without a `z`, cut to two decimals."""
    z2 = z * z
    centre = share + z2 / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return math.floor((centre - spread) / (1 + z2 / n) * 100) / 100


def _nearly_all(strays: float, n: int) -> float:
    """The share of n rows that is left without so many strays, rounded down."""
    digits = max(2, math.ceil(math.log10(n)))
    return math.floor(max(0.0, 1 - strays / n) * 10**digits) / 10**digits


def suggest(rows: pa.Table, rules: Sequence[str] = RULES, *, held_out: int = HELD_OUT) -> list[Suggestion]:
    """Learn from four fifths of the rows (every `held_out`-th is kept apart) and keep what is true of the rest.

    With fewer than 100 rows nothing is kept apart, and `held` is None.
    """
    if unknown := [r for r in rules if r not in RULES]:
        raise Invalid(f"there is no rule {unknown[0]!r}; there are {', '.join(RULES)}")
    rows = unwrapped_columns(rows)
    apart = np.arange(rows.num_rows) % held_out == held_out - 1
    tried = bool(apart.any()) and rows.num_rows >= 100
    learned = rows.filter(pa.array(~apart)) if tried else rows
    state = TableState.of(learned)
    with opened(learned) as session:
        made = [s for column in state.columns.values() for s in _of_column(column, session, rules)]
    made = _true_of(rows, made)
    if not tried:
        return made
    kept = rows.filter(pa.array(apart))
    values = evaluate(kept, [s.constraint.metric for s in made])
    outcome = []
    for s in made:
        value = values[s.constraint.metric]
        held = not isinstance(value, MetricFailed) and s.constraint.holds(value)
        if held:
            outcome.append(Suggestion(s.rule, s.column, s.constraint, s.reason, s.seen, held))
    return outcome


def _true_of(rows: pa.Table, made: list[Suggestion]) -> list[Suggestion]:
    """Those that can be computed of the rows and hold: what is written for a file passes on that file."""
    values = evaluate(rows, [s.constraint.metric for s in made]) if made else {}
    return [
        s
        for s in made
        if not isinstance(value := values[s.constraint.metric], MetricFailed) and s.constraint.holds(value)
    ]


def _of_column(state: ColumnState, session: Session, rules: Sequence[str]) -> list[Suggestion]:
    builders = {
        "CompleteIfComplete": _complete,
        "RetainCompleteness": _completeness,
        "RetainType": _type,
        "CategoricalRange": _categories,
        "FractionalCategoricalRange": _most_categories,
        "NonNegativeNumbers": _non_negative,
        "HasMinLength": _shortest,
        "HasMaxLength": _longest,
        "HasMin": _low,
        "HasMax": _high,
        "HasMean": _mean,
        "HasStandardDeviation": _deviation,
        "UniqueIfApproximatelyUnique": _unique,
    }
    if not state.rows:
        return []
    found = (builders[rule](rule, state, session) for rule in rules)
    return [s for s in found if s is not None]


def _complete(rule: str, c: ColumnState, session: Session) -> Suggestion | None:
    if c.nulls:
        return None
    if _is_key(c, session):
        return Suggestion(rule, c.name, constraint("isComplete", c.name), "it is a key and was never null", 1.0)
    made = constraint("hasCompleteness", c.name, f">= {_nearly_all(STRAYS, c.rows)}")
    return Suggestion(rule, c.name, made, f"it was never null in {c.rows} rows", 1.0)


def _completeness(rule: str, c: ColumnState, session: Session) -> Suggestion | None:
    share = c.present / c.rows
    if not 0.2 < share < 1:
        return None
    bound = max(0.0, wilson_lower(share, c.rows, Z_NEXT))
    made = constraint("hasCompleteness", c.name, f">= {bound}")
    return Suggestion(rule, c.name, made, f"{share:.1%} of {c.rows} rows had a value", share)


def _type(rule: str, c: ColumnState, session: Session) -> Suggestion | None:
    if c.type != "STRING" or not c.present:
        return None
    found = session.evaluate([m := metric("DataType", c.name)])[m]
    if isinstance(found, MetricFailed):
        return None
    total = sum(found.values()) - found["Unknown"]
    for kind in ("Integral", "Fractional", "Boolean"):
        share = found[kind] + (found["Integral"] if kind == "Fractional" else 0)
        if total and share == total:
            made = constraint("hasDataType", c.name, kind if kind != "Fractional" else "Numeric", "== 1")
            return Suggestion(rule, c.name, made, f"every text reads as {kind.lower()}", 1.0)
    return None


def _categories_of(c: ColumnState, once: float) -> list[tuple[Any, int]]:
    """The values of a column of text or whole numbers from the most frequent on, null among them; none where there are
    many, or more than the share `once` of them were seen but once."""
    if c.type not in ("STRING", "INT") or not c.frequent.exact or not 0 < len(c.frequent.counts) <= CATEGORIES_MAX:
        return []
    counted: list[tuple[Any, int]] = [(v, int(n)) for v, n in c.frequent.top(CATEGORIES_MAX)]
    counted += [(None, c.nulls)] if c.nulls else []
    singles = sum(n == 1 for _, n in counted)
    return sorted(counted, key=lambda e: -e[1]) if singles <= once * len(counted) else []


def _categories(rule: str, c: ColumnState, session: Session) -> Suggestion | None:
    values = [v for v, _ in _categories_of(c, 0.1) if v is not None]
    if not values:
        return None
    once = sum(n == 1 for _, n in c.frequent.top(CATEGORIES_MAX))  # as many are still to come (Good 1953)
    made = constraint("isContainedIn", c.name, tuple(sorted(values)), f">= {_nearly_all(STRAYS + 2 * once, c.rows)}")
    return Suggestion(rule, c.name, made, f"{len(values)} values came again and again", 1.0)


def _most_categories(rule: str, c: ColumnState, session: Session) -> Suggestion | None:
    chosen, covered, least = [], 0, 0
    for value, count in _categories_of(c, 0.4):
        if covered >= 0.9 * c.rows and least - count > 2 * math.sqrt(least + count):
            break  # the next one is rarer by more than chance
        chosen.append(value)
        covered, least = covered + count, count
    values = sorted(v for v in chosen if v is not None)
    if not values or covered >= c.rows:
        return None
    share = covered / c.rows
    made = constraint("isContainedIn", c.name, tuple(values), f">= {max(0.0, wilson_lower(share, c.rows, Z_NEXT))}")
    return Suggestion(rule, c.name, made, f"{len(values)} values cover {share:.1%} of the rows", share)


def _non_negative(rule: str, c: ColumnState, session: Session) -> Suggestion | None:
    if c.type not in ("INT", "FLOAT") or not c.finite or c.minimum < 0:
        return None
    return Suggestion(rule, c.name, constraint("isNonNegative", c.name), "it was never negative", float(c.minimum))


def _shortest(rule: str, c: ColumnState, session: Session) -> Suggestion | None:
    if c.shortest is None:
        return None
    low = max(0, math.floor(c.shortest - _length_slack(c)))
    return Suggestion(rule, c.name, constraint("hasMinLength", c.name, f">= {low}"), "texts were longer", c.shortest)


def _longest(rule: str, c: ColumnState, session: Session) -> Suggestion | None:
    if c.longest is None:
        return None
    high = math.ceil(c.longest + _length_slack(c))
    return Suggestion(rule, c.name, constraint("hasMaxLength", c.name, f"<= {high}"), "texts were shorter", c.longest)


def _length_slack(c: ColumnState) -> float:
    """Two deviations, or half of the span of lengths that was seen."""
    return max(2 * (c.lengths.std or 0.0), 0.5 * ((c.longest or 0) - (c.shortest or 0)))


def _room(c: ColumnState) -> float:
    """How far beyond what was seen values may go: the width of it, twice that where the tail is long."""
    width = float(c.maximum - c.minimum) or abs(float(c.maximum)) or 1.0
    return width * (2 if abs(c.moments.skewness or 0.0) > LONG_TAIL else 1)


def _low(rule: str, c: ColumnState, session: Session) -> Suggestion | None:
    """The width of what was seen is left below it."""
    if c.type not in ("INT", "FLOAT") or not c.finite:
        return None
    bound = float(c.minimum) - _room(c)
    if not math.isfinite(bound):
        return None
    made = constraint("hasMin", c.name, f">= {bound:.6g}")
    return Suggestion(rule, c.name, made, "values were larger", float(c.minimum))


def _high(rule: str, c: ColumnState, session: Session) -> Suggestion | None:
    if c.type not in ("INT", "FLOAT") or not c.finite:
        return None
    bound = float(c.maximum) + _room(c)
    if not math.isfinite(bound):
        return None
    made = constraint("hasMax", c.name, f"<= {bound:.6g}")
    return Suggestion(rule, c.name, made, "values were smaller", float(c.maximum))


def _mean(rule: str, c: ColumnState, session: Session) -> Suggestion | None:
    """The mean may differ by five standard errors of two samples of this size."""
    if c.type not in ("INT", "FLOAT") or not c.finite:
        return None
    mean = c.moments.mean
    slack = DEVIATIONS * (c.moments.std or 0.0) * math.sqrt(2 / c.finite) or 1e-9 * max(1.0, abs(mean))
    if not math.isfinite(slack) or (slack < 1e-9 * abs(mean) and c.moments.std):
        return None  # beyond what a float tells apart
    made = constraint("hasMean", c.name, f"between {mean - slack:.17g} and {mean + slack:.17g}")
    return Suggestion(rule, c.name, made, "five standard errors about the mean", mean)


def _deviation(rule: str, c: ColumnState, session: Session) -> Suggestion | None:
    """The standard deviation may differ by five of its standard errors, which follow from the kurtosis."""
    if c.type not in ("INT", "FLOAT") or c.finite < 2:
        return None
    std = math.sqrt(c.moments.variance or 0.0)
    kurtosis = max(0.2, (c.moments.kurtosis or 0.0) + 2)  # of two equal values it is 0, and the next shares differ
    slack = DEVIATIONS * std * math.sqrt(kurtosis / (4 * c.finite) * 2) or 1e-9
    if not math.isfinite(slack + std) or 0 < std < 1e-9 * abs(c.moments.mean):
        return None  # beyond what a float tells apart
    made = constraint("hasStandardDeviation", c.name, f"between {max(0.0, std - slack):.6g} and {std + slack:.6g}")
    return Suggestion(rule, c.name, made, "five standard errors about the deviation", std)


def _unique(rule: str, c: ColumnState, session: Session) -> Suggestion | None:
    """What the sketch takes for unique is counted exactly before it is suggested."""
    if not _is_key(c, session):
        return None
    return Suggestion(rule, c.name, constraint("isUnique", c.name), "no value came twice", 1.0)


def _is_key(c: ColumnState, session: Session) -> bool:
    """A text, or a whole number, that no two rows share. Of few rows that says something only of numbers in sequence:
    a measure has ties once there are more."""
    if c.type not in ("STRING", "INT") or c.nulls or not c.present or abs(1 - c.distinct_count / c.present) > 0.08:
        return False
    if c.present < KEY_ROWS and not (c.type == "INT" and c.maximum - c.minimum < 2 * c.present):
        return False
    m = metric("Uniqueness", c.name)
    value = session.evaluate([m])[m]
    return not isinstance(value, MetricFailed) and value == 1
