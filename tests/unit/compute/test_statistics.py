"""Metrics, drift and statistics against scipy, scikit-learn and computations by hand."""

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats
from scipy.spatial import distance
from sklearn import metrics as reference_metrics

from hanok.compute.drift import bin_counts, compare, reference
from hanok.compute.metrics import evaluate, paired_gain, row_losses
from hanok.compute.statistics import statistics


def test_binary_metrics_equal_scikit_learns():
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 2, 500).astype(float), rng.random(500).round(2)  # rounded: many ties
    got = evaluate("binary", y, p)
    assert got["auc"] == pytest.approx(reference_metrics.roc_auc_score(y, p))
    assert got["log_loss"] == pytest.approx(reference_metrics.log_loss(y, np.clip(p, 1e-15, 1 - 1e-15)))
    assert got["brier"] == pytest.approx(reference_metrics.brier_score_loss(y, p))


def test_multiclass_and_regression_metrics_equal_scikit_learns():
    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, 300).astype(float)
    p = rng.dirichlet([1, 1, 1], 300)
    got = evaluate("multiclass", y, p)
    assert got["log_loss"] == pytest.approx(reference_metrics.log_loss(y, p))
    assert got["accuracy"] == pytest.approx((p.argmax(1) == y).mean())
    a, b = rng.normal(size=200), rng.normal(size=200)
    got = evaluate("regression", a, b)
    assert got["rmse"] == pytest.approx(reference_metrics.root_mean_squared_error(a, b))
    assert got["r2"] == pytest.approx(reference_metrics.r2_score(a, b))


def test_auc_of_one_class_is_not_a_number():
    assert np.isnan(evaluate("binary", np.ones(5), np.ones(5) / 2)["auc"])


def test_the_paired_interval_covers_the_true_gain():
    rng = np.random.default_rng(2)
    covered = 0
    for seed in range(60):
        shared = rng.normal(1, 1, 400)  # what both models find hard
        champion, challenger = shared + rng.normal(0.05, 0.3, 400), shared + rng.normal(0, 0.3, 400)
        gain = paired_gain(champion, challenger, confidence=0.9, seed=seed, draws=300)
        covered += gain.low <= 0.05 <= gain.high
    assert covered >= 48  # 90 % of 60, less three standard deviations


def test_row_losses_average_to_their_metric():
    y, p = np.array([0.0, 1, 1]), np.array([0.2, 0.6, 0.9])
    assert row_losses("binary", "log_loss", y, p).mean() == pytest.approx(evaluate("binary", y, p)["log_loss"])


def test_js_distance_and_chi_square_equal_scipys():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=2000), rng.normal(0.3, 1, 1500)
    ref = reference("x", pa.chunked_array([a]))
    counts = bin_counts(ref, pa.chunked_array([b]))
    got = compare(ref, counts)
    first, second = np.array(ref.counts), counts
    used = (first + second) > 0
    expected = distance.jensenshannon(first / first.sum(), second / second.sum(), base=2)
    assert got.js_distance_base2 == pytest.approx(expected)
    table = stats.chi2_contingency(np.array([first[used], second[used]]), correction=False)
    assert got.p_value == pytest.approx(table.pvalue)


def test_psi_by_hand():
    ref = reference("x", pa.chunked_array([["a"] * 50 + ["b"] * 50]))
    counts = bin_counts(ref, pa.chunked_array([["a"] * 80 + ["b"] * 20]))
    p, q = np.array([50.5, 50.5]) / 101, np.array([80.5, 20.5]) / 101
    assert compare(ref, counts).psi == pytest.approx(float(((q - p) * np.log(q / p)).sum()))


def test_rain_that_is_zero_most_hours_keeps_its_shape():
    """Quantile bins of a zero-inflated column collapse; the mass point gets a bin of its own."""
    rng = np.random.default_rng(4)
    dry = np.where(rng.random(5000) < 0.95, 0.0, rng.exponential(0.1, 5000))
    wet = np.where(rng.random(5000) < 0.80, 0.0, rng.exponential(0.1, 5000))
    ref = reference("rain", pa.chunked_array([dry]))
    assert ref.points == (0.0,) and len(ref.edges) >= 0
    assert compare(ref, bin_counts(ref, pa.chunked_array([wet]))).effect > 0.1
    same = np.where(rng.random(5000) < 0.95, 0.0, rng.exponential(0.1, 5000))
    assert compare(ref, bin_counts(ref, pa.chunked_array([same]))).effect < 0.02


def test_every_value_falls_in_exactly_one_bin():
    rng = np.random.default_rng(5)
    values = np.concatenate([rng.normal(size=100), [np.nan] * 7, [np.inf, -np.inf], np.zeros(40)])
    ref = reference("x", pa.chunked_array([values]))
    assert bin_counts(ref, pa.chunked_array([values])).sum() == len(values)
    texts = pa.chunked_array([["a", "b", None, "new"]])
    assert bin_counts(reference("t", pa.chunked_array([["a", "b", None]])), texts).tolist() == [1, 1, 1, 1]


def test_statistics_of_mixed_columns():
    rows = pa.table(
        {
            "x": [1.0, 2.0, None, float("inf"), 0.0],
            "t": ["a", "b", "a", None, "a"],
            "b": [True, None, False, True, True],
        }
    )
    x, t, b = statistics(rows)
    assert (x.rows, x.nulls, x.non_finite, x.zeros) == (5, 1, 1, 1)
    assert (x.minimum, x.maximum, x.mean) == (0.0, 2.0, 1.0)
    assert (t.type, t.distinct, t.top[0][0]) == ("STRING", 2, "a")
    assert b.presence == 0.8


def test_statistics_of_nothing():
    assert statistics(pa.table({"x": pa.array([], pa.float64())}))[0].presence == 0.0
