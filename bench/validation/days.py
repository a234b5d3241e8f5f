"""python -m bench.validation.days [years]: days until a shift alarms, and alarms of clean years, with and without days.

Twelve features of a model whose days resemble one another: weekends that ask for other things, weather that lasts for
days, a mix of categories that wanders. It is trained on 12 weeks and then answers for a year. "weeks" is two of three
weeks that share no row; "days" adds runs of whole days and sudden jumps (compute/alarms.py).
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from bench.tools import row
from hanok.compute.alarms import DAYS, WEEKS, AlarmState
from hanok.compute.day_blocks import DAY_US, ROWS_MIN, RUNS, Days
from hanok.compute.drift import compare, placed, reference
from hanok.compute.shift import Evidence, Shift
from hanok.compute.two_sample import benjamini_hochberg

TRAINED, YEAR, BEFORE, AFTER = 84, 365, 28, 28
START = datetime(2026, 1, 5)
WORDS = np.array([f"w{i}" for i in range(12)])


def wandering(rng, days, phi, spread):
    """A value a day that resembles that of the day before."""
    values = rng.normal(size=days) * spread
    for i in range(1, days):
        values[i] = phi * values[i - 1] + np.sqrt(1 - phi**2) * values[i]
    return values


class World:
    """Days of rows. `shift` moves each of `steady`, `weekly` and `stormy` by so many deviations from a day on."""

    def __init__(self, seed, rows_a_day, days, shift=0.0, since=10**9):
        self.rng = rng = np.random.default_rng(seed)
        self.days, self.rows_a_day, self.shift, self.since = days, rows_a_day, shift, since
        self.level = {f"stormy{i}": wandering(rng, days, p, s) for i, (p, s) in enumerate(((0.5, 0.3), (0.8, 0.5)))}
        self.wet = wandering(rng, days, 0.7, 1.0)
        self.mix = np.cumsum(np.zeros((days, 12)), axis=0) + np.column_stack(
            [wandering(rng, days, 0.6, 0.3) for _ in range(12)]
        )
        self.busy = wandering(rng, days, 0.5, 0.15)

    def day(self, d):
        rng, weekend = self.rng, d % 7 >= 5
        n = rng.poisson(self.rows_a_day * (0.4 if weekend else 1.2) * np.exp(self.busy[d]))
        moved = self.shift if d >= self.since else 0.0
        made = {f"steady{i}": rng.normal(size=n) + moved * (i == 0) for i in range(3)}
        made |= {f"weekly{i}": rng.normal(size=n) + weekend * (0.5 + i / 2) + moved * (i == 0) for i in range(2)}
        made |= {k: rng.normal(size=n) + v[d] + moved * (k == "stormy0") for k, v in self.level.items()}
        rain = 1 / (1 + np.exp(-(self.wet[d] - 1.5)))
        made["rain"] = np.where(rng.random(n) < rain, rng.exponential(size=n), 0.0)
        made["skewed"] = rng.exponential(size=n) * np.exp(self.busy[d])
        made["nulls"] = np.where(rng.random(n) < (0.3 if weekend else 0.1), np.nan, rng.normal(size=n))
        for name, tilt in (("product", 0.0), ("channel", 1.0)):
            odds = np.exp(self.mix[d] + (np.arange(12) / 6 if weekend and tilt else 0) - np.arange(12) / 4)
            made[name] = WORDS[rng.choice(12, n, p=odds / odds.sum())]
        return made


def column(values):
    return pa.chunked_array([pa.array(values)])


class Watch:
    """Follows a world as monitoring does: a look a day, at the week that ends with it and at the newest run of days."""

    def __init__(self, trained):
        at = np.concatenate([np.full(len(day["steady0"]), i * DAY_US) for i, day in enumerate(trained)])
        weeks = [np.flatnonzero(at // (7 * DAY_US) == w) for w in range(len(trained) // 7)]
        days = Days.of(at)
        self.refs = {n: reference(n, column(np.concatenate([d[n] for d in trained])), weeks, days) for n in trained[0]}
        self.counts, self.rows = [], []
        self.week, self.run = AlarmState(), AlarmState()

    def look(self, day):
        """(alarms of weeks, alarms of weeks or days, sudden ones) after one more day."""
        self.counts.append(
            {n: np.bincount(placed(r, column(day[n])), minlength=len(r.counts)) for n, r in self.refs.items()}
        )
        self.rows.append(len(day["steady0"]))
        end = len(self.counts)
        weekly = frozenset()
        if end >= 7:
            self.week, verdicts = WEEKS.update(self.week, self._evidence(self.refs, end - 7, end))
            weekly = frozenset(v.drift.column for v in verdicts if v.alarm)
        begin, daily, sudden = self._run(end), frozenset(), frozenset()
        if begin is not None:
            refs = {
                n: of
                for n, r in self.refs.items()
                if (of := r.of_days(end - begin, sum(self.rows[begin:end]))) is not None
            }
            self.run, verdicts = DAYS.update(self.run, self._evidence(refs, begin, end))
            daily = frozenset(v.drift.column for v in verdicts if v.alarm)
            sudden = frozenset(v.drift.column for v in verdicts if v.sudden)
        return weekly, weekly | daily, sudden

    def _run(self, end):
        known = {r.days for r in next(iter(self.refs.values())).days}
        for length in RUNS:
            if length in known and length <= end and sum(self.rows[end - length : end]) >= ROWS_MIN:
                return end - length
        return None

    def _evidence(self, refs, begin, end):
        found = [compare(r, sum(c[n] for c in self.counts[begin:end])) for n, r in refs.items()]
        shifts = [Shift(d, p) for d, p in zip(found, benjamini_hochberg([d.p_value for d in found]), strict=True)]
        name = lambda i: (START + timedelta(days=i)).isoformat()  # noqa: E731
        return Evidence(name(begin), name(end), sum(self.rows[begin:end]), tuple(shifts))


def watched(seed, rows_a_day, days, shift=0.0, since=10**9):
    world = World(seed, rows_a_day, TRAINED + days, shift, TRAINED + since)
    watch = Watch([world.day(d) for d in range(TRAINED)])
    return [watch.look(world.day(TRAINED + d)) for d in range(days)]


def episodes(days):
    """Alarms as a person gets them: a feature that goes on alarming is one."""
    return sum(len(now - before) for before, now in zip([frozenset(), *days], days, strict=False))


def measure(years=20, trials=30):
    lines = []
    for rows_a_day in (50, 300, 3000):
        found = [watched(seed, rows_a_day, YEAR) for seed in range(years)]
        before, after, sudden = (sum(episodes([d[i] for d in year]) for year in found) for i in range(3))
        note = f"with weeks alone {before}, sudden {sudden}; 12 features, {years} years"
        lines.append(row(f"alarms of clean years, {rows_a_day} rows a day", after, "", note))
    for feature, what in (("steady0", "steady"), ("weekly0", "weekly season"), ("stormy0", "day effects")):
        for rows_a_day in (50, 300, 3000):
            for shift in (0.5, 1.0, 2.0):
                delays = [[], []]
                for seed in range(trials):
                    days = watched(1000 + seed, rows_a_day, BEFORE + AFTER, shift, BEFORE + seed % 7)
                    for side in (0, 1):
                        hit = [i for i, d in enumerate(days) if i >= BEFORE + seed % 7 and feature in d[side]]
                        delays[side].append(hit[0] - BEFORE - seed % 7 + 1 if hit else np.inf)
                old, new = (f"{np.median(d):.0f} ({np.mean(np.isfinite(d)):.0%})" for d in delays)
                lines.append(row(f"{what}, {rows_a_day} rows a day, {shift:g} deviations: days", new, "", f"was {old}"))
    return lines


if __name__ == "__main__":
    for line in measure(*map(int, sys.argv[1:])):
        print(f"  {line['what']:<58} {line['value']:>12}  {line['note']}", flush=True)
