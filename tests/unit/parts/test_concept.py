"""Concept drift on the stream of labelled errors: found when it lasts, silent when days are merely bad."""

from datetime import UTC, datetime

import numpy as np

from hanok.core.performance import CalibrationHeld, EstimateCheck, WindowEstimate
from hanok.parts.monitoring.concept import changes, latest_change

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def checked_days(values, *, reliable=True):
    def check(value):
        return EstimateCheck(NOW, 100, {}, {"log_loss": value}, True, CalibrationHeld())

    names = [f"2026-{1 + i // 28:02d}-{1 + i % 28:02d}" for i in range(len(values))]
    return [
        WindowEstimate(name, name, NOW, 100, "auc", {}, "day", checked=check(value), reliable=reliable)
        for name, value in zip(names, values, strict=True)
    ]


def test_a_year_without_change_alarms_seldom():
    rng = np.random.default_rng(1)
    assert np.mean([len(changes(rng.normal(0, 0.05, 365))) for _ in range(100)]) < 0.4


def test_a_loss_that_has_risen_is_found_within_two_weeks():
    rng = np.random.default_rng(2)
    delays = []
    for _ in range(60):
        values = rng.normal(0, 0.05, 120)
        values[90:] += 0.1
        found = [i for i in changes(values) if i >= 90]
        delays.append(found[0] - 89 if found else 99)
    assert np.mean(np.array(delays) <= 14) > 0.9


def test_one_very_bad_day_is_not_a_new_concept():
    values = np.random.default_rng(3).normal(0, 0.05, 100)
    values[80] = 5.0
    assert changes(values) == []


def test_the_change_says_since_when_and_is_over_when_the_loss_is_back():
    rng = np.random.default_rng(4)
    values = rng.normal(0, 0.05, 100)
    values[70:] += 0.15
    during = latest_change(checked_days(values[:85]), "binary")
    assert during is not None and during.excess > 0.1 and "2026-03-1" <= during.since <= "2026-03-17"
    assert latest_change(checked_days(np.r_[values[:85], rng.normal(0, 0.02, 10)]), "binary") is None
    assert latest_change(checked_days(values[:85]), "binary", after=during.day) is None


def test_days_without_a_trusted_estimate_do_not_count():
    doubtful = checked_days(np.full(60, 9.0), reliable=False)
    assert latest_change(doubtful, "binary") is None
