"""Numbers over traces: counts and percentiles by dimension, and how far two filters go together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hanok.core.errors import Invalid
from hanok.core.traces import Aggregate, Group, TraceQuery, TraceStatistic
from hanok.core.tracking import EVERYTHING, All, Filter
from hanok.stores.ports import Metadata, Repositories

SMOOTHING = 0.5  # Jeffreys' prior, added to each cell of the table


@dataclass(frozen=True, slots=True)
class Point:
    """Values by the label of their aggregate."""

    bucket_ms: int | None
    dimensions: Mapping[str, str]
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Correlation:
    """`npmi` is normalised pointwise mutual information: 1 always together, 0 by chance, -1 never; NaN without data."""

    total: int
    first: int
    second: int
    both: int
    npmi: float
    smoothed: float


class TraceStatisticVerbs:
    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    def query(self, wanted: TraceStatistic, aggregates: Mapping[str, tuple[Aggregate, float | None]]) -> list[Point]:
        """`aggregates` by label, with the percentile (0 to 100) where one is asked for. Raises Invalid."""
        if wanted.bucket_ms is not None and (wanted.start_ms is None or wanted.end_ms is None):
            raise Invalid("start_time_ms and end_time_ms are needed with time_interval_seconds")

        def work(r: Repositories) -> list[Point]:
            points = []
            for group in r.trace_statistics.groups(wanted):
                ordered: list[float] = []
                if any(kind == "PERCENTILE" for kind, _ in aggregates.values()):
                    ordered = r.trace_statistics.values(wanted, group)
                values = {label: _aggregated(kind, at, group, ordered) for label, (kind, at) in aggregates.items()}
                points.append(Point(group.bucket_ms, group.dimensions, values))
            return points

        return self._metadata.read(work)

    def correlation(
        self, experiment_ids: Sequence[str], first: Filter, second: Filter, *, among: Filter = EVERYTHING
    ) -> Correlation:
        """How often traces that match the one filter match the other, among those that match `among`."""
        query = TraceQuery(experiment_ids, among)

        def work(r: Repositories) -> tuple[int, int, int, int]:
            filters = (among, All((among, first)), All((among, second)), All((among, first, second)))
            total, one, other, both = (r.traces.count(replace(query, filter=each)) for each in filters)
            return total, one, other, both

        total, one, other, both = self._metadata.read(work)
        return Correlation(
            total, one, other, both, npmi(both, one, other, total), npmi(both, one, other, total, SMOOTHING)
        )


def npmi(both: int, first: int, second: int, total: int, smoothing: float = 0.0) -> float:
    """ln(p(x,y) / (p(x) p(y))) / -ln p(x,y) (Bouma 2009), each cell of the 2x2 table raised by `smoothing`."""
    if not total or not first or not second:
        return math.nan
    if not both and not smoothing:
        return -1.0
    if both == total:
        return 1.0
    together, whole = both + smoothing, total + 4 * smoothing
    joint = together / whole
    apart = (first + 2 * smoothing) / whole * (second + 2 * smoothing) / whole
    return max(-1.0, min(1.0, math.log(joint / apart) / -math.log(joint)))


def percentile(ordered: Sequence[float], at: float) -> float:
    """By linear interpolation between closest ranks, as numpy's default; `at` from 0 to 100."""
    place = (len(ordered) - 1) * at / 100
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _aggregated(kind: Aggregate, at: float | None, group: Group, ordered: Sequence[float]) -> float:
    if kind == "PERCENTILE":
        return percentile(ordered, at or 0.0)
    told = {"COUNT": group.count, "SUM": group.total, "MIN": group.low, "MAX": group.high}
    return group.total / group.count if kind == "AVG" else float(told[kind])
