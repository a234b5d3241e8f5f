"""python -m bench.validation.flights HOME: performance estimated before labels, by week, on a replayed flights year.

Each week's reference is what was labelled by then: the answers of the four weeks before, of all versions that served.
The interval also holds how far the estimates of earlier weeks were from their truth, once that was known. A week's
calibration held when, once labels were in, the late share was within 3 points of the mean calibrated score.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from bench.tools import row
from hanok.compute.duck import read
from hanok.compute.estimation import ClassReference, calibrated, estimate_classes
from hanok.compute.metrics import auc
from hanok.stores.delta import DeltaTables

MODEL, REFERENCE, WEEK = "late-arrival", timedelta(days=28), timedelta(days=7)
START, END = datetime(2013, 5, 6, tzinfo=UTC), datetime(2013, 12, 30, tzinfo=UTC)
CALIBRATION_GAP = 0.03
BACKTEST_MIN = 4


def part(rows, start, end, column="at"):
    at = rows.column(column)
    return rows.filter(pc.and_(pc.greater_equal(at, start), pc.less(at, end)))


def arrays(rows):
    return rows.column("score").to_numpy(), rows.column("label").to_numpy()


def weeks(home):
    """One line a week: start, estimate, low, high, realised, always-the-reference, and whether calibration held."""
    rows = read(DeltaTables(Path(home) / "tables").scan("outcomes--" + MODEL))
    rows = rows.filter(pc.not_equal(rows.column("arm"), "shadow"))
    found, residuals = [], []
    start = START
    while start < END:
        known = part(rows, start - REFERENCE, start)
        known = known.filter(pc.less_equal(known.column("known_at"), start))
        (before, labels), (now, truth) = arrays(known), arrays(part(rows, start, start + WEEK))
        made = estimate_classes(ClassReference(before, labels), now, seed=0)[0]
        half = (made.high - made.low) / 2
        if len(residuals) >= BACKTEST_MIN:
            half = max(half, 1.96 * float(np.sqrt(np.mean(np.square(residuals[-12:])))))
        realised, always = auc(truth, now), auc(labels, before)
        gap = float(truth.mean() - calibrated(before, labels)(now).mean())
        found.append((start, made.value, half, realised, always, abs(gap) <= CALIBRATION_GAP))
        residuals.append(realised - made.value)
        start += WEEK
    return found


def measure(home):
    found = weeks(home)[BACKTEST_MIN:]
    held = [w for w in found if w[5]]
    inside = [abs(w[3] - w[1]) <= w[2] for w in held]
    error = np.mean([abs(w[3] - w[1]) for w in held])
    always = np.mean([abs(w[3] - w[4]) for w in held])
    every = [abs(w[3] - w[1]) <= w[2] for w in found]
    return [
        row("weeks estimated", len(found), "", f"{len(held)} of them with calibration that held"),
        row("realised AUC inside, calibration held", 100 * float(np.mean(inside)), "%"),
        row("realised AUC inside, all weeks", 100 * float(np.mean(every)), "%"),
        row("mean half-width", float(np.mean([w[2] for w in held])), "AUC"),
        row("mean error", float(error), "AUC", f"of always answering the reference's AUC {always:.4f}"),
    ]


if __name__ == "__main__":
    for week in weeks(sys.argv[1]):
        start, value, half, realised, always, held = week
        said = f"estimate {value:.3f} +- {half:.3f}, realised {realised:.3f}, reference {always:.3f}"
        print(f"{start:%m-%d} {said} {'held' if held else 'calibration broken'}")
    for line in measure(sys.argv[1]):
        print(f"  {line['what']:<48} {line['value']:>8}  {line['unit']:<5} {line['note']}")
