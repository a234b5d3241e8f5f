"""Anomalies in the history of a metric: Deequ's strategies.

A strategy is given the series and a half-open interval of positions to look at, and answers with the positions that are
anomalous; what lies before the interval is what it learns from. Positions count from 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hanok.compute.states import ColumnState, TableState
from hanok.compute.tails import normal_quantile
from hanok.core.errors import Invalid

Floats = NDArray[np.float64]


METRICS: Mapping[str, Callable[[ColumnState], float | None]] = {
    "Completeness": lambda c: c.present / c.rows if c.rows else None,
    "CountDistinct": lambda c: float(c.distinct_count),
    "Kurtosis": lambda c: c.moments.kurtosis,
    "MaxLength": lambda c: None if c.longest is None else float(c.longest),
    "Maximum": lambda c: float(c.maximum) if c.finite else None,
    "Mean": lambda c: c.moments.mean if c.finite else None,
    "Median": lambda c: float(c.quantiles.quantiles([0.5])[0]) if c.finite else None,
    "MinLength": lambda c: None if c.shortest is None else float(c.shortest),
    "Minimum": lambda c: float(c.minimum) if c.finite else None,
    "Skewness": lambda c: c.moments.skewness,
    "StandardDeviation": lambda c: None if c.moments.variance is None else math.sqrt(c.moments.variance),
    "Sum": lambda c: float(c.total) if c.finite else None,
    "ZerosCount": lambda c: float(c.zeros),
}


def metric_of(state: TableState, metric: str, column: str = "") -> float | None:
    """A metric of Deequ's from a state (`Size` needs no column); None where there are no values. Raises Invalid."""
    if metric == "Size":
        return float(state.rows)
    if metric not in METRICS:
        raise Invalid(f"no history is kept of {metric!r}; there is one of Size, {', '.join(METRICS)}")
    if not column:
        raise Invalid(f"{metric} is of a column: name one of {', '.join(state.columns)}")
    return METRICS[metric](state.columns[column]) if column in state.columns else None


class Strategy(Protocol):
    def detect(self, series: Sequence[float], start: int, end: int) -> list[int]: ...


@dataclass(frozen=True, slots=True)
class SimpleThreshold:
    """Values outside [lower, upper]."""

    upper: float
    lower: float = -math.inf

    def __post_init__(self) -> None:
        _ordered(self.lower, self.upper)

    def detect(self, series: Sequence[float], start: int, end: int) -> list[int]:
        return [i for i in range(*_interval(series, start, end)) if not self.lower <= series[i] <= self.upper]


@dataclass(frozen=True, slots=True)
class AbsoluteChange:
    """Differences of an order (0: the value itself) outside [max_decrease, max_increase]."""

    max_decrease: float = -math.inf
    max_increase: float = math.inf
    order: int = 1

    def __post_init__(self) -> None:
        _changes(self.max_decrease, self.max_increase, self.order, least=0)

    def detect(self, series: Sequence[float], start: int, end: int) -> list[int]:
        start, end = _interval(series, start, end)
        first = max(0, start - self.order)
        change = np.diff(np.asarray(series[first:end], float), n=self.order)
        outside = (change < self.max_decrease) | (change > self.max_increase)
        return [int(i) + first + self.order for i in np.flatnonzero(outside)]


@dataclass(frozen=True, slots=True)
class RelativeRateOfChange:
    """Ratios to the value `order` before outside [max_decrease, max_increase]: 0.8 is a loss of a fifth."""

    max_decrease: float = -math.inf
    max_increase: float = math.inf
    order: int = 1

    def __post_init__(self) -> None:
        _changes(self.max_decrease, self.max_increase, self.order, least=1)

    def detect(self, series: Sequence[float], start: int, end: int) -> list[int]:
        start, end = _interval(series, start, end)
        found = []
        for i in range(max(start, self.order), end):
            before, value = series[i - self.order], series[i]
            ratio = value / before if before else (math.inf if value > 0 else -math.inf)
            if (before or value) and not self.max_decrease <= ratio <= self.max_increase:
                found.append(i)
        return found


@dataclass(frozen=True, slots=True)
class BatchNormal:
    """Values farther than so many sample standard deviations from the mean of what is outside the interval. One value
    there has no deviation: what differs from it is an anomaly. A factor of None is no bound on that side."""

    lower_factor: float | None = 3.0
    upper_factor: float | None = 3.0
    include_interval: bool = False

    def __post_init__(self) -> None:
        _factors(self.lower_factor, self.upper_factor)

    def detect(self, series: Sequence[float], start: int, end: int) -> list[int]:
        start, end = _interval(series, start, end)
        base = series if self.include_interval else [*series[:start], *series[end:]]
        if not len(base):
            raise Invalid("BatchNormal learns from what is outside the interval; there is nothing")
        mean, std = float(np.mean(base)), float(np.std(base, ddof=1)) if len(base) > 1 else 0.0
        low, high = _band(mean, std, self.lower_factor, self.upper_factor)
        return [i for i in range(start, end) if not low <= series[i] <= high]


@dataclass(frozen=True, slots=True)
class OnlineNormal:
    """Values outside the running mean and standard deviation, which include the value itself (Welford). The first
    `ignore_start` share is not judged; with `ignore_anomalies` an anomaly does not move the running values."""

    lower_factor: float | None = 3.0
    upper_factor: float | None = 3.0
    ignore_start: float = 0.1
    ignore_anomalies: bool = True

    def __post_init__(self) -> None:
        _factors(self.lower_factor, self.upper_factor)
        if not 0 <= self.ignore_start <= 1:
            raise Invalid(f"the share of the series that is not judged is between 0 and 1, not {self.ignore_start:g}")

    def detect(self, series: Sequence[float], start: int, end: int) -> list[int]:
        start, end = _interval(series, start, end)
        skipped = len(series) * self.ignore_start
        mean = squares = 0.0
        found = []
        for i, value in enumerate(series):
            before = mean, squares
            mean += (value - mean) / (i + 1)
            squares += (value - before[0]) * (value - mean)
            std = math.sqrt(squares / (i + 1))
            low, high = _band(mean, std, self.lower_factor, self.upper_factor)
            if low <= value <= high:
                continue
            if i >= skipped and start <= i < end:
                found.append(i)
                if self.ignore_anomalies:
                    mean, squares = before
        return found


@dataclass(frozen=True, slots=True)
class HoltWinters:
    """Values outside the forecast of additive triple exponential smoothing (Holt 1957, Winters 1960).

    The three weights are those with the least squared one-step error before the interval, found on a grid that is
    refined three times; it needs two whole periods there. An anomaly is farther from its forecast than the normal
    quantile of `confidence` times the standard deviation of these errors.
    """

    period: int = 7
    confidence: float = 0.95

    def detect(self, series: Sequence[float], start: int, end: int) -> list[int]:
        start, end = _interval(series, start, end)
        if self.period < 2 or start < 2 * self.period:
            raise Invalid(
                f"HoltWinters of period {self.period} needs two whole periods before the interval "
                f"({2 * self.period} values); there are {start}"
            )
        known = np.asarray(series[:start], float)
        weights = self._fitted(known)
        errors, level, trend, season = _smoothed(known, weights[None, :], self.period)
        bound = normal_quantile(0.5 + self.confidence / 2) * float(errors.std()) + 1e-9 * max(1.0, abs(known).max())
        found = []
        for i in range(start, end):
            forecast = level[0] + (i - start + 1) * trend[0] + season[(i % self.period), 0]
            if abs(series[i] - forecast) > bound:
                found.append(i)
        return found

    def _fitted(self, known: Floats) -> Floats:
        centre, width = np.array([0.5, 0.5, 0.5]), 0.5
        for _ in range(4):
            steps = [np.clip(np.linspace(c - width, c + width, 9), 0, 1) for c in centre]
            candidates = np.stack([g.ravel() for g in np.meshgrid(*steps, indexing="ij")], axis=1)
            errors, *_ = _smoothed(known, candidates, self.period)
            centre = candidates[int(np.argmin((errors**2).sum(axis=0)))]
            width /= 4
        return centre


def _smoothed(known: Floats, weights: Floats, period: int) -> tuple[Floats, Floats, Floats, Floats]:
    """One-step errors (values after the first period, candidates), and the last level, trend and season of each
    candidate (alpha, beta, gamma)."""
    alpha, beta, gamma = weights.T
    first, second = known[:period], known[period : 2 * period]
    level = np.full(len(weights), first.mean())
    trend = np.full(len(weights), (second.mean() - first.mean()) / period)
    season = np.repeat(
        (first - first.mean() - trend[0] * (np.arange(period) - (period - 1) / 2))[:, None], len(weights), 1
    )
    level = level + trend * (period - 1) / 2
    errors = np.empty((len(known) - period, len(weights)))
    for i in range(period, len(known)):
        place = i % period
        forecast = level + trend + season[place]
        errors[i - period] = known[i] - forecast
        last = level
        level = alpha * (known[i] - season[place]) + (1 - alpha) * (level + trend)
        trend = beta * (level - last) + (1 - beta) * trend
        season[place] = gamma * (known[i] - level) + (1 - gamma) * season[place]
    return errors, level, trend, season


STRATEGIES: dict[str, type] = {
    "SimpleThreshold": SimpleThreshold,
    "AbsoluteChange": AbsoluteChange,
    "RateOfChange": AbsoluteChange,
    "RelativeRateOfChange": RelativeRateOfChange,
    "BatchNormal": BatchNormal,
    "OnlineNormal": OnlineNormal,
    "HoltWinters": HoltWinters,
}


def strategy(name: str, **settings: float | bool) -> Strategy:
    """A strategy by its name. Raises Invalid."""
    if name not in STRATEGIES:
        raise Invalid(f"there is no strategy {name!r}; there are {', '.join(STRATEGIES)}")
    try:
        return STRATEGIES[name](**settings)
    except TypeError as error:
        raise Invalid(f"{name}: {error}") from None


def _band(mean: float, std: float, lower: float | None, upper: float | None) -> tuple[float, float]:
    low = -math.inf if lower is None else mean - lower * std
    return low, math.inf if upper is None else mean + upper * std


def _ordered(low: float, high: float) -> None:
    if low > high:
        raise Invalid(f"the lower bound ({low:g}) is above the upper ({high:g})")


def _changes(decrease: float, increase: float, order: int, *, least: int) -> None:
    _ordered(decrease, increase)
    if order < least:
        raise Invalid(f"the order of a change is {least} or more, not {order}")
    if math.isinf(decrease) and math.isinf(increase):
        raise Invalid("a change needs a bound: give max_decrease, max_increase or both")


def _factors(lower: float | None, upper: float | None) -> None:
    given = [f for f in (lower, upper) if f is not None]
    if not given or min(given) < 0:
        raise Invalid(f"a factor of the standard deviation is 0 or more, and one is needed; got {lower} and {upper}")


def _interval(series: Sequence[float], start: int, end: int) -> tuple[int, int]:
    if start > end or start < 0:
        raise Invalid(f"an interval of positions does not begin after its end; got [{start}, {end})")
    return start, min(end, len(series))
