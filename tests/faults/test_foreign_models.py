"""Models that run as they were logged: nothing of them runs before it is approved, and nothing but their own requests
ends with them."""

import shlex
import sys
import threading
import time
from pathlib import Path

import pyarrow as pa
import pytest

from hanok.core.errors import MissingExtra, ScoringFailed, Unavailable, Unsafe
from hanok.core.foreign import Approval
from hanok.core.serving import Arm, Column, Signature
from hanok.engine.executors.foreign import ForeignModels, content_hash
from hanok.parts.serving.apart import decide_apart
from hanok.parts.serving.packages import Loaded

INPUTS = (Column("a", "FP64"), Column("t", "BYTES"))
LOADER = """
import os, time
class Model:
    def predict(self, frame):
        first = float(frame["a"][0])
        if first == 666: os._exit(7)
        if first == 777: __import__("ctypes").string_at(0)
        if first == 888: time.sleep(60)
        if first == 999: raise ValueError("no 999")
        if first == 555: return [1.0]
        if first == 333: os.fork()
        if first == 222: return [7.5 for _ in frame["a"]]
        if first == 111: return [1j for _ in frame["a"]]
        if first == 444: return ["yes" if a > 400 else "no" for a in frame["a"]]
        return [a * 2 + len(t or "") for a, t in zip(frame["a"], frame["t"])]
def load_model(folder):
    open(os.path.join(folder, "ran"), "w").close()
    return Model()
"""
PANDAS = """
class Series(list):
    def __init__(self, values, dtype): super().__init__(values)
class DataFrame(dict):
    def __len__(self): return len(next(iter(self.values())))
"""


@pytest.fixture
def python(tmp_path):
    """An interpreter with a library that loads models as MLflow does: this one, where a stand-in is installed."""
    libraries = tmp_path / "libraries"
    (libraries / "mlflow").mkdir(parents=True)
    (libraries / "mlflow" / "__init__.py").touch()
    (libraries / "mlflow" / "pyfunc.py").write_text(LOADER)
    (libraries / "pandas.py").write_text(PANDAS)
    script = tmp_path / "python"
    script.write_text(
        f'#!/bin/sh\nshift\nPYTHONPATH={shlex.quote(str(libraries))} exec {shlex.quote(sys.executable)} "$@"\n'
    )
    script.chmod(0o755)
    return str(script)


FILES = {"MLmodel": "d1", "code/model.pkl": "d2"}


@pytest.fixture
def models(tmp_path, python):
    known = {}
    made = ForeignModels(tmp_path / "models", known.get)
    made.approve = lambda python=python, files=FILES: known.__setitem__(
        content_hash(files), Approval("m", 1, "ann", None, python)
    )
    yield made
    made.close()


def opened(models, files=FILES, task="regression", classes=()):
    return models.open(Signature(INPUTS, task, classes), files, lambda name: name.encode())


def score(runtime, *values):
    return runtime.score(runtime.encode({"a": list(values), "t": ["hey"] * len(values)})).tolist()


def test_nothing_runs_that_was_not_approved_and_another_byte_is_another_model(models, tmp_path):
    with pytest.raises(Unsafe, match=content_hash(FILES)):
        opened(models)
    models.approve()
    with pytest.raises(Unsafe):
        opened(models, FILES | {"MLmodel": "changed"})
    opened(models)
    assert not list(Path(tmp_path / "models").rglob("ran")), "it starts with the first row"


def test_a_model_that_ends_its_process_ends_that_request_alone(models, monkeypatch):
    models.approve()
    runtime = opened(models)
    assert score(runtime, 1.5, 2.0) == [6.0, 7.0]
    for value, error, said in (
        (666, Unavailable, "exit code 7 over 2 rows"),
        (777, Unavailable, "SIGSEGV"),
        (888, Unavailable, "had not answered"),
        (999, ScoringFailed, "no 999"),
        (555, ScoringFailed, "1 answers to 2 rows"),
    ):
        with monkeypatch.context() as hurried, pytest.raises(error, match=said):
            if value == 888:  # it never answers
                hurried.setattr(runtime._model.process._called, "_answer_s", 0.5)
            score(runtime, float(value), 1.0)
        if value in (666, 888):
            assert score(runtime, 3.0) == [9.0], "the next request starts it again"


def test_labels_are_the_classes_that_were_named(models):
    models.approve()
    assert score(opened(models, task="binary", classes=("no", "yes")), 444.0, 1.0) == [1.0, 0.0]
    with pytest.raises(ScoringFailed, match="its classes are maybe"):
        score(opened(models, task="multiclass", classes=("maybe", "never", "yes")), 444.0, 1.0)


def test_what_it_needs_is_named_and_its_process_ends_with_the_server(models, tmp_path, python):
    models.approve(python=sys.executable)
    with pytest.raises(MissingExtra, match="mlflow"):
        score(opened(models), 1.0)
    models.close()
    models.approve()
    runtime = opened(models)
    assert score(runtime, 1.0) == [5.0]
    pid = runtime._model.process._called.pid
    models.close()
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists():
            break
        time.sleep(0.02)
    assert not Path(f"/proc/{pid}").exists() and not (tmp_path / "models").exists()


def test_the_process_outlives_the_thread_that_asked_first_and_another_interpreter_takes_its_place(models, python):
    models.approve()
    runtime = opened(models)
    first = threading.Thread(target=score, args=(runtime, 1.0))
    first.start()
    first.join()
    process = models._running[content_hash(FILES)]._called
    pid = process.pid
    time.sleep(0.1)
    assert score(runtime, 1.0) == [5.0] and process.pid == pid
    models.approve(python="/no/python")
    opened(models)
    with pytest.raises(Unavailable):
        score(runtime, 1.0)


def test_of_many_rows_the_one_that_ends_the_process_is_found_and_the_others_are_answered(models):
    models.approve()
    runtime = opened(models)
    loaded = Loaded("d", Signature(INPUTS, "regression"), runtime, {}, away=True)
    values = [666.0, 2.0, 3.0, 4.0]  # the stand-in looks at the first row that it is given

    def decided():
        return decide_apart(loaded, Arm(1, "primary", 100), pa.table({"a": values, "t": ["hey"] * 4}))

    found = decided()
    assert found.error is None and found.broken_rows.tolist() == [0]
    assert "exit code 7" in str(found.row_errors[0]) and "it is this row" in str(found.row_errors[0])
    assert found.scores[1:].tolist() == [v * 2 + 3 for v in values[1:]]
    alone = decide_apart(loaded, Arm(1, "primary", 100), pa.table({"a": [666.0], "t": ["hey"]})).error
    assert not isinstance(alone, Unavailable) and "it is this row" in str(alone), "a piece of one row goes on too"
    models.approve(python="/no/python")
    opened(models)
    assert isinstance(decided().error, Unavailable), "a process that does not start is no row's fault"


def test_a_model_that_forks_gives_nobody_the_answer_of_another(models):
    """Both processes answer: the second answer is of a request that is over, and is given to nobody."""
    models.approve()
    runtime = opened(models)
    assert score(runtime, 1.0) == [5.0]
    assert score(runtime, 333.0) == [669.0]
    for value in range(2, 8):
        for _ in range(3):
            try:
                assert score(runtime, float(value)) == [value * 2 + 3.0]
                break
            except Unavailable as error:
                assert "another request" in error.message


def test_what_is_no_probability_is_no_answer(models):
    models.approve()
    binary = opened(models, task="binary", classes=("no", "yes"))
    with pytest.raises(ScoringFailed, match=r"7\.5 where a probability lies from 0 to 1"):
        score(binary, 222.0)
    with pytest.raises(ScoringFailed, match="complex numbers"):
        score(binary, 111.0)
    assert score(opened(models), 222.0) == [7.5]
