"""python -m bench.validation.alarms [rows ...]: false alarms over 1,000 null windows of 50 mixed columns, and power.

Windows follow one another, as days do, so that two of three mean what they say. Autocorrelated columns go on from row
to row and from window to window; the reference knows blocks of the same length from them.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import pyarrow as pa

from bench.tools import row
from hanok.compute.alarms import judge
from hanok.compute.drift import bin_counts, compare, reference

WINDOWS = 1000
BLOCKS = 40
SIZES = (200, 2_000, 50_000)
SHIFT_PSI = 0.1
WORDS = {k: pa.array([f"w{i}" for i in range(k)]) for k in (3, 12, 60, 1000)}


class Autoregressive:
    """x[t] = phi x[t-1] + noise, going on for ever, with unit variance."""

    def __init__(self, phi, rng):
        self.phi, self.rng, self.last = phi, rng, float(rng.normal())

    def take(self, n):
        noise = self.rng.normal(size=n) * np.sqrt(1 - self.phi**2)
        out = np.empty(n)
        size = 64  # blocks of 64 by one triangular product, which is the recursion
        powers = self.phi ** np.arange(1, size + 1)
        lower = np.tril(self.phi ** np.clip(np.subtract.outer(np.arange(size), np.arange(size)), 0, None))
        for at in range(0, n, size):
            part = noise[at : at + size]
            out[at : at + size] = lower[: len(part), : len(part)] @ part + powers[: len(part)] * self.last
            self.last = out[min(at + size, n) - 1]
        return out


def columns(rng):
    """50 sources of rows: name and a function of n."""
    made = {}

    def words(k, skew):
        shares = 1 / np.arange(1, k + 1) ** skew
        table = np.repeat(np.arange(k), np.maximum(1, (shares / shares.sum() * 65536).astype(int)))
        return lambda n: WORDS[k].take(pa.array(table[rng.integers(0, len(table), n)]))

    for i in range(8):
        made[f"normal{i}"] = lambda n: rng.normal(size=n)
    for i in range(5):
        made[f"lognormal{i}"] = lambda n, i=i: np.exp(rng.normal(size=n) * (1 + i / 3))
    for i in range(4):
        made[f"pareto{i}"] = lambda n, i=i: rng.pareto(0.8 + i / 2, n)
    for i in range(3):
        made[f"cauchy{i}"] = lambda n: rng.standard_cauchy(n)
    for i in range(6):
        made[f"zeros{i}"] = lambda n, i=i: np.where(rng.random(n) < 0.5 + i * 0.08, 0.0, rng.exponential(size=n))
    for i in range(4):
        made[f"counts{i}"] = lambda n, i=i: rng.poisson(0.3 * 4**i, n)
    for i in range(3):
        made[f"nulls{i}"] = lambda n, i=i: np.where(rng.random(n) < 0.1 + 0.3 * i, np.nan, rng.normal(size=n))
    for i, k in enumerate((3, 3, 12, 12, 60, 60)):
        made[f"category{i}"] = words(k, i % 2)
    for i in range(3):
        made[f"skewed{i}"] = words(1000, 1 + i / 4)
    for i in range(2):
        made[f"id{i}"] = lambda n: rng.integers(0, 1 << 40, n)
    for i, phi in enumerate((0.5, 0.8, 0.9, 0.95, 0.97, 0.99)):
        made[f"autocorrelated{i}"] = Autoregressive(phi, rng).take
    assert len(made) == 50
    return made


def references(sources, n):
    """Each column's reference over 40 blocks of n rows (at most 400,000 rows)."""
    blocks = max(10, min(BLOCKS, 400_000 // n))
    places = [np.arange(i * n, (i + 1) * n) for i in range(blocks)]
    return {
        name: reference(name, pa.chunked_array([pa.array(take(n * blocks))]), places) for name, take in sources.items()
    }


def false_alarms(n, windows=WINDOWS, seed=1):
    """(windows with a suspect column, windows that alarm) among null windows."""
    sources = columns(np.random.default_rng(seed))
    refs = references(sources, n)
    before, suspected, alarmed = [], 0, 0
    for _ in range(windows):
        found = [
            compare(refs[c], bin_counts(refs[c], pa.chunked_array([pa.array(take(n))]))) for c, take in sources.items()
        ]
        verdicts = judge(found, before)
        before = [*before, {v.drift.column: v.suspect for v in verdicts}][-2:]
        suspected += any(v.suspect for v in verdicts)
        alarmed += any(v.alarm for v in verdicts)
    return suspected, alarmed


def shift_of(psi):
    """The mean shift of a unit normal whose PSI over the reference's 20 bins is `psi`: d^2 before binning."""
    from math import erf, sqrt

    def binned(d):
        edges = np.quantile(np.random.default_rng(0).normal(size=2_000_000), np.arange(1, 20) / 20)
        cdf = lambda x: np.array([0.5 * (1 + erf(v / sqrt(2))) for v in x])  # noqa: E731
        p, q = (np.diff(np.concatenate([[0], cdf(edges - s), [1]])) for s in (0, d))
        return float(((q - p) * np.log(q / p)).sum())

    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if binned(middle) < psi else (low, middle)
    return low


def power(n, trials=400, seed=2):
    """One normal column of 50 shifts by PSI 0.1: the share of trials that alarm within three windows, and the mean
    number of windows until then."""
    rng = np.random.default_rng(seed)
    sources = columns(rng)
    refs = references(sources, n)
    shift, delays = shift_of(SHIFT_PSI), []
    for _ in range(trials):
        before, delay = [], None
        for window in range(1, 4):
            found = []
            for c, take in sources.items():
                values = take(n) + shift if c == "normal0" else take(n)
                found.append(compare(refs[c], bin_counts(refs[c], pa.chunked_array([pa.array(values)]))))
            verdicts = judge(found, before)
            before.append({v.drift.column: v.suspect for v in verdicts})
            if delay is None and any(v.alarm and v.drift.column == "normal0" for v in verdicts):
                delay = window
        delays.append(delay)
    hit = [d for d in delays if d is not None]
    return len(hit) / trials, float(np.mean(hit)) if hit else float("nan")


def measure(sizes=SIZES, windows=WINDOWS):
    rows = []
    for n in sizes:
        started = time.process_time()
        suspected, alarmed = false_alarms(n, windows)
        spent = time.process_time() - started
        rows.append(row(f"null windows that alarm, n={n}", alarmed, f"of {windows}", f"{spent:.0f} CPU s"))
        rows.append(row("  with a suspect column, before two of three", suspected, f"of {windows}"))
    for n, trials in ((5000, 200), (500, 400)):
        rate, delay = power(n, trials)
        rows.append(
            row(
                f"PSI 0.1 in 1 of 50 columns found in 3 windows, n={n}",
                100 * rate,
                "%",
                f"mean delay {delay:.2f} windows",
            )
        )
    return rows


if __name__ == "__main__":
    chosen = tuple(int(x) for x in sys.argv[1:]) or SIZES
    for line in measure(chosen):
        print(f"  {line['what']:<62} {line['value']:>8}  {line['unit']:<8} {line['note']}", flush=True)
