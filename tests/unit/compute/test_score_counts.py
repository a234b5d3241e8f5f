"""Estimates from counts of scores: what they say before labels, and what the check says once labels are in."""

import numpy as np
import pytest

from hanok.compute.metrics import evaluate
from hanok.compute.score_counts import (
    SLOPE,
    ScoreCounts,
    check_calibration,
    counted,
    estimates,
    fit_calibration,
    merged,
    rates,
    realised,
)

RNG = np.random.default_rng(5)


def day(n=900, *, slope=1.0, level=0.0, odd=0.0):
    """Scores that are overconfident; `odd` is how far days differ in level from each other."""
    x = RNG.normal(-1, 1, n)
    p = 1 / (1 + np.exp(-(slope * x + level + odd * RNG.normal())))
    return 1 / (1 + np.exp(-1.6 * x)), (RNG.random(n) < p).astype(float)


def days(count, **how):
    return [counted(*day(**how)) for _ in range(count)]


def fitted(before):
    return rates(fit_calibration([(float(i + 1), d) for i, d in enumerate(before)]))


def test_metrics_of_counts_are_those_of_rows():
    score, label = day(5000)
    wanted = evaluate("binary", label, score)
    for name, value in realised(counted(score, label)).items():
        assert value == pytest.approx(wanted[name], abs=2e-3), name


def test_counts_merge_and_survive_being_written_down():
    (s, y), (t, z) = day(400), day(300)
    whole, parts = counted(np.r_[s, t], np.r_[y, z]), merged([counted(s, y), counted(t, z)])
    again = ScoreCounts.from_dict(parts.as_dict())
    for name in ("rows", "labelled", "positive"):
        assert np.array_equal(getattr(whole, name), getattr(again, name))
    assert ScoreCounts.from_dict(merged([]).as_dict()).rows.sum() == 0


def test_rows_without_a_label_count_as_rows_only():
    found = counted(np.array([0.2, 0.8, np.nan, 0.0]), np.array([np.nan, 1.0, 1.0, 0.0]))
    assert (found.rows.sum(), found.labelled.sum(), found.positive.sum()) == (3, 2, 1)
    assert found.known == pytest.approx(2 / 3)


def test_the_truth_lies_inside_where_calibration_held():
    inside = 0
    for _ in range(60):
        week = days(7)
        rate, truth = fitted(days(28)), realised(merged(week))
        assert check_calibration(rate, week).held
        for e in estimates(rate, merged(week).rows):
            inside += e.low <= truth[e.metric] <= e.high
            assert e.value == pytest.approx(truth[e.metric], abs=0.03)
    assert inside / (60 * 4) >= 0.95


def test_the_interval_is_as_wide_as_the_tolerance():
    rows, rate = merged(days(7)).rows, fitted(days(28))
    widths = [
        e.high - e.low for t in (0.0, SLOPE, 0.3) for e in estimates(rate, rows, tolerance=t) if e.metric == "auc"
    ]
    assert widths[0] < widths[1] < widths[2]


def test_a_turned_relation_does_not_hold_and_the_reason_names_it():
    rate = fitted(days(28))
    weaker, level = check_calibration(rate, days(7, slope=0.5)), check_calibration(rate, days(7, level=0.6))
    assert not weaker.held and "less than they did" in weaker.reason and weaker.slope == pytest.approx(0.5, abs=0.1)
    assert not level.held and "more than the scores say" in level.reason and level.gap > 0.05
    assert weaker.p_value < 0.01 and level.p_value < 0.01


def test_odd_days_are_no_new_relation():
    """Under days that differ in level alone the test by days keeps its 5 %; one by rows would nearly always reject."""
    rejected = [check_calibration(fitted(days(60, odd=0.5)), days(7, odd=0.5)).p_value < 0.05 for _ in range(150)]
    assert np.mean(rejected) < 0.12


def test_small_windows_are_given_what_chance_gives():
    rate = fitted(days(28))
    assert np.mean([check_calibration(rate, [counted(*day(40))]).held for _ in range(100)]) > 0.7
    assert check_calibration(rate, days(3)).p_value == 1.0
