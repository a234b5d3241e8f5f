"""Failed logins, with a clock that the test moves."""

import pytest

from hanok.core.errors import Throttled
from hanok.server.attempts import FREE_OF_ADDRESS, FREE_OF_USER, WAIT_MAX_S, Attempts


class Seconds:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def seconds():
    return Seconds()


def fail(attempts, times, address="10.0.0.1", user="ann"):
    for _ in range(times):
        attempts.tell(address, user, False)


def test_each_failure_after_the_free_ones_doubles_the_wait_up_to_a_bound(seconds):
    attempts = Attempts(seconds)
    fail(attempts, FREE_OF_USER)
    for wait in (1, 2, 4, 8):
        with pytest.raises(Throttled):
            attempts.check("10.0.0.1", "ann")
        seconds.now += wait + 0.001
        attempts.check("10.0.0.1", "ann")
        fail(attempts, 1)
    fail(attempts, 15)
    seconds.now += WAIT_MAX_S + 1
    attempts.check("10.0.0.1", "ann")


def test_a_user_is_not_kept_out_by_failures_from_another_address(seconds):
    attempts = Attempts(seconds)
    fail(attempts, 20, address="10.0.0.9")
    attempts.check("10.0.0.1", "ann")


def test_an_address_that_tries_many_users_is_slowed_down_for_all(seconds):
    attempts = Attempts(seconds)
    for i in range(FREE_OF_ADDRESS + 1):
        fail(attempts, 1, user=f"user{i}")
    with pytest.raises(Throttled):
        attempts.check("10.0.0.1", "somebody-new")
    attempts.check("10.0.0.2", "somebody-new")


def test_success_forgets_the_failures_of_that_user(seconds):
    attempts = Attempts(seconds)
    fail(attempts, FREE_OF_USER)
    attempts.tell("10.0.0.1", "ann", True)
    attempts.check("10.0.0.1", "ann")
