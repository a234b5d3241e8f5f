"""Drift (against an earlier span) and skew (against serving) as TFDV measures them, and the sizes of data sets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from hanok.parts.validation.schemas.findings import Finding, exact
from hanok.parts.validation.schemas.views import DatasetView, FeatureView
from hanok.wire.tfdv import Message

SIDES = {"drift": "the previous span", "skew": "serving"}
Bucket = tuple[float, float, float]


def compare_feature(finding: Finding, view: FeatureView, other: DatasetView | None, side: str) -> dict[str, float]:
    """Measure a feature against the same one of another data set. Without that data set nothing is measured."""
    comparator = finding.feature[f"{side}_comparator"]
    bounds = {
        "L_INFTY": comparator["infinity_norm"],
        "NORMALIZED_ABSOLUTE_DIFFERENCE": comparator["normalized_abs_difference"],
        "JENSEN_SHANNON_DIVERGENCE": comparator["jensen_shannon_divergence"],
    }
    bounds = {name: bound for name, bound in bounds.items() if bound.has("threshold")}
    if other is None or not bounds:
        return {}
    control = other.features.get(view.path)
    if control is None:
        finding.add("COMPARATOR_CONTROL_DATA_MISSING", f"{SIDES[side]} has no such feature")
        for bound in bounds.values():
            bound.clear("threshold")
        return {}
    measured: dict[str, float] = {}
    for name, bound in bounds.items():
        value = _measure(name, bound, view, control)
        if value is None:
            continue
        measured[name] = value
        if value > bound["threshold"]:
            type_ = "COMPARATOR_L_INFTY_HIGH" if name == "L_INFTY" else f"COMPARATOR_{name}_HIGH"
            words = name.lower().replace("_", " ").replace("l infty", "L-infinity distance")
            finding.add(type_, f"its {words} from {SIDES[side]} is high", value, f"<= {bound['threshold']:g}")
            bound.set("threshold", value)
    return measured


def _measure(name: str, bound: Message, view: FeatureView, control: FeatureView) -> float | None:
    a, b = view.value_counts, control.value_counts
    if name == "L_INFTY":
        return l_infinity(a, b)
    if name == "NORMALIZED_ABSOLUTE_DIFFERENCE":
        return normalized_absolute_difference(a, b)
    if a and b:
        if min(*a.values(), *b.values()) <= 0:  # a listed value that never came is no distribution
            return None
        keys = sorted(a.keys() | b.keys())
        return _divergence([a.get(k, 0.0) for k in keys], [b.get(k, 0.0) for k in keys])
    kind = "QUANTILES" if bound["source"]["type"] == "QUANTILES" else "STANDARD"
    left, right = _histogram(view, kind), _histogram(control, kind)
    return None if left is None or right is None else _divergence(*aligned(left, right))


def l_infinity(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    """The largest difference of a value's share."""
    n, m = sum(a.values()) or 1.0, sum(b.values()) or 1.0
    return max((abs(a.get(k, 0.0) / n - b.get(k, 0.0) / m) for k in a.keys() | b.keys()), default=0.0)


def normalized_absolute_difference(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    """The largest difference of a value's count, over the count of both: sees a change of volume too."""
    total = sum(a.values()) + sum(b.values()) or 1.0
    return max((abs(a.get(k, 0.0) - b.get(k, 0.0)) / total for k in a.keys() | b.keys()), default=0.0)


def _histogram(view: FeatureView, kind: str) -> Message | None:
    return next((h for h in view.histograms if h["type"] == kind), None)


def aligned(a: Message, b: Message) -> tuple[list[float], list[float]]:
    """Counts of two histograms over the same cells.

    Intervals are cut at the edges of both, their values taken as spread evenly; point masses keep cells of their own;
    values beyond all bounds and NaN count as different from the other side's.
    """
    parts = [_split(h) for h in (a, b)]
    edges = sorted({e for intervals, _, _ in parts for low, high, _ in intervals for e in (low, high)})
    points = sorted({p for _, masses, _ in parts for p in masses})
    rows = []
    for intervals, masses, _ in parts:
        cells = [0.0] * max(0, len(edges) - 1)
        for low, high, count in intervals:
            for i, (left, right) in enumerate(pairwise(edges)):
                if low <= left and right <= high:
                    cells[i] += count * (right - left) / (high - low)
        rows.append(cells + [masses.get(p, 0.0) for p in points])
    unbounded = [beyond for _, _, beyond in parts]
    missing = [float(a["num_nan"]), float(b["num_nan"])]
    return [*rows[0], unbounded[0], 0.0, missing[0], 0.0], [*rows[1], 0.0, unbounded[1], 0.0, missing[1]]


def _split(histogram: Message) -> tuple[list[Bucket], dict[float, float], float]:
    intervals: list[Bucket] = []
    points: dict[float, float] = {}
    beyond = 0.0
    for bucket in histogram["buckets"]:
        low, high, count = bucket["low_value"], bucket["high_value"], bucket["sample_count"]
        if not (math.isfinite(low) and math.isfinite(high)):
            beyond += count
        elif low == high:
            points[low] = points.get(low, 0.0) + count
        else:
            intervals.append((low, high, count))
    return intervals, points, beyond


def _divergence(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Jensen-Shannon divergence, base 2 (Lin 1991); None when a side is empty."""
    n, m = sum(a), sum(b)
    if n <= 0 or m <= 0:
        return None
    total = 0.0
    for x, y in zip(a, b, strict=True):
        p, q = x / n, y / m
        middle = (p + q) / 2
        total += p * math.log2(p / middle) if p > 0 else 0.0
        total += q * math.log2(q / middle) if q > 0 else 0.0
    return min(1.0, max(0.0, total / 2))


def check_sizes(
    finding: Finding, dataset: DatasetView, previous: DatasetView | None, version: DatasetView | None
) -> None:
    """The number of examples against its bounds and against earlier data sets. `finding.feature` is the schema's
    dataset_constraints."""
    constraints = finding.feature
    n = dataset.examples
    sides = (("drift", "the previous span", previous), ("version", "the previous version", version))
    for side, words, other in sides:
        comparator = constraints[f"num_examples_{side}_comparator"]
        if other is None:
            continue
        m = other.examples
        low, high = comparator["min_fraction_threshold"], comparator["max_fraction_threshold"]
        if comparator.has("max_fraction_threshold") and (not m or exact(n) / exact(m) > exact(high)):
            finding.add(
                "COMPARATOR_HIGH_NUM_EXAMPLES",
                f"many more examples than in {words} ({n:g}, {m:g})",
                n,
                f"<= {high * m:g}",
            )
            comparator.set("max_fraction_threshold", n / m) if m else comparator.clear("max_fraction_threshold")
        if comparator.has("min_fraction_threshold") and m and exact(n) / exact(m) < exact(low):
            finding.add(
                "COMPARATOR_LOW_NUM_EXAMPLES",
                f"far fewer examples than in {words} ({n:g}, {m:g})",
                n,
                f">= {low * m:g}",
            )
            comparator.set("min_fraction_threshold", n / m)
    if constraints.has("min_examples_count") and n < constraints["min_examples_count"]:
        bound = constraints["min_examples_count"]
        finding.add("DATASET_LOW_NUM_EXAMPLES", "too few examples", n, f">= {bound}")
        constraints.set("min_examples_count", int(n))
    if constraints.has("max_examples_count") and n > constraints["max_examples_count"]:
        bound = constraints["max_examples_count"]
        finding.add("DATASET_HIGH_NUM_EXAMPLES", "too many examples", n, f"<= {bound}")
        constraints.set("max_examples_count", int(n))
