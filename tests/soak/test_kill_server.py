"""Two hundred servers killed under eight writing clients."""

import random

import pytest

from tests.faults.writers import killed_round


@pytest.mark.soak
def test_two_hundred_killed_servers_lose_nothing_that_was_acknowledged(tmp_path):
    rng = random.Random(200)
    for seed in range(200):
        killed_round(tmp_path, seconds=rng.uniform(0.05, 0.8), seed=seed)


@pytest.mark.soak
def test_two_hundred_pairs_of_servers_on_postgresql_lose_nothing_that_was_acknowledged(tmp_path, postgres):
    rng, url = random.Random(201), postgres.database()
    for seed in range(200):
        killed_round(tmp_path / "a", tmp_path / "b", seconds=rng.uniform(0.05, 0.8), seed=seed, metadata_url=url)
