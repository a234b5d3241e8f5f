"""States as TFDV's statistics messages."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from hanok.compute.states import ColumnState, TableState
from hanok.wire.tfdv import Message

BUCKETS = 10
RANKED = 1000
TOP = 20


def statistics_of(state: TableState, *, name: str = "All Examples") -> Message:
    """A DatasetFeatureStatisticsList of one data set: what TFDV's generator would compute of it."""
    made = Message("DatasetFeatureStatisticsList")
    dataset = made.add("datasets", name=name, num_examples=state.rows)
    for column in state.columns.values():
        feature = dataset.add("features", path=Message("Path", step=[column.name]))
        _describe(feature, column)
    return made


def _describe(feature: Message, c: ColumnState) -> None:
    kind = {"INT": "INT", "BOOL": "INT", "TIMESTAMP": "INT", "FLOAT": "FLOAT"}.get(c.type, "STRING")
    feature.set("type", kind)
    if kind == "STRING":
        stats = feature.sub("string_stats")
        stats.set("common_stats", _common(c))
        _text(stats, c)
    else:
        stats = feature.sub("num_stats")
        stats.set("common_stats", _common(c))
        _numbers(stats, c)


def _common(c: ColumnState) -> Message:
    low, high = c.per_row or (1, 1)
    present = c.present
    return Message(
        "CommonStatistics",
        num_non_missing=present,
        num_missing=c.nulls,
        min_num_values=low if present else 0,
        max_num_values=high if present else 0,
        avg_num_values=c.values / present if present else 0.0,
        tot_num_values=c.values,
    )


def _text(stats: Message, c: ColumnState) -> None:
    stats.set("unique", c.distinct_count)
    stats.set("avg_length", c.lengths.mean)
    if c.invalid_utf8:
        stats.set("invalid_utf8_count", c.invalid_utf8)
    ranked = c.frequent.top(RANKED)
    stats.set(
        "top_values", [Message("StringStatistics.FreqAndValue", value=v, frequency=float(n)) for v, n in ranked[:TOP]]
    )
    histogram = stats.sub("rank_histogram")
    for rank, (value, count) in enumerate(ranked):
        histogram.add("buckets", low_rank=rank, high_rank=rank, label=str(value), sample_count=float(count))


def _numbers(stats: Message, c: ColumnState) -> None:
    if not c.finite and not c.nan and not c.positive_infinities and not c.negative_infinities:
        return
    low = -math.inf if c.negative_infinities else float(c.minimum) if c.finite else math.inf
    high = math.inf if c.positive_infinities else float(c.maximum) if c.finite else -math.inf
    stats.set("min", low)
    stats.set("max", high)
    stats.set("mean", c.moments.mean)
    stats.set("std_dev", math.sqrt(c.moments.variance or 0.0))
    stats.set("num_zeros", c.zeros)
    if c.finite:
        stats.set("median", float(c.quantiles.quantiles([0.5])[0]))
    stats.set("histograms", [_standard(c), _quantiles(c)])


def _standard(c: ColumnState) -> Message:
    """Ten buckets of equal width; counts from the quantile sketch, so within its error."""
    made = Message("Histogram", type="STANDARD", num_nan=c.nan)
    if not c.finite:
        return made
    low, high = float(c.minimum), float(c.maximum)
    if low == high:
        made.add("buckets", low_value=low, high_value=high, sample_count=float(c.finite))
        return made
    edges = np.linspace(low, high, BUCKETS + 1)
    shares = c.quantiles.cdf(edges.tolist())
    shares[0], shares[-1] = 0.0, 1.0
    for left, right, share in zip(edges[:-1], edges[1:], np.diff(shares), strict=True):
        made.add("buckets", low_value=float(left), high_value=float(right), sample_count=float(share) * c.finite)
    return made


def _quantiles(c: ColumnState) -> Message:
    made = Message("Histogram", type="QUANTILES", num_nan=c.nan)
    if c.finite:
        edges = [float(c.minimum), *c.quantiles.quantiles([i / BUCKETS for i in range(1, BUCKETS)]), float(c.maximum)]
        for left, right in pairwise(edges):
            made.add("buckets", low_value=float(left), high_value=float(right), sample_count=c.finite / BUCKETS)
    return made
