"""Multivariate drift: found where it is, not found where it is not, and where it lies."""

import numpy as np
import pytest

from hanok.compute.multivariate import shift
from hanok.core.errors import Invalid

RNG = np.random.default_rng(4)


def test_a_shifted_column_is_found_and_named():
    before, after = RNG.normal(size=(300, 6)), RNG.normal(size=(250, 6))
    after[:, 2] += 0.6
    made = shift(before, after)
    assert made.p_value <= 0.01 and made.auc > 0.6
    assert made.columns(list("abcdef"))[0][0] == "c"


def test_a_correlation_that_turns_is_found_though_no_column_moves():
    before = RNG.multivariate_normal([0, 0, 0], [[1, 0.8, 0], [0.8, 1, 0], [0, 0, 1]], 400)
    after = RNG.multivariate_normal([0, 0, 0], [[1, -0.8, 0], [-0.8, 1, 0], [0, 0, 1]], 400)
    assert shift(before, after).p_value <= 0.01


def test_rows_of_a_new_cluster_are_ranked_first():
    before, after = RNG.normal(size=(400, 8)), RNG.normal(size=(400, 8))
    after[:30] += 3.0
    made = shift(before, after)
    assert made.p_value <= 0.01
    assert sum(i < 30 for i in made.rows(30)) >= 27


def test_false_alarms_stay_near_their_level():
    p = [shift(RNG.normal(size=(60, 5)), RNG.normal(size=(60, 5)), permutations=60, seed=i).p_value for i in range(120)]
    assert 0.005 <= np.mean(np.array(p) <= 0.05) <= 0.12  # 5 % +- 3.5 standard errors


def test_the_same_seed_gives_the_same_answer():
    before, after = RNG.normal(size=(2000, 4)), RNG.normal(size=(1800, 4))
    assert shift(before, after, seed=3).p_value == shift(before, after, seed=3).p_value


def test_columns_that_say_nothing_do_no_harm():
    before, after = RNG.normal(size=(100, 4)), RNG.normal(size=(100, 4))
    before[:, 1] = after[:, 1] = 7.0
    before[::5, 2] = np.nan
    assert 0 < shift(before, after).p_value <= 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (np.ones((5, 2)), np.ones((50, 2))),
        (np.ones((50, 2)), np.ones((50, 3))),
        (np.ones(50), np.ones(50)),
        (np.full((50, 2), np.inf), np.ones((50, 2))),
    ],
)
def test_what_cannot_be_compared_is_refused(before, after):
    with pytest.raises(Invalid):
        shift(before, after)
