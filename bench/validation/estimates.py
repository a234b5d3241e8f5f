"""python -m bench.validation.estimates: how often the truth lies in the 95 % interval of an estimate without labels.

Synthetic covariate shift: two informative features and one of noise move between reference and window while P(y | x)
stays; the model is a logistic regression that is wrong on purpose (it misses a square), so its scores need calibration.
"""

from __future__ import annotations

import time

import numpy as np

from bench.tools import row
from hanok.compute.estimation import ClassReference, cross_check, estimate_classes, estimate_loss
from hanok.compute.metrics import auc
from hanok.compute.score_counts import counted, estimates, fit_calibration, rates

TRIALS = 300


def truth(x):
    return 1 / (1 + np.exp(-(0.9 * x[:, 0] - 0.7 * x[:, 1] + 0.25 * x[:, 0] ** 2 - 0.6)))


def scores(x):
    return 1 / (1 + np.exp(-(1.6 * x[:, 0] - 1.1 * x[:, 1] - 0.3)))  # overconfident, and without the square


def drawn(rng, n, shift, spread):
    return rng.normal(size=(n, 3)) * spread + np.array([shift, -shift / 2, 0.3])


def classes(weighted, trials=TRIALS, reference_rows=20_000, rows=2_000):
    inside, widths, errors = 0, [], []
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(reference_rows, 3))
        y = (rng.random(len(x)) < truth(x)).astype(float)
        now = drawn(rng, rows, rng.uniform(-0.6, 0.6), rng.uniform(0.8, 1.2))
        label = (rng.random(rows) < truth(now)).astype(float)
        made = estimate_classes(
            ClassReference(scores(x), y, x if weighted else None),
            scores(now),
            features=now if weighted else None,
            seed=seed,
        )[0]
        realised = auc(label, scores(now))
        inside += cross_check(made, realised).inside
        widths.append((made.high - made.low) / 2)
        errors.append(abs(made.value - realised))
    return inside / trials, float(np.mean(widths)), float(np.mean(errors))


def from_counts(trials=TRIALS, days=28, rows=2_000):
    """The daily estimate of a deployed model: 28 days of counts before, a window that has shifted after them."""
    inside, widths = 0, []
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        before = []
        for age in range(1, days + 1):
            x = rng.normal(size=(900, 3))
            before.append((float(age), counted(scores(x), (rng.random(900) < truth(x)).astype(float))))
        now = drawn(rng, rows, rng.uniform(-0.6, 0.6), rng.uniform(0.8, 1.2))
        label = (rng.random(rows) < truth(now)).astype(float)
        made = estimates(rates(fit_calibration(before)), counted(scores(now), label).rows, seed=seed)[0]
        inside += cross_check(made, auc(label, scores(now))).inside
        widths.append((made.high - made.low) / 2)
    return inside / trials, float(np.mean(widths))


def losses(trials=TRIALS, reference_rows=5_000, rows=1_000):
    inside = 0
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        x, now = rng.normal(size=(reference_rows, 3)), drawn(rng, rows, rng.uniform(-0.6, 0.6), rng.uniform(0.8, 1.2))
        model = lambda z: 2 * z[:, 0]  # noqa: E731
        actual = lambda z: 2 * z[:, 0] + z[:, 1] * 0.5 + rng.normal(size=len(z)) * np.exp(0.3 * z[:, 0])  # noqa: E731
        made = estimate_loss(x, actual(x), model(x), now, model(now), seed=seed, refits=10)
        inside += cross_check(made, float(np.abs(actual(now) - model(now)).mean())).inside
    return inside / trials


def measure(trials=TRIALS):
    rows = []
    for weighted in (False, True):
        started = time.process_time()
        share, width, error = classes(weighted, trials)
        spent = (
            f"half-width {width:.3f}, mean error {error:.4f}, {(time.process_time() - started) / trials:.2f} CPU s each"
        )
        name = "importance-weighted" if weighted else "plain"
        rows.append(row(f"realised AUC in the 95 % interval, {name}", 100 * share, "%", spent))
    share, width = from_counts(trials)
    rows.append(row("realised AUC in the interval of daily counts", 100 * share, "%", f"half-width {width:.3f}"))
    rows.append(row("realised MAE in the 95 % interval (direct loss)", 100 * losses(trials), "%"))
    return rows


if __name__ == "__main__":
    for line in measure():
        print(f"  {line['what']:<62} {line['value']:>8}  {line['unit']:<8} {line['note']}", flush=True)
