"""A column in another unit is known by its quantiles; seasons, growth and chance are not taken for one."""

import numpy as np
import pytest

from hanok.compute.units import unit_change, unit_of_pairs

Q = (0.05, 0.25, 0.5, 0.75, 0.95)
MADE = {
    "temperature": lambda r, n: r.normal(12, 9, n),
    "age": lambda r, n: r.integers(18, 80, n),
    "weight": lambda r, n: r.normal(75, 12, n),
    "share": lambda r, n: r.beta(2, 5, n),
    "amount": lambda r, n: r.lognormal(4, 0.8, n),
}


def said(column, change, *, seed, rows=300):
    r = np.random.default_rng(seed)
    usual, now = MADE[column](r, 600), change(MADE[column](r, rows))
    return unit_change(tuple(np.quantile(usual, Q)), tuple(np.quantile(now, Q)), rows)


@pytest.mark.parametrize("column", list(MADE))
@pytest.mark.parametrize("factor", [10, 1000, 0.01])
def test_another_power_of_ten_is_seen(column, factor):
    assert all(said(column, lambda x: x * factor, seed=s) for s in range(10))


@pytest.mark.parametrize("column", ["temperature", "weight"])
def test_fahrenheit_is_seen_and_named(column):
    assert all("Fahrenheit" in said(column, lambda x: x * 1.8 + 32, seed=s) for s in range(10))


@pytest.mark.parametrize("column", list(MADE))
@pytest.mark.parametrize(("by", "plus"), [(1, 0), (1.3, 0), (0.8, 0), (1, 0.5), (1, 1), (2, 0)])
def test_the_same_or_moved_by_a_season_or_growth_is_no_other_unit(column, by, plus):
    spread = float(np.std(MADE[column](np.random.default_rng(0), 2000)))
    found = [bool(said(column, lambda x: x * by + plus * spread, seed=s)) for s in range(20)]
    assert sum(found) <= (2 if by == 2 or plus else 0)


def year_of(seed, *, days, first=0):
    """Six sites' temperatures of a year like many: which day is warmest, how far seasons lie apart, how much it
    changes."""
    r = np.random.default_rng(seed)
    middle, apart, noise = r.uniform(2, 22), r.uniform(3, 17), r.uniform(1, 4)
    at = np.repeat(np.arange(first, first + days), 6)
    return middle - apart * np.cos((at - 15) / 365 * 2 * np.pi) + r.normal(0, noise, len(at))


@pytest.mark.parametrize("seed", range(10))
def test_a_month_in_fahrenheit_is_seen_in_every_season_and_no_season_is_another_unit(seed):
    def said_of(usual, now, days):
        return unit_change(tuple(np.quantile(usual, Q)), tuple(np.quantile(now, Q)), len(now), days=days)

    usual = year_of(seed, days=365)
    for month in range(12):
        now = year_of(seed, days=30, first=365 + 30 * month)
        assert not said_of(usual, now, 364)
        assert "Fahrenheit" in said_of(usual, now * 1.8 + 32, 364) or np.median(now * 1.8 + 32) < np.quantile(
            usual, 0.99
        )
    for start in range(0, 360, 60):
        half = year_of(seed, days=180, first=start)
        for month in range(12):
            assert not said_of(half, year_of(seed, days=30, first=30 * month), 179)


def test_few_rows_and_constants_say_nothing():
    usual = (0.0, 1.0, 2.0, 3.0, 4.0)
    assert not unit_change(usual, tuple(10 * u for u in usual), 5)
    assert not unit_change(usual, (7.0,) * 5, 500) and not unit_change((3.0,) * 5, usual, 500)


def test_a_column_that_is_mostly_zero_is_judged_by_what_is_not():
    rain = (0.0, 0.0, 0.0, 2.8, 15.0)
    assert not unit_change(rain, (0.0, 0.0, 0.0, 0.0, 0.25), 31)  # a dry month
    assert not unit_change((0.0, 0.0, 0.0, 0.0, 15.0), (0.0, 0.0, 0.0, 0.0, 0.25), 31)  # one number fits any factor
    assert unit_change(rain, tuple(q / 10 for q in rain), 31)


@pytest.mark.parametrize("seed", range(10))
def test_labels_in_another_unit_than_the_answers_are_seen_row_by_row(seed):
    r = np.random.default_rng(seed)
    truth = r.normal(20, 5, 30)
    answered = truth + r.normal(0, 3, 30)
    assert "Fahrenheit" in unit_of_pairs(answered, truth * 1.8 + 32, 3)
    assert "1/1000" in unit_of_pairs(answered, truth / 1000, 3) and "60 times" in unit_of_pairs(answered, truth * 60, 3)
    worse = (truth, r.permutation(truth), truth * 1.5, truth + 15, np.where(r.random(30) < 0.1, 1e6, truth))
    assert not any(unit_of_pairs(answered, came, 3) for came in (*worse, np.full(30, 7.0), r.normal(0, 1e4, 30)))
