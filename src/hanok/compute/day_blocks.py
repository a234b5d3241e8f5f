"""How far runs of whole days of the training rows lie from the rest of them: what day-to-day variance looks like.

Rows of a day resemble each other (a storm, a campaign, a Sunday), so a later day has moved only where it lies farther
out than days of training did. A run of `days` days stands for itself alone; all runs that fit count, overlapping ones
too, as the blocks of a moving block bootstrap do (Künsch 1989), so that a run keeps its weekends and its weather. The
mean and the variance over runs, of PSI over its noise floor, scale the test (Rao and Scott 1981).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanok.compute.psi import distances, pooled

RUNS = (1, 2, 3, 7, 14, 28)  # lengths in days of which something is kept
ROWS_MIN = 200  # of a run that is judged by itself
ROWS_KNOWN_MIN = 50  # of a run of the reference: a quiet Sunday belongs to what is usual
KNOWN_SHARE = 0.8  # of the runs of a length have so many rows, or nothing is kept of that length
BLOCKS_MIN = 14
DAYS_MAX = 400  # the newest calendar days that are looked at
DEVIATIONS = 3.0  # what lies within so many of the mean is usual
DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class DayBlocks:
    """Runs of `days` whole days of the reference, `blocks` of them: `usual` and `spread` are the mean and the standard
    deviation over them of PSI less its noise floor, `inflation` and `inflation_variance` the mean and variance of PSI
    over its noise floor."""

    days: int
    blocks: int
    usual: float
    spread: float
    inflation: float
    inflation_variance: float

    @property
    def limit(self) -> float:
        """How far above its noise floor the PSI of such a run may be and is still usual. One bad day among the runs
        widens it a little; a maximum would take that day for what is usual."""
        return max(0.0, self.usual + DEVIATIONS * self.spread)


@dataclass(frozen=True, slots=True)
class Days:
    """The day of each row, counted from the first that is looked at; -1 for rows of earlier days or of none."""

    of_row: NDArray[np.int64]
    count: int

    @classmethod
    def of(cls, at: NDArray[np.int64]) -> Days:
        """Of instants in microseconds. The first and the last day are no whole days and are left out."""
        days = at // DAY_US
        if not len(days) or days.max() - days.min() < BLOCKS_MIN:
            return cls(np.full(len(days), -1), 0)
        last = int(days.max()) - 1
        first = max(int(days.min()) + 1, last - DAYS_MAX + 1)
        return cls(np.where((days >= first) & (days <= last), days - first, -1), last - first + 1)


def day_blocks(bins: NDArray[np.int64], size: int, days: Days) -> tuple[DayBlocks, ...]:
    """For each length of which there are enough runs with enough rows; `bins` are those of each row, of `size`."""
    if not days.count:
        return ()
    whole = np.bincount(bins, minlength=size).astype(float)
    mine = days.of_row >= 0
    cells = np.bincount(days.of_row[mine] * size + bins[mine], minlength=days.count * size)
    running = np.vstack([np.zeros(size), np.cumsum(cells.reshape(days.count, size), axis=0)])
    found = []
    for length in RUNS:
        runs = running[length:] - running[:-length]
        rows = runs.sum(axis=1)
        large = rows >= ROWS_KNOWN_MIN
        if large.sum() < max(BLOCKS_MIN, KNOWN_SHARE * (rows > 0).sum()):
            continue
        psi, floor = distances(*pooled(whole - runs[large], runs[large]))
        beyond = psi - floor
        ratio = np.divide(psi, floor, out=np.ones_like(psi), where=floor > 0)  # a column of one bin does not differ
        usual, spread = float(beyond.mean()), float(beyond.std(ddof=1))
        found.append(DayBlocks(length, len(psi), usual, spread, float(ratio.mean()), float(ratio.var(ddof=1))))
    return tuple(found)
