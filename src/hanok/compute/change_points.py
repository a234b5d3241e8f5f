"""Change on a stream, one value at a time: ADWIN, Page-Hinkley, DDM and KSWIN.

Each detector has `update(value) -> bool`: True where a change was found at this value, after which it starts afresh
(KSWIN keeps its recent values). They hold no clock and, but for KSWIN's seeded sampling, no randomness.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Protocol

import numpy as np

from hanok.compute.two_sample import kolmogorov_smirnov


class Detector(Protocol):
    def update(self, value: float) -> bool: ...


class Adwin:
    """Adaptive windowing (Bifet and Gavalda 2007): the window is cut where two of its parts differ in mean.

    Values lie in exponential buckets, at most `buckets` of a size, so memory is logarithmic in the window. `delta` is
    the confidence of theorem 3.2; the window is looked at every `clock` values once it has more than `grace`, and no
    part is shorter than `shortest`.
    """

    def __init__(
        self, delta: float = 0.002, *, clock: int = 32, buckets: int = 5, shortest: int = 5, grace: int = 10
    ) -> None:
        self.delta, self.clock, self.buckets, self.shortest, self.grace = delta, clock, buckets, shortest, grace
        self._reset()

    def _reset(self) -> None:
        self._rows: list[deque[tuple[float, float]]] = [deque()]  # row i: (total, sum of squares) of 2^i values
        self._ticks, self._changed = 0, False
        self.width, self.total, self._squares = 0, 0.0, 0.0

    @property
    def mean(self) -> float:
        return self.total / self.width if self.width else 0.0

    @property
    def variance(self) -> float:
        return self._squares / self.width if self.width else 0.0

    def update(self, value: float) -> bool:
        if self._changed:
            self._reset()
        self._ticks += 1
        if self.width:
            self._squares += self.width * (value - self.mean) ** 2 / (self.width + 1)
        self.width += 1
        self.total += value
        self._rows[0].append((value, 0.0))
        self._compress()
        if self._ticks % self.clock or self.width <= self.grace:
            return False
        while self._cut():
            self._changed = True
        return self._changed

    def _compress(self) -> None:
        for level, row in enumerate(self._rows):
            if len(row) <= self.buckets:
                return
            if level + 1 == len(self._rows):
                self._rows.append(deque())
            n = 1 << level
            (u, v), (x, y) = row.popleft(), row.popleft()
            self._rows[level + 1].append((u + x, v + y + n * n * (u / n - x / n) ** 2 / (2 * n)))

    def _cut(self) -> bool:
        """Drop the oldest bucket if some split tells old from new; whether it did."""
        n, total = 0, 0.0
        for level in range(len(self._rows) - 1, -1, -1):
            for bucket_total, _ in self._rows[level]:
                n += 1 << level
                total += bucket_total
                m = self.width - n
                if m < self.shortest or n < self.shortest:
                    continue
                if self._differ(n, m, total / n - (self.total - total) / m):
                    self._drop_oldest()
                    return True
        return False

    def _differ(self, n: int, m: int, gap: float) -> bool:
        logarithm = math.log(2 * math.log(self.width) / self.delta)
        inverse = 1 / (n - self.shortest + 1) + 1 / (m - self.shortest + 1)
        bound = math.sqrt(2 * inverse * self.variance * logarithm) + 2 / 3 * logarithm * inverse
        return abs(gap) > bound

    def _drop_oldest(self) -> None:
        level = max(i for i, row in enumerate(self._rows) if row)
        n = 1 << level
        total, squares = self._rows[level].popleft()
        self.width -= n
        self.total -= total
        self._squares -= squares + n * self.width * (total / n - self.mean) ** 2 / (n + self.width)
        while len(self._rows) > 1 and not self._rows[-1]:
            self._rows.pop()


class PageHinkley:
    """The cumulative-sum test of Page (1954) with Hinkley's running mean, in both directions.

    `delta` is the change of the mean that is tolerated, `threshold` how much it may add up to, `forgetting` what of the
    sum remains with each value. Nothing is reported in the first `grace` values.
    """

    def __init__(
        self, delta: float = 0.005, threshold: float = 50.0, *, forgetting: float = 0.9999, grace: int = 30
    ) -> None:
        self.delta, self.threshold, self.forgetting, self.grace = delta, threshold, forgetting, grace
        self._reset()

    def _reset(self) -> None:
        self._n, self._mean = 0, 0.0
        self._up = self._down = 0.0
        self._lowest, self._highest = math.inf, -math.inf

    def update(self, value: float) -> bool:
        self._n += 1
        self._mean += (value - self._mean) / self._n
        gap = value - self._mean
        self._up = self.forgetting * self._up + gap - self.delta
        self._down = self.forgetting * self._down + gap + self.delta
        self._lowest, self._highest = min(self._lowest, self._up), max(self._highest, self._down)
        changed = self._n >= self.grace and (
            self._up - self._lowest > self.threshold or self._highest - self._down > self.threshold
        )
        if changed:
            self._reset()
        return changed


class Ddm:
    """The drift detection method (Gama et al. 2004) on a stream of errors: 1 wrong, 0 right.

    The share of errors p with s = sqrt(p (1 - p) / n) has drifted when p + s is above the lowest p by `drift` of its s.
    `warned` is True from the level `warning` on.
    """

    def __init__(self, warning: float = 2.0, drift: float = 3.0, *, grace: int = 30) -> None:
        self.warning, self.drift, self.grace = warning, drift, grace
        self.warned = False
        self._reset()

    def _reset(self) -> None:
        self._n, self._p = 0, 0.0
        self._lowest = (math.inf, math.inf)

    def update(self, value: float) -> bool:
        self._n += 1
        self._p += (value - self._p) / self._n
        spread = math.sqrt(self._p * (1 - self._p) / self._n)
        self.warned = False
        if self._n < self.grace:
            return False
        if self._p + spread <= sum(self._lowest):
            self._lowest = (self._p, spread)
        low_p, low_s = self._lowest
        self.warned = self._p + spread > low_p + self.warning * low_s
        if self._p + spread > low_p + self.drift * low_s:
            self._reset()
            return True
        return False


class Kswin:
    """Kolmogorov-Smirnov windowing (Raab, Heusinger and Schleif 2020): the last `recent` values against as many drawn
    from the rest of the `window`. A change needs p <= `alpha` and a gap above 0.1; the window then keeps the recent
    values alone."""

    def __init__(self, alpha: float = 0.005, *, window: int = 100, recent: int = 30, seed: int = 0) -> None:
        self.alpha, self.window, self.recent = alpha, window, recent
        self._random = np.random.default_rng(seed)
        self._values: deque[float] = deque(maxlen=window)

    def update(self, value: float) -> bool:
        self._values.append(value)
        if len(self._values) < self.window:
            return False
        values = np.array(self._values)
        newest = values[-self.recent :]
        older = self._random.choice(values[: -self.recent], self.recent, replace=False)
        test = kolmogorov_smirnov(older, newest, method="exact")
        if test.p_value > self.alpha or test.statistic <= 0.1:
            return False
        self._values = deque(newest.tolist(), maxlen=self.window)
        return True
