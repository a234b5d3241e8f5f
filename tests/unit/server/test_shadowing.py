"""A process of its own scores shadows: the same entries as here, and whatever ends it is said and no more."""

import ctypes
import os
import signal
from dataclasses import replace

import pytest

from hanok.core.errors import Unavailable
from hanok.core.serving import Arm
from hanok.parts.serving.beside import Answered, Bulk, score_beside
from hanok.parts.serving.entries import decode
from hanok.parts.serving.packages import Packages
from hanok.parts.serving.reading import entries_of
from hanok.server.shadowing import ShadowProcess
from hanok.stores.blobs import LocalBlobs
from tests.unit.parts.serving.conftest import linear

PIDFD_GETFD = 438
ROWS = {"x": [1.0, 10**400, None, "\ud800"], "y": [2, 3.5, 1e308, True], "more": [[1], {}, "z", b"bytes"]}


@pytest.fixture
def packages(tmp_path):
    return Packages(LocalBlobs(tmp_path / "blobs"))


@pytest.fixture
def process(packages, tmp_path):
    process = ShadowProcess(tmp_path / "blobs", tmp_path / "log")
    yield process
    process.close()


def bulk(packages, *models):
    """All models beside two answers; a model that is a text is a version that could not be loaded for this reason."""
    arms = tuple(Arm(version, "shadow") for version in range(2, 2 + len(models)))
    of = dict(zip((arm.version for arm in arms), models, strict=True))
    answers = tuple(
        Answered(arms, ROWS, {2: {"x": [5.0] * 4, "y": [1.0] * 4}}, {"who": "ann"}, 7, [f"m-{n}-{i}" for i in range(4)])
        for n in range(2)
    )
    known = {v: packages.save(m) for v, m in of.items() if not isinstance(m, str)}
    return Bulk("m", arms, known, {v: m for v, m in of.items() if isinstance(m, str)}, answers)


def logged(process, asked, folder):
    """What the process adds to its own segments."""
    assert process(asked) == []
    process.finish()
    found = []
    for path in sorted((folder / "log" / "m").glob("*.seg")):
        found += [entry for _, entry in entries_of(path)[0]]
        path.unlink()
    return [replace_time(entry) for entry in found]


def comparable(payloads):
    return [replace_time(decode(p)) for p in payloads]


def replace_time(entry):
    entry.microseconds = 0
    return entry


def test_another_process_logs_the_same_entries_and_each_end_of_it_is_said(packages, process, tmp_path):
    asked = bulk(packages, linear(["x", "y"]), linear(["x", "y"]), linear(["new"]), linear(["x"], reads=[9]), "damaged")
    asked = replace(asked, packages={**asked.packages, 4: "0" * 64})
    here = comparable(score_beside(packages, asked))
    assert logged(process, asked, tmp_path) == here and len(here) == 5 * 8
    assert [e.score for e in here if e.version == 2] == [6.0] * 8
    assert all(e.error for e in here if e.version > 3)

    child = process.process._process
    theirs = ctypes.CDLL(None).syscall(PIDFD_GETFD, os.pidfd_open(child.pid), int(child.args[3]), 0)
    assert theirs > 0  # as what it has forked holds its end of the connection
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(Unavailable, match="ended by SIGKILL over 8 rows"):
        process(asked)
    os.close(theirs)
    assert logged(process, asked, tmp_path) == here  # by a new one

    process.process._answer_s = 0.0
    with pytest.raises(Unavailable, match="had not answered after 0 s over 8 rows"):
        process(asked)
    process.process._answer_s = 60.0
    assert logged(process, asked, tmp_path) == here


def test_finishing_waits_for_no_bulk_and_for_no_process_that_hangs(packages, process, tmp_path, monkeypatch):
    monkeypatch.setattr("hanok.server.shadowing.FINISH_S", 0.2)
    asked = bulk(packages, linear(["x", "y"]))
    process(asked)
    with process.process._lock:
        process.finish()  # it scores: nothing is closed, and nothing is ended
    assert process.process.pid is not None and process(asked) == []
    os.kill(process.process.pid, signal.SIGSTOP)
    process.finish()
    assert process.process.pid is None
    assert len(logged(process, asked, tmp_path)) == 3 * 8
