"""python -m bench.validation.flights HOME: AUC estimated before labels, by week, on a replayed flights year.

Each week is estimated from what was labelled before it began: days as counts of scores, a day half as heavy after four
weeks. Once labels are in, a week's calibration held when the share of late flights was within 3 points of what was
expected and the slope of the labels on the expected logit (Cox) within the tolerance, or both within chance. The
interval is as wide as that tolerance makes it: both are chosen together, from the wanted width and not from labels.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from bench.tools import row
from hanok.compute.duck import arrow, connect
from hanok.compute.score_counts import (
    SLOPE,
    check_calibration,
    counted,
    estimates,
    fit_calibration,
    merged,
    rates,
    realised,
)
from hanok.core.clock import micros
from hanok.stores.delta import DeltaTables

MODEL, DAY, WEEK_DAYS, MEMORY_DAYS = "late-arrival", timedelta(days=1), 7, 120
FIRST, START, END = (datetime(2013, m, d, tzinfo=UTC) for m, d in ((4, 1), (4, 29), (12, 30)))
CHOSEN_UNTIL = datetime(2013, 9, 2, tzinfo=UTC)
TOLERANCES = (0.07, 0.10, 0.14, 0.18, 0.22, 0.30)


class Year:
    """The answered flights of a home, counted by day as far as labels were known at an instant."""

    def __init__(self, home):
        tables = DeltaTables(Path(home) / "tables")
        scans = {"log": tables.scan("predictions--" + MODEL), "known": tables.scan("outcomes--" + MODEL)}
        with connect(scans) as duck:
            rows = arrow(
                duck,
                'SELECT log."at" AS at, log.score AS score, label, known_at FROM log '
                "LEFT JOIN known USING (prediction_id) WHERE log.arm <> 'shadow' ORDER BY 1, log.prediction_id",
            )
        self.at = rows.column("at").cast("int64").to_numpy()
        self.score = rows.column("score").to_numpy()
        self.label = rows.column("label").cast("double").to_numpy(zero_copy_only=False)
        known_at = pc.fill_null(rows.column("known_at").cast("int64"), np.iinfo(np.int64).max)
        self.known_at = known_at.to_numpy()

    def day(self, day, known_by=None):
        low, high = np.searchsorted(self.at, [micros(day), micros(day + DAY)])
        label = self.label[low:high].copy()
        if known_by is not None:
            label[self.known_at[low:high] > micros(known_by)] = np.nan
        return counted(self.score[low:high], label)

    def weeks(self, tolerance):
        """For each week: its start, the estimate, the truth, the check, and the AUC of the four weeks before."""
        start, found = START, []
        while start < END:
            ages = range(1, min(MEMORY_DAYS, (start - FIRST).days) + 1)
            before = [(float(a), self.day(start - a * DAY, start)) for a in ages]
            days = [self.day(start + i * DAY) for i in range(WEEK_DAYS)]
            rate, whole = rates(fit_calibration(before)), merged(days)
            made = estimates(rate, whole.rows, tolerance=tolerance)[0]
            check = check_calibration(rate, days, tolerance=tolerance)
            always = realised(merged([c for a, c in before if a <= 28]))["auc"]
            found.append((start, made, realised(whole)["auc"], check, always))
            start += WEEK_DAYS * DAY
        return found


def judged(weeks):
    """Weeks, those whose calibration held, share inside and mean half-width of these, mean errors, all inside."""
    held = [w for w in weeks if w[3].held]
    inside = [made.low <= truth <= made.high for _, made, truth, _, _ in held]
    half = [(made.high - made.low) / 2 for _, made, _, _, _ in held]
    error = [abs(made.value - truth) for _, made, truth, _, _ in held]
    always = [abs(reference - truth) for _, _, truth, _, reference in held]
    every = [made.low <= truth <= made.high for _, made, truth, _, _ in weeks]
    return len(weeks), len(held), *(float(np.mean(x)) if x else np.nan for x in (inside, half, error, always, every))


def measure(home):
    year = Year(home)
    weeks = year.weeks(SLOPE)
    lines = []
    for name, part in (
        ("all weeks", weeks),
        ("until September", [w for w in weeks if w[0] < CHOSEN_UNTIL]),
        ("from September on", [w for w in weeks if w[0] >= CHOSEN_UNTIL]),
    ):
        count, held, inside, half, error, always, every = judged(part)
        note = f"{held} of {count} weeks held; half-width {half:.4f}, error {error:.4f}, always the last {always:.4f}"
        lines.append(row(f"realised AUC inside, calibration held, {name}", 100 * inside, "%", note))
        lines.append(row(f"realised AUC inside, {name}", 100 * every, "%", "whether calibration held or not"))
    missed = [w for w in weeks if not w[1].low <= w[2] <= w[1].high]
    named = sum(not w[3].held for w in missed)
    lines.append(row("misses", len(missed), "weeks", f"in {named} of them the check names what moved"))
    errors = np.abs([made.value - truth for _, made, truth, _, _ in weeks])
    lines.append(row("error that 90 % of all weeks stay within", float(np.quantile(errors, 0.9)), "AUC"))
    calm = np.array([check.p_value >= 0.05 for *_, check, _ in weeks])
    note = f"{calm.sum()} weeks: what a test of calibration by days, instead of a tolerance, would take"
    lines.append(
        row("the same, where days do not reject calibration", float(np.quantile(errors[calm], 0.9)), "AUC", note)
    )
    for tolerance in TOLERANCES:
        count, held, inside, half, error, _, _ = judged(year.weeks(tolerance))
        note = f"{held} of {count} held, {100 * inside:.0f} % of them inside, error {error:.4f}"
        lines.append(row(f"half-width at a slope tolerance of {tolerance:.0%}", half, "AUC", note))
    return lines


if __name__ == "__main__":
    for start, made, truth, check, _ in Year(sys.argv[1]).weeks(SLOPE):
        said = f"estimate {made.value:.3f} ({made.low:.3f} to {made.high:.3f}), realised {truth:.3f}"
        verdict = "inside" if made.low <= truth <= made.high else "MISSED"
        print(f"{start:%m-%d} {said} {verdict}, {check.reason or 'calibration held'}, p by day {check.p_value:.3f}")
    for line in measure(sys.argv[1]):
        print(f"  {line['what']:<62} {line['value']:>8}  {line['unit']:<5} {line['note']}")
