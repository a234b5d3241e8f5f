"""Two that move a deployment at once, in one process or in two: one wins, the other looks again."""

import random
import threading
from datetime import timedelta

import pytest

from hanok.core.errors import Conflict, StaleGeneration
from hanok.core.training import ROLLBACK
from tests.unit.parts.training.rig import DAY, Rig, alone
from tests.unit.parts.training.test_rollouts import _failures


@pytest.fixture
def rig(tmp_path):
    """Version 2 beside version 1; a third one is registered."""
    rig = Rig.at(tmp_path)
    rig.declare("m", canary=[5, 25, 50], hold="1s")
    for _ in range(3):
        rig.register("m")
    rig.training.deploy("m", 1, actor="me", reason="first")
    rig.training.promote("m", 2, actor="me", reason="new")
    rig.clock.move_to(rig.clock.now() + 2 * DAY)
    return rig


def holds(rig, primary):
    deployment = rig.serving.deployment("m")
    assert (deployment.primary, len(deployment.arms)) == (primary, 1)
    assert rig.training.rollouts() == {}
    assert {v.version for v in rig.tracking.registry.versions("m") if "champion" in v.aliases} == {primary}


def during(rig, work):
    """Let `work` be done while the guard looks."""
    look = rig.since

    def since(*asked):
        found = look(*asked)
        rig.since = look
        work()
        return found

    rig.since = since


@pytest.mark.parametrize("broken", [False, True], ids=["that would go on", "that would roll back"])
@pytest.mark.parametrize("where", ["this process", "another process"])
def test_a_persons_rollback_during_a_look_takes_effect_at_once_and_the_look_is_void(rig, broken, where):
    other = rig.again() if where == "another process" else rig
    if broken:
        _failures(rig, "m", 2, 200)
    seen = []

    def by_hand():
        other.training.rollback("m", actor="me", reason="I saw it")
        seen.append(other.serving.deployment("m").primary)

    during(rig, by_hand)
    assert rig.training.guard() == []
    assert seen == [1]
    proofs = ROLLBACK.all(rig.metadata.read(lambda r: r.records.list("rollback", "m")))
    assert [(p.undone, p.to, p.actor) for p in proofs] == [(2, 1, "me")]
    holds(rig, 1)
    assert rig.training.guard() == []


def test_a_promotion_of_another_version_during_a_look_is_not_undone_by_it(rig):
    _failures(rig, "m", 2, 200)
    during(rig, lambda: rig.training.promote("m", 3, actor="me", reason="this one", force=True))
    assert rig.training.guard() == []
    state = rig.training.rollouts()["m"]
    assert (state.champion, state.challenger) == (1, 3)
    assert {a.version for a in rig.serving.deployment("m").arms} == {1, 3}


def test_a_deployment_on_a_generation_that_is_over_is_refused_and_writes_nothing(rig):
    before = rig.serving.deployment("m")
    wrote = []
    with pytest.raises(StaleGeneration, match="look again"):
        rig.serving.deploy("m", alone(3), actor="me", reason="late", expected=before.generation - 1, along=wrote.append)
    assert rig.serving.deployment("m") == before
    assert wrote == []


@pytest.mark.parametrize("seed", range(3))
def test_of_a_rollback_and_a_rollout_that_moves_at_the_same_time_the_rollback_wins(rig, seed):
    other, start = rig.again(), threading.Barrier(2)
    pause = random.Random(seed).uniform(0, 0.05)
    failed = []

    def go_on():
        start.wait()
        for _ in range(6):
            try:
                other.training.guard()
            except Conflict as error:
                failed.append(error)

    thread = threading.Thread(target=go_on)
    thread.start()
    start.wait()
    threading.Event().wait(pause)
    proof = rig.training.rollback("m", to=1, actor="me", reason="back")
    thread.join()
    assert failed == []
    assert (proof.undone, proof.to) == (2, 1)
    other.training.guard()
    holds(rig, 1)


def test_a_rollback_that_a_guard_began_on_what_is_deployed_no_more_is_not_done_after_a_restart(rig):
    """Killed between the start of the guard's rollback and its deployment; then a person deployed something else."""
    from tests.unit.parts.training.rig import Killed

    _failures(rig, "m", 2, 200)
    rig.metadata.left = 2
    with pytest.raises(Killed):
        rig.training.guard()
    rig.metadata.left = -1
    rig.training.deploy("m", 3, actor="me", reason="this one")
    after = rig.again()
    holds(after, 3)
    assert after.durable.unfinished("rollback") == []
    assert after.clock.now() - rig.clock.now() == timedelta()
