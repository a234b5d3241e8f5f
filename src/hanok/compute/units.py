"""Whether a column came in another unit: all its quantiles lie where those that are usual would, converted."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

ROWS_MIN, USUAL_ROWS_MIN = 30, 100
FAR = 0.5  # of the usual spread: how far from what is usual the quantiles must lie
LOOSE = 0.35  # of the spread: how exactly a factor of ten or more has to fit; nothing else moves so far
_FACTORS = {
    10: "",
    100: "percent for shares, or cents for units",
    1000: "thousandths for units",
    60: "minutes for hours, or seconds for minutes",
    3600: "seconds for hours",
}
HALF_A_YEAR, A_YEAR = 150, 300  # days; so many hold nearly all that a year does
BEYOND = 0.05, 1.5  # of the spread of a year, of half a year: farther beyond it lies no other season
NEARER, AS_USUAL = 3.0, 2.0  # times
COLDER_THAN = 130  # temperatures are; amounts of money mostly are not
CONVERSIONS = [
    *((float(f), 0.0, f"{f:g} times", hint) for f, hint in _FACTORS.items()),
    *((1 / f, 0.0, f"1/{f:g}", f"the reverse of {hint}" if hint else "") for f, hint in _FACTORS.items()),
    (1.8, 32.0, "1.8 times and 32 more than", "Fahrenheit for Celsius"),
    (1 / 1.8, -32 / 1.8, "what 1.8 times and 32 more gives", "Celsius for Fahrenheit"),
    (1.0, 273.15, "273.15 more than", "Kelvin for Celsius"),
    (1.0, -273.15, "273.15 less than", "Celsius for Kelvin"),
]
"""Factor, offset, how they are said, and which units they may be of."""


def unit_change(usual: Sequence[float], now: Sequence[float], rows: int, *, days: int = 0) -> str:
    """What is to be said of a column whose quantiles, from low to high, are `now` in so many rows; empty where no
    conversion explains them. A shift of a season or a growth does not fit: the spread has to follow too, but where
    what is usual is of so many `days` (0: unknown) that no season lies so far beyond it."""
    if rows < ROWS_MIN or len(usual) != len(now) or len(usual) < 3 or not all(map(math.isfinite, (*usual, *now))):
        return ""
    spread = usual[-1] - usual[0]
    if spread <= 0 or now[-1] - now[0] <= 0:
        return ""
    apart = max(abs(n - u) for n, u in zip(now, usual, strict=True)) / max(spread, now[-1] - now[0])
    best, allowed, said, hint = math.inf, 0.0, "", ""
    for factor, offset, how, what in CONVERSIONS:
        if offset and not (usual[0] >= -460 and usual[-1] <= COLDER_THAN):
            continue
        if not offset and not _same_zeros(usual, now):
            continue
        error = max(abs(n - (factor * u + offset)) for n, u in zip(now, usual, strict=True)) / (factor * spread)
        if offset and days >= HALF_A_YEAR and _season(usual, now, factor, offset, BEYOND[days < A_YEAR]):
            return _said(usual, now, how, what)
        if error < best:
            wide = abs(math.log10(factor)) >= 1
            loose = wide or (offset != 0 and not days and _back_among(usual, now, factor, offset))
            best, allowed, said, hint = error, LOOSE if loose else 0.1 + 1 / math.sqrt(rows), how, what
    if apart < FAR or best > allowed:
        return ""
    return _said(usual, now, said, hint)


def unit_of_pairs(expected: NDArray[np.float64], came: NDArray[np.float64], usual: float) -> str:
    """What is to be said of numbers that are far from what was expected of each, and as near as `usual` (a root mean
    square) when they are converted back; empty where no conversion does that."""

    def apart(numbers: NDArray[np.float64]) -> float:
        return float(np.sqrt(np.mean((numbers - expected) ** 2)))

    factor, offset, how, what = min(CONVERSIONS, key=lambda c: apart((came - c[1]) / c[0]))
    back = (came - offset) / factor
    if apart(came) <= NEARER * apart(back) or apart(back) > AS_USUAL * usual:
        return ""
    told = f"by {apart(came):.4g} off, by {apart(back):.4g} when it is converted back"
    return f"about {how} what was answered ({told}): another unit" + (f", like {what}?" if what else "?")


def _same_zeros(usual: Sequence[float], now: Sequence[float]) -> bool:
    """Whether a factor can be why: it leaves zeros and makes none, and one quantile alone would fit any factor."""
    return sum(u != 0 for u in usual) > 1 and all((n == 0) == (u == 0) for n, u in zip(now, usual, strict=True))


def _said(usual: Sequence[float], now: Sequence[float], said: str, hint: str) -> str:
    middle = len(usual) // 2
    return f"about {said} what is usual (median {now[middle]:.4g} for {usual[middle]:.4g}): another unit" + (
        f", like {hint}?" if hint else "?"
    )


def _season(usual: Sequence[float], now: Sequence[float], factor: float, offset: float, far: float) -> bool:
    """Whether most values lie `far` beyond what was there, and among it when they are converted back: part of a year,
    in another unit."""
    middle, spread = len(now) // 2, usual[-1] - usual[0]
    back = [(n - offset) / factor for n in now]
    beyond = max(now[middle] - usual[-1], usual[0] - now[middle]) > far * spread
    inside = usual[0] - 0.05 * spread <= back[middle] <= usual[-1] + 0.05 * spread
    return beyond and inside and usual[0] - 0.2 * spread <= back[0] and back[-1] <= usual[-1] + 0.2 * spread


def _back_among(usual: Sequence[float], now: Sequence[float], factor: float, offset: float) -> bool:
    """Whether most values lie beyond what is usual, and all of them among it when they are converted back: a season of
    a year that was seen before, in another unit."""
    middle, slack = now[len(now) // 2], 0.2 * (usual[-1] - usual[0])
    beyond = middle > usual[-1] or middle < usual[0]
    back = [(n - offset) / factor for n in (now[0], now[-1])]
    return beyond and back[0] >= usual[0] - slack and back[1] <= usual[-1] + slack
