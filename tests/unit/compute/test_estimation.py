"""Estimates without labels: calibrated, covering, and caught when the concept drifts."""

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from hanok.compute.estimation import (
    ClassReference,
    calibrated,
    cross_check,
    estimate_classes,
    estimate_loss,
    fit_loss,
    importance_weights,
)
from hanok.compute.estimation import _isotonic as isotonic
from hanok.compute.metrics import auc, evaluate
from hanok.core.errors import Invalid

RNG = np.random.default_rng(8)


def world(n, shift=0.0, turned=False):
    x = RNG.normal(shift, 1, n)
    p = 1 / (1 + np.exp(-(1.2 * x - 0.4)))
    y = (RNG.random(n) < (1 - p if turned else p)).astype(float)
    return x, 1 / (1 + np.exp(-2.0 * x)), y  # scores are overconfident


def test_calibrated_scores_mean_what_they_say():
    _, score, y = world(20_000)
    p = calibrated(score, y)(score)
    for low, high in ((0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1)):
        inside = (p >= low) & (p < high)
        assert p[inside].mean() == pytest.approx(y[inside].mean(), abs=0.02)


def test_isotonic_calibration_equals_scikit_learns_where_bins_are_values():
    score = RNG.integers(0, 50, 2000) / 50
    y = (RNG.random(2000) < score).astype(float)
    wanted = IsotonicRegression().fit(score, y).predict(np.unique(score))
    fitted = isotonic(score, y, np.ones(2000))(np.unique(score))
    assert fitted[1:-1] == pytest.approx(wanted[1:-1], abs=0.02)


def test_auc_and_losses_are_estimated_under_covariate_shift():
    _, score, y = world(10_000)
    _, now, truth = world(3000, shift=0.5)
    realised = evaluate("binary", truth, now)
    for made in estimate_classes(ClassReference(score, y), now, ("auc", "accuracy", "log_loss", "brier")):
        assert made.low < realised[made.metric] < made.high, made
        assert made.value == pytest.approx(realised[made.metric], abs=0.03)
        assert "no concept drift" in made.assumption


def test_concept_drift_is_missed_by_the_estimate_and_flagged_by_the_labels():
    _, score, y = world(10_000)
    _, now, truth = world(3000, turned=True)
    made = estimate_classes(ClassReference(score, y), now)[0]
    outcome = cross_check(made, auc(truth, now))
    assert not outcome.inside and "has changed" in outcome.reason


def test_many_classes():
    x = RNG.normal(size=(8000, 3))
    p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    y = (RNG.random(8000)[:, None] > np.cumsum(p, axis=1)[:, :-1]).sum(axis=1).astype(float)
    score = np.exp(1.5 * x) / np.exp(1.5 * x).sum(axis=1, keepdims=True)
    reference = ClassReference(score[:6000], y[:6000])
    realised = evaluate("multiclass", y[6000:], score[6000:])
    for made in estimate_classes(reference, score[6000:], ("accuracy", "log_loss")):
        assert made.low <= realised[made.metric] <= made.high


def test_weights_make_the_reference_look_like_the_window():
    before, now = RNG.normal(size=(4000, 2)), RNG.normal([0.7, 0], 1, size=(4000, 2))
    weights = importance_weights(before, now)
    assert (weights * before[:, 0]).mean() == pytest.approx(0.7, abs=0.12)
    assert weights.mean() == pytest.approx(1.0)


def test_the_loss_of_a_regression_is_estimated_where_noise_grows():
    x = RNG.normal(size=(6000, 2))
    y = x[:, 0] + RNG.normal(size=6000) * np.exp(0.5 * x[:, 1])
    now = RNG.normal([0, 0.8], 1, size=(2000, 2))
    truth = now[:, 0] + RNG.normal(size=2000) * np.exp(0.5 * now[:, 1])
    for metric in ("mae", "rmse"):
        made = estimate_loss(x, y, x[:, 0], now, now[:, 0], metric)
        assert made.low < evaluate("regression", truth, now[:, 0])[metric] < made.high
    assert np.isfinite(fit_loss(np.array([[np.nan], [1.0]] * 40), np.ones(80))(np.array([[np.nan]]))).all()


def test_too_few_rows_and_one_class_are_refused():
    with pytest.raises(Invalid, match="50 rows"):
        estimate_classes(ClassReference(np.ones(10), np.ones(10)), np.ones(100))
    with pytest.raises(Invalid, match="no estimate of"):
        estimate_classes(ClassReference(RNG.random(100), (RNG.random(100) < 0.5) * 1.0), RNG.random(100), ("f1",))
