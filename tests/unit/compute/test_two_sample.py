"""Tests and tails against scipy, over sizes, ties and tails; detectors against values of river 0.26.1."""

import math

import numpy as np
import pytest
from scipy import special, stats

from hanok.compute import tails
from hanok.compute import two_sample as t
from hanok.compute.change_points import Adwin, Ddm, Kswin, PageHinkley

RNG = np.random.default_rng(11)
PAIRS = {
    "equal sizes": (RNG.normal(size=80), RNG.normal(0.3, size=80)),
    "unequal sizes": (RNG.exponential(size=37), RNG.exponential(1.4, size=211)),
    "ties": (RNG.integers(0, 6, 90), RNG.integers(1, 7, 75)),
    "large": (RNG.normal(size=3000), RNG.normal(0.05, 1.1, size=2500)),
    "far apart": (RNG.normal(size=40), RNG.normal(5, size=60)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_numeric_tests_equal_scipys(name):
    a, b = PAIRS[name]
    ks = t.kolmogorov_smirnov(a, b, method="exact")
    wanted = stats.ks_2samp(a, b, method="exact")
    assert (ks.statistic, ks.p_value) == pytest.approx((wanted.statistic, wanted.pvalue), rel=1e-6)
    asymptotic = t.kolmogorov_smirnov(a, b, method="asymptotic").p_value
    assert asymptotic == pytest.approx(stats.ks_2samp(a, b, method="asymp").pvalue, abs=1e-6)
    cvm, wanted = t.cramer_von_mises(a, b), stats.cramervonmises_2samp(a, b, method="asymptotic")
    assert (cvm.statistic, cvm.p_value) == pytest.approx((wanted.statistic, wanted.pvalue), abs=1e-7)
    assert t.mann_whitney(a, b).p_value == pytest.approx(stats.mannwhitneyu(a, b, method="asymptotic").pvalue, rel=1e-9)
    welch = stats.ttest_ind(a, b, equal_var=False)
    assert t.welch(a, b).p_value == pytest.approx(welch.pvalue, rel=1e-9)
    assert t.wasserstein(a, b) == pytest.approx(stats.wasserstein_distance(a, b))
    assert t.energy_distance(a, b) == pytest.approx(stats.energy_distance(a, b))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PAIRS)
def test_anderson_darling_equals_scipys(name):
    a, b = PAIRS[name]
    got, wanted = t.anderson_darling(a, b), stats.anderson_ksamp([a, b])
    assert (got.statistic, got.p_value) == pytest.approx((wanted.statistic, wanted.pvalue), rel=1e-9)


def test_counts_tests_equal_scipys():
    a, b = [40, 25, 0, 35], [20, 30, 9, 60]
    for ours, kind in ((t.chi_square, "pearson"), (t.g_test, "log-likelihood")):
        wanted = stats.chi2_contingency([a, b], correction=False, lambda_=kind)
        assert ours(a, b) == t.Test(pytest.approx(wanted.statistic), pytest.approx(wanted.pvalue))


def test_tails_equal_scipys():
    for freedom in (1, 2, 7, 30, 200):
        for x in (0.0, 0.01, 1.0, freedom / 2, freedom, 2 * freedom, 10 * freedom + 50):
            assert tails.chi_square_tail(x, freedom) == pytest.approx(stats.chi2.sf(x, freedom), rel=1e-9, abs=1e-14)
    for z in (-3.0, 0.0, 1.96, 8.0):
        assert tails.normal_tail(z) == pytest.approx(stats.norm.sf(z), rel=1e-12)
    for p in (1e-9, 0.025, 0.5, 0.975):
        assert tails.normal_quantile(p) == pytest.approx(stats.norm.ppf(p), abs=1e-7)
    for x, freedom in ((0.1, 1.5), (2.2, 7.3), (9.0, 40.0), (300.0, 2.0)):
        assert tails.student_tail(x, freedom) == pytest.approx(2 * stats.t.sf(x, freedom), rel=1e-9)
    for a, b, x in ((0.5, 0.5, 0.2), (20, 3, 0.9), (3, 200, 0.01)):
        assert tails.incomplete_beta(a, b, x) == pytest.approx(special.betainc(a, b, x), rel=1e-9)
    for n in (1, 5, 60, 400, 5000, 30_000):
        for x in (0.4, 0.9, 1.4, 2.0, 3.5):
            d = x / math.sqrt(n)
            assert tails.kolmogorov_tail(d, n) == pytest.approx(stats.kstwo.sf(d, n), abs=2e-6)
    for x in (0.3, 0.8, 1.3, 2.5):
        assert tails.kolmogorov_limit_tail(x) == pytest.approx(special.kolmogorov(x), rel=1e-9)


def test_maximum_mean_discrepancy_by_hand():
    # three points: k(0, 1) = e^-1/2, k(0, 3) = e^-9/2, k(1, 3) = e^-2; first sample {0, 1}, second {3, 3}
    k01, k03, k13 = math.exp(-0.5), math.exp(-4.5), math.exp(-2)
    wanted = (2 * k01) / 2 + (2 * 1) / 2 - 2 * (2 * k03 + 2 * k13) / 4
    assert t.mmd2_rbf([0, 1], [3, 3], sigma2=1.0) == pytest.approx(wanted)


def test_an_empty_sample_is_an_error_and_not_a_distance():
    with pytest.raises(ValueError, match="empty"):
        t.wasserstein([], [1.0])
    with pytest.raises(ValueError, match="empty"):
        t.js_distance_base2([0, 0], [1, 2])


def streams():
    rng = np.random.default_rng(12345)
    parts = [rng.normal(0.3, 0.1, 1000), rng.normal(0.6, 0.1, 1000), rng.normal(0.45, 0.2, 1000)]
    errors = [rng.random(1500) < 0.1, rng.random(1500) < 0.3, rng.random(1000) < 0.05]
    return np.concatenate(parts).round(4), np.concatenate(errors).astype(float), rng.normal(0, 1, 3000).round(4)


def found(detector, values):
    return [i for i, x in enumerate(values) if detector.update(float(x))]


def test_detectors_find_changes_where_river_does():
    means, errors, nothing = streams()
    assert found(Adwin(), means) == [1055, 2079]
    assert found(Adwin(), errors) == [1631, 3103]
    assert found(Adwin(), nothing) == []
    assert found(PageHinkley(), means) == [1172, 2470]
    assert found(PageHinkley(), errors) == [1725, 3066]
    assert found(PageHinkley(), nothing) == [1726, 2472]
    assert found(Ddm(), errors) == [1628]


def test_ks_windowing_finds_each_change_within_a_window():
    means, _, _ = streams()
    changes = found(Kswin(alpha=1e-3), means)
    assert any(1000 <= i < 1070 for i in changes) and any(2000 <= i < 2070 for i in changes)
    assert len(changes) <= 6 and found(Kswin(alpha=1e-3), means) == changes


def test_adwin_keeps_mean_and_variance_of_its_window():
    values = RNG.normal(5, 2, 500)
    window = Adwin()
    for x in values:
        window.update(float(x))
    kept = values[-window.width :]
    assert window.mean == pytest.approx(kept.mean()) and window.variance == pytest.approx(kept.var())


def test_p_values_of_kolmogorov_and_of_ranks_equal_scipys_at_every_size():
    for n in (3, 20, 139, 141, 158, 1000, 30_000, 200_000):
        for z in np.linspace(0.3, 3.5, 25):
            d = z / np.sqrt(n)
            if 1 / (2 * n) <= d <= 1:
                assert tails.kolmogorov_tail(d, n) == pytest.approx(stats.kstwo.sf(d, n), abs=1e-10)
    rng = np.random.default_rng(4)
    for n, m in ((1, 5), (3, 9), (8, 60), (40, 7), (9, 9)):
        a, b = rng.normal(size=n), rng.normal(0.3, 1, m)
        assert t.mann_whitney(a, b).p_value == pytest.approx(stats.mannwhitneyu(a, b).pvalue, rel=1e-9)
