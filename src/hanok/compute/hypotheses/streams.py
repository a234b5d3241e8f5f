"""Columns in bins, how far two sets of rows lie apart, and since when."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hanok.compute.hypotheses.case import Numbers, Values, numeric
from hanok.compute.tails import chi_square_tail

HEAVY = 0.08
TENTHS = 8
COMMON = 9
P_MOVED = 1e-5
BEYOND_USUAL = 1.6
EFFECT_MIN = 0.01
P_STEP = 1e-5
BEYOND_STEP = 1.3
SLOW, SLOW_PERIODS = 0.95, 0.7
FAR = 6.0  # times the middle half
EARLIER, EARLIER_MIN = 10, 5  # periods before these tell what is usual; fewer do not
Counts = NDArray[np.float64]


@dataclass(frozen=True)
class Coding:
    """Bins of a column, taken from good rows: heavy values alone, the rest by quantiles, one bin on each side beyond
    all of them; of text the common values and one for the rest. Null is the last bin."""

    numeric: bool
    points: tuple[float, ...]
    edges: tuple[float, ...]
    names: tuple[str, ...]
    _kept: dict[int, tuple[Values, NDArray[np.int64]]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def bins(self) -> int:
        return (len(self.points) + len(self.edges) + 1 if self.numeric else len(self.names) + 1) + 1

    def codes(self, values: Values) -> NDArray[np.int64]:
        """The bin of each value; remembered by the very array, which is never written to."""
        kept = self._kept.get(id(values))
        if kept is None or kept[0] is not values:
            kept = self._kept[id(values)] = values, self._placed(values)
        return kept[1]

    def _placed(self, values: Values) -> NDArray[np.int64]:
        if not self.numeric:
            place = {n: i for i, n in enumerate(self.names)}
            last = len(self.names) + 1
            return np.array([last if v is None else place.get(v, last - 1) for v in values], np.int64)
        floats = np.asarray(values, float)
        made = len(self.points) + np.searchsorted(np.array(self.edges), floats, side="right")
        if self.points:
            known = np.array(self.points)
            near = np.clip(np.searchsorted(known, floats), 0, len(known) - 1)
            made = np.where(known[near] == floats, near, made)
        return np.where(np.isnan(floats), self.bins - 1, made).astype(np.int64)

    def counts(self, values: Values, weights: Numbers | None = None) -> Counts:
        return np.bincount(self.codes(values), weights, minlength=self.bins).astype(float)


def coded(values: Values, *, far: bool = False) -> Coding:
    """Bins by these values; with `far`, numbers far from the middle ones have bins of their own."""
    if not numeric(values):
        names, counts = np.unique([v for v in values if v is not None], return_counts=True)
        order = np.argsort(-counts, kind="stable")[:COMMON]
        return Coding(False, (), (), tuple(str(n) for n in names[order]))
    floats = np.asarray(values, float)
    floats = floats[np.isfinite(floats)]
    if not len(floats):
        return Coding(True, (), (), ())
    unique, counts = np.unique(floats, return_counts=True)
    heavy = (counts > HEAVY * len(floats)) & (counts > 1)
    rest = floats[~np.isin(floats, unique[heavy])]
    edges: list[float] = []
    if len(rest):
        inner = max(1, round(TENTHS * len(rest) / len(floats)))
        edges = [float(e) for e in np.unique(np.quantile(rest, np.arange(1, inner) / inner))]
    slack = 0.02 * float(np.ptp(floats)) or 1e-9
    ends = [float(floats.min()) - slack, *edges, float(floats.max()) + slack]
    if far:
        ends += [e for e in _fences(floats) if floats.min() < e < floats.max()]
    return Coding(True, tuple(float(u) for u in unique[heavy]), tuple(sorted(set(ends))), ())


def _fences(values: Numbers) -> tuple[float, float]:
    """Beyond these, values are far from the middle half."""
    low, high = (float(q) for q in np.quantile(values, [0.25, 0.75]))
    return low - FAR * (high - low), high + FAR * (high - low)


def likelihood_ratio(a: Counts, b: Counts) -> tuple[float, int]:
    """The G statistic of two rows of counts, and its degrees of freedom."""
    n, m = a.sum(), b.sum()
    if n <= 0 or m <= 0:
        return 0.0, 1
    both = a + b
    used = both > 0
    a, b, both = a[used], b[used], both[used]
    share = both / (n + m)
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(a > 0, a * np.log(a / (n * share)), 0) + np.where(b > 0, b * np.log(b / (m * share)), 0)
    return max(0.0, 2 * float(parts.sum())), max(1, int(used.sum()) - 1)


def effect(statistic: float, freedom: float, a: Counts, b: Counts) -> float:
    """The statistic above its expectation, for each row."""
    n, m = a.sum(), b.sum()
    return max(0.0, statistic - freedom) * (n + m) / (2 * n * m) if n > 0 and m > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Usual:
    """How far good periods lie from the others: the inflation of the statistic and the largest effect. A `slow` column
    holds one value for whole periods, so that a change of it is no news by itself;
    `step` is the largest effect between neighbours."""

    inflation: float
    largest: float
    slow: bool = False
    step: float = 0.0


def usual(by_period: NDArray[np.float64]) -> Usual:
    """`by_period`: counts of each good period, newest first. Each is held against all others, and the newer half
    against those before alone, so that what moves slowly counts as usual."""
    filled = by_period[by_period.sum(axis=1) > 0]
    if len(filled) < 3:
        return Usual(1.5, 0.0)
    total = filled.sum(axis=0)
    pairs = [(row, total - row) for row in filled]
    pairs += [(filled[i], filled[i + 1 :].sum(axis=0)) for i in range(len(filled) // 2)]
    found = [(*likelihood_ratio(a, b), a, b) for a, b in pairs]
    ratios = np.array([g / f for g, f, _, _ in found])
    inflation = max(1.0, float(ratios.mean()))
    held = float((filled.max(axis=1) >= SLOW * filled.sum(axis=1)).mean()) >= SLOW_PERIODS
    largest = max(effect(g, f * inflation, a, b) for g, f, a, b in found)
    sides = [(filled[i : i + 2].sum(axis=0), filled[i + 2 : i + 6].sum(axis=0)) for i in range(max(0, len(filled) - 4))]
    steps = [effect(*_scaled(a, b, inflation), a, b) for a, b in sides]
    return Usual(inflation, largest, held, max(steps, default=0.0))


def _scaled(a: Counts, b: Counts, inflation: float) -> tuple[float, float]:
    statistic, freedom = likelihood_ratio(a, b)
    return statistic, freedom * inflation


@dataclass(frozen=True, slots=True)
class Distance:
    """How far suspect rows lie from good ones in a column; `excess` is 0 where they lie no farther than usual."""

    excess: float
    effect: float


def distance(suspect: Counts, good: Counts, as_usual: Usual) -> Distance:
    statistic, freedom = likelihood_ratio(suspect, good)
    scaled = statistic / as_usual.inflation
    size = effect(statistic, freedom * as_usual.inflation, suspect, good)
    far = size > max(EFFECT_MIN, BEYOND_USUAL * as_usual.largest)
    still = as_usual.slow and suspect[-1] * good.sum() <= 2 * (good[-1] + 1) * suspect.sum()  # no more nulls either
    if not far or still or chi_square_tail(scaled, freedom) > P_MOVED:
        return Distance(0.0, size)
    return Distance(scaled - freedom, size)


def stepped(first: Counts, last: Counts, as_usual: Usual) -> bool:
    """Whether the first suspect periods differ from the last good ones: what has crept away all along did not."""
    statistic, freedom = likelihood_ratio(first, last)
    size = effect(statistic, freedom * as_usual.inflation, first, last)
    return chi_square_tail(statistic / as_usual.inflation, freedom) < P_STEP and size > BEYOND_STEP * as_usual.step


def onset(streams: Sequence[NDArray[np.float64]], longest: int, asked: int = 1) -> int:
    """How many of the newest periods belong together and are unlike those before, by all streams of counts together
    (a row a period, newest first): the split that parts them best. `asked` where nothing parts them."""
    periods = min((len(s) for s in streams), default=0)
    best, found = 0.0, asked
    for split in range(1, min(longest, periods - 3) + 1):
        gain = 0.0
        for counts in streams:
            after, before = counts[:split].sum(axis=0), counts[split:].sum(axis=0)
            statistic, freedom = likelihood_ratio(after, before)
            needed = freedom + 6 * math.sqrt(2 * freedom) + 12
            if statistic > needed:
                gain += max(0.0, statistic / usual(counts[split:]).inflation - needed)
        if gain > best:
            best, found = gain, split
    return found


def earlier(counts: NDArray[np.float64], asked: int, onset: int) -> tuple[NDArray[np.float64], int]:
    """The counts of periods that tell what is usual, and where they begin: those of ten periods ago and before, where
    these are too few the older half; so that what lasts some days does not become usual."""
    begins = max(EARLIER, asked)
    if (counts[begins:] > 0).sum() < EARLIER_MIN:
        filled = np.flatnonzero(counts > 0)
        half = filled[len(filled) // 2 :]
        enough = len(half) >= EARLIER_MIN and half[0] >= asked
        begins = int(half[0]) if enough else max(onset, asked)
    return counts[begins:][counts[begins:] > 0], begins
