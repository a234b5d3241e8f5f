"""A replay that is killed ends with the summary of one that was not; and so does the same one from scratch."""

import json
import random
import signal
import subprocess
import sys
import time

import pytest


def _demo(home, weeks):
    length = ["--weeks", str(weeks)] if weeks else []
    return [sys.executable, "-m", "hanok", "demo", *length, "--headless", "--json", "--home", str(home)]


def _whole(home, weeks):
    return json.loads(subprocess.run(_demo(home, weeks), capture_output=True, text=True, check=True).stdout)


def _killed(home, weeks, kills, length):
    """Let the replay run and kill it, `kills` times, at random moments of its `length` in seconds."""
    rng = random.Random(20130101)
    for _ in range(kills):
        process = subprocess.Popen(_demo(home, weeks), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with pytest.raises(subprocess.TimeoutExpired):  # else it came to its end before it could be killed
            process.wait(timeout=rng.uniform(0.6, 1.2) * length / (kills + 1))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL


@pytest.fixture(scope="module")
def year(tmp_path_factory):
    """The summary of a whole year, and the seconds it took."""
    pytest.importorskip("lightgbm")
    started = time.monotonic()
    return _whole(tmp_path_factory.mktemp("year") / "home", None), time.monotonic() - started


@pytest.mark.soak
def test_six_weeks_killed_ten_times_end_as_those_that_were_not(tmp_path):
    pytest.importorskip("lightgbm")
    started = time.monotonic()
    whole = _whole(tmp_path / "whole", 6)
    _killed(tmp_path / "killed", 6, 10, time.monotonic() - started)
    assert _whole(tmp_path / "killed", 6) == whole


@pytest.mark.soak
def test_a_year_killed_three_times_ends_as_one_that_was_not(year, tmp_path):
    _killed(tmp_path / "killed", None, 3, year[1])
    assert _whole(tmp_path / "killed", None) == year[0]


@pytest.mark.soak
def test_the_year_from_scratch_is_the_same_year(year, tmp_path):
    assert _whole(tmp_path / "again", None) == year[0]
