"""A six-week replay that is killed ten times ends with the summary of one that was not."""

import json
import random
import signal
import subprocess
import sys
import time

import pytest

KILLS = 10


def _demo(home, *, weeks=6):
    return [sys.executable, "-m", "hanok", "demo", "--weeks", str(weeks), "--headless", "--json", "--home", str(home)]


@pytest.mark.soak
def test_a_replay_killed_ten_times_ends_as_one_that_was_not(tmp_path):
    pytest.importorskip("lightgbm")
    started = time.monotonic()
    whole = subprocess.run(_demo(tmp_path / "whole"), capture_output=True, text=True, check=True)
    length = time.monotonic() - started
    rng = random.Random(20130101)
    moments = []
    while len(moments) < KILLS:
        process = subprocess.Popen(_demo(tmp_path / "killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=rng.uniform(0.06, 0.12) * length)
            break  # it came to its end
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            moments.append(process.returncode)
    assert moments == [-signal.SIGKILL] * KILLS, "the replay ended before it could be killed ten times"
    again = subprocess.run(_demo(tmp_path / "killed"), capture_output=True, text=True, check=True)
    assert json.loads(again.stdout) == json.loads(whole.stdout)
