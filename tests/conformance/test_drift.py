"""Two-sample measures against reference values (HANOK_DRIFT_CASES)."""

import json

import pytest

from hanok.compute import two_sample as t
from tests.conformance.material import path_of

PATH = path_of("HANOK_DRIFT_CASES", "drift_cases.json")
CASES = json.loads(PATH.read_text()) if PATH else {"numeric": {}, "categorical": {}}
if PATH is None:
    print("SKIPPED LOUDLY: drift_cases.json is missing; set HANOK_DRIFT_CASES to a file of this form")  # noqa: T201

NUMERIC = {
    "ks_stat": lambda a, b: t.kolmogorov_smirnov(a, b).statistic,
    "ks_p_asymp": lambda a, b: t.kolmogorov_smirnov(a, b, method="asymptotic").p_value,
    "ks_p_exact": lambda a, b: t.kolmogorov_smirnov(a, b, method="exact").p_value,
    "wasserstein": t.wasserstein,
    "wasserstein_over_ref_std": t.wasserstein_in_deviations,
    "psi_deciles": t.psi_deciles,
    "energy_distance": t.energy_distance,
    "cramer_von_mises": lambda a, b: t.cramer_von_mises(a, b).statistic,
    "mannwhitney_p": lambda a, b: t.mann_whitney(a, b).p_value,
    "welch_t_p": lambda a, b: t.welch(a, b).p_value,
    "mmd2_rbf": t.mmd2_rbf,
    "auc_1d": t.separation_auc,
}
CATEGORICAL = {
    "chi2": lambda a, b: t.chi_square(a, b).statistic,
    "chi2_p": lambda a, b: t.chi_square(a, b).p_value,
    "g_stat": lambda a, b: t.g_test(a, b).statistic,
    "l_infinity": t.l_infinity,
    "tvd": t.total_variation,
    "js_distance_base2": t.js_distance_base2,
    "js_divergence_base2": t.js_divergence_base2,
    "hellinger": t.hellinger,
    "psi_floor_1e-4": t.psi_counts,
}


@pytest.mark.parametrize("name", CASES["numeric"])
def test_numeric_measures_equal_the_references(name):
    case = CASES["numeric"][name]
    for measure, wanted in case["expect"].items():
        assert NUMERIC[measure](case["ref"], case["cur"]) == pytest.approx(wanted, abs=1e-6, rel=1e-6), measure


@pytest.mark.parametrize("name", CASES["categorical"])
def test_categorical_measures_equal_the_references(name):
    case = CASES["categorical"][name]
    cells = sorted(case["ref"].keys() | case["cur"].keys())
    sides = [[case[side].get(cell, 0) for cell in cells] for side in ("ref", "cur")]
    for measure, wanted in case["expect"].items():
        assert CATEGORICAL[measure](*sides) == pytest.approx(wanted, abs=1e-6, rel=1e-6), measure


@pytest.mark.skipif("multiple_testing" not in CASES, reason="the file has no part on multiple testing")
def test_corrections_for_many_tests_equal_the_references():
    case = CASES["multiple_testing"]
    p, alpha = case["p"], case["alpha"]
    adjusted = t.benjamini_hochberg(p)
    assert adjusted == pytest.approx(case["bh_adjusted"])
    assert [i for i, q in enumerate(adjusted) if q <= alpha] == case["benjamini_hochberg"]
    assert t.holm(p, alpha) == case["holm"] and t.bonferroni(p, alpha) == case["bonferroni"]
    assert [i for i, x in enumerate(p) if x < alpha] == case["none"]
