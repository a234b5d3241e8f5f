"""Whatever a user's training function leaves behind, its end is seen at once. Real processes."""

import os
import signal
from datetime import timedelta

import pyarrow as pa
import pytest

from hanok.compute.frames import PREDICT_AT, Frame
from hanok.core.errors import Suspended, TrainingDied, TrainingFailed
from hanok.engine import own_code
from hanok.engine.executors.process import Limits, Processes
from hanok.engine.project import load_module
from tests.faults.test_children import gone

PROJECT = """
import os, signal, subprocess, time
from pathlib import Path
HERE = Path(__file__).parent

def train(frame):
    what = HERE.joinpath("what").read_text()
    print("this time:", what, flush=True)
    if what == "leave a helper and ask":
        left = subprocess.Popen(["sleep", "60"], start_new_session=True)
        HERE.joinpath("helper").write_text(str(left.pid))
        input("go on? ")
    if what == "fork and die":
        if not os.fork():
            HERE.joinpath("forked").write_text(str(os.getpid()))
            time.sleep(60)
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def fitting(tmp_path):
    """A fitter, and a way to fit what the project file says this time."""
    (tmp_path / "project.py").write_text(PROJECT)
    (own,) = [c for c in own_code.codes([load_module(tmp_path / "project.py")]) if c.name.endswith("train")]
    table = pa.table({"x": [0.5, 1.5] * 5, "y": [0, 1] * 5, PREDICT_AT: range(10)})
    frame = Frame.of(table, ("x",), "binary", "y")
    executor = Processes(tmp_path / "work", Limits(timedelta(seconds=40), 0), lambda: tmp_path / "project.py")

    def fit(fitter, what):
        (tmp_path / "what").write_text(what)
        return fitter.own(frame, own)

    yield executor, fit
    executor.close()


def test_the_end_of_a_training_is_seen_whatever_it_leaves_and_a_store_that_is_away_ends_none(fitting, tmp_path):
    executor, fit = fitting
    asked = []

    def away():
        asked.append("whether to go on")
        raise ConnectionError("the database restarts")

    with executor.fitting("m", away) as fitter:
        with pytest.raises(TrainingFailed, match="EOFError"):  # nobody is there to answer
            fit(fitter, "leave a helper and ask")
        with pytest.raises(TrainingDied, match=r"SIGKILL.*this time: fork and die"):
            fit(fitter, "fork and die")
    helper, forked = (int((tmp_path / name).read_text()) for name in ("helper", "forked"))
    os.kill(helper, signal.SIGKILL)  # it lives: a daemon in a session of its own is nobody's business
    assert gone([forked]) == []
    assert asked
    assert list((tmp_path / "work").iterdir()) == []


def test_what_begins_while_all_is_ended_is_suspended(fitting):
    executor, fit = fitting
    with executor.fitting("m", lambda: None) as fitter:
        executor.close()
        with pytest.raises(Suspended):
            fit(fitter, "anything")
    with pytest.raises(Suspended), executor.fitting("m", lambda: None):
        pass
