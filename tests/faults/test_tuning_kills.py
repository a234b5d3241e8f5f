"""A study whose workers and server are killed: none lost, none run twice, none at work for ever."""

import pytest

pytest.importorskip("optuna")

from tests.faults.tuning import killed_study


def test_a_study_survives_kill_9_of_a_worker_and_of_the_server(tmp_path):
    kills_both = 4
    assert killed_study(tmp_path / "s", trials=20, workers=2, kills=1, seed=kills_both)["complete"] == 20


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(20))
def test_a_thousand_parallel_trials_survive_kill_9_of_workers_and_server(tmp_path, seed):
    assert killed_study(tmp_path / "s", trials=1000, workers=6, kills=40, seed=seed)["complete"] == 1000
