"""python -m bench.validation.concept: how often a stream of daily losses alarms without cause, and how soon with one.

Each value is a day's loss less its estimate. Without cause: a year of normal, of heavy-tailed (t, 3) and of
autocorrelated (0.3) days. With cause: the loss rises for good by one, one and a half or two typical deviations.
"""

from __future__ import annotations

import numpy as np

from bench.tools import row
from hanok.parts.monitoring.concept import changes

YEAR, BEFORE, TRIALS = 365, 90, 300


def normal(rng):
    return rng.normal(size=YEAR)


def heavy(rng):
    return rng.standard_t(3, size=YEAR)


def sticky(rng):
    values = rng.normal(size=YEAR)
    for i in range(1, YEAR):
        values[i] += 0.3 * values[i - 1]
    return values


def measure(trials=TRIALS):
    lines = []
    for name, made in (("normal", normal), ("heavy tails", heavy), ("autocorrelated", sticky)):
        found = [len(changes(made(np.random.default_rng(seed)))) for seed in range(trials)]
        lines.append(row(f"alarms in a year without cause, {name}", float(np.mean(found)), ""))
    for rise in (1.0, 1.5, 2.0):
        delays = []
        for seed in range(trials):
            values = np.random.default_rng(seed).normal(size=BEFORE + 60)
            values[BEFORE:] += rise
            after = [i for i in changes(values) if i >= BEFORE]
            delays.append(after[0] - BEFORE + 1 if after else np.inf)
        share, usual = float(np.mean(np.isfinite(delays))), float(np.median(delays))
        lines.append(
            row(f"a rise of {rise} deviations found within 60 days", 100 * share, "%", f"after {usual:.0f} days")
        )
    return lines


if __name__ == "__main__":
    for line in measure():
        print(f"  {line['what']:<56} {line['value']:>8}  {line['unit']:<3} {line['note']}")
