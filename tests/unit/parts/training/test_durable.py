"""Durable steps: done once, by one worker, under the same ids, and never for ever."""

import threading
from datetime import timedelta

import pytest

from hanok.core.clock import ReplayClock, SystemClock
from hanok.core.errors import Conflict, LeaseLost, TrainingDied, Unavailable
from hanok.parts.training import durable
from hanok.parts.training.durable import Durable
from hanok.stores.sql import SqlMetadata
from tests.unit.parts.training.rig import START

SHORT = timedelta(milliseconds=150)


@pytest.fixture
def store(tmp_path):
    return SqlMetadata.at(tmp_path / "home.db")


def worker(store, *, exclusive=False, lease=SHORT):
    return Durable(metadata=store, clock=ReplayClock(START), exclusive=exclusive, lease=lease)


def test_a_step_longer_than_its_lease_is_not_taken_over(store):
    mine, other = worker(store), worker(store)
    workflow = mine.start("train", "a", {})

    def long(steps):
        until = SystemClock().now() + 4 * SHORT
        while SystemClock().now() < until:
            with pytest.raises(Conflict, match="worked on"):
                other.run(workflow, lambda steps: {})
            assert other.abandoned("train") == []
            threading.Event().wait(0.05)
        return steps("step", lambda: {"by": "mine"})

    assert mine.run(workflow, long) == {"by": "mine"}


def test_who_lost_the_lease_records_nothing_more(store):
    mine, other = worker(store, lease=timedelta(hours=1)), worker(store, exclusive=True)
    workflow, done = mine.start("train", "a", {}), []

    def work(steps):
        steps("first", lambda: {"n": 1})
        other.run(workflow, lambda theirs: theirs("second", lambda: {"by": "other"}))
        steps("second", lambda: done.append("never") or {})
        return {}

    with pytest.raises(LeaseLost):
        mine.run(workflow, work)
    assert done == []
    assert other.list("train")[0].result == {"by": "other"}


def test_ids_of_what_a_step_makes_are_the_same_when_it_runs_again(store):
    workflow = worker(store).start("train", "a", {})
    again = worker(store).start("train", "a", {})
    assert again.made_id("run") == workflow.made_id("run") != workflow.made_id("gate")
    made = workflow.made_id("run")
    assert len(made) == 32 and made[12] == "7" and made[16] == "8" and made[:12] == workflow.id[:12]


def test_ctrl_c_ends_a_workflow(store):
    mine = worker(store)
    workflow = mine.start("train", "a", {})

    def interrupted(steps):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mine.run(workflow, interrupted)
    assert mine.unfinished("train") == []
    assert mine.list("train")[0].state == "cancelled"


def test_what_this_process_works_on_is_not_abandoned(store):
    mine = worker(store, exclusive=True)
    workflow = mine.start("train", "a", {})
    assert mine.abandoned("train") == []  # begun by another thread a moment ago
    assert [w.id for w in worker(store, exclusive=True).abandoned("train")] == [workflow.id]


class Leaving:
    """A store that goes away for so many calls."""

    def __init__(self, inner):
        self.inner, self.left = inner, 0

    def read(self, work):
        return self._called(self.inner.read, work)

    def write(self, work):
        return self._called(self.inner.write, work)

    def _called(self, call, work):
        if self.left > 0:
            self.left -= 1
            raise Unavailable("the database restarts")
        return call(work)


@pytest.fixture
def leaving(store, monkeypatch):
    monkeypatch.setattr(durable, "PAUSE_S", 0.001)
    return Leaving(store)


def test_a_moment_without_the_store_costs_no_work_that_is_done(leaving):
    mine = worker(leaving, exclusive=True, lease=timedelta(hours=1))
    done = []

    def work(steps):
        for name in "ab":
            leaving.left = 3  # when it is asked whether to go on
            steps(name, lambda name=name: done.append(name) or setattr(leaving, "left", 3) or {})
        leaving.left = 3
        return {"done": done}

    assert mine.run(mine.start("train", "m", {}), work) == {"done": ["a", "b"]}


@pytest.mark.parametrize("error", [TrainingDied("signal 9"), Unavailable("the database restarts")])
def test_what_ended_without_the_store_is_taken_up_by_the_same_process_and_what_died_is_not_begun_again(
    leaving, monkeypatch, error
):
    monkeypatch.setattr(durable, "MOMENT_S", 0.0)
    mine, begun = worker(leaving, exclusive=True, lease=timedelta(hours=1)), []

    def work(steps):
        begun.append(steps)
        leaving.left = 10 if len(begun) == 1 else 0
        raise error

    with pytest.raises(type(error)):
        mine.run(mine.start("train", "m", {}), work)
    leaving.left = 0
    (left,) = mine.abandoned("train")
    with pytest.raises((Conflict, Unavailable)):
        mine.run(left, work)
    assert len(begun) == (1 if isinstance(error, TrainingDied) else 2)
    (ended,) = mine.list("train")
    assert (ended.state, ended.result["code"]) == ("failed", error.code)
    assert mine.abandoned("train") == []
