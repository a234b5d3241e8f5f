"""Rollouts and rollbacks: what holds whatever is done, in whatever order, killed anywhere."""

import uuid
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hanok.core.errors import Conflict, ModelNotFound
from hanok.core.training import ROLLBACK, ROLLOUT
from tests.unit.parts.training.rig import DAY, Killed, Rig, alone


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return Rig.at(tmp_path_factory.mktemp("rollouts"))


@pytest.fixture
def rig(tmp_path):
    return Rig.at(tmp_path)


ACTIONS = st.one_of(
    st.tuples(st.just("promote"), st.integers(1, 4), st.booleans()),
    st.tuples(st.just("rollback"), st.none() | st.integers(1, 5)),
    st.tuples(st.just("deploy"), st.integers(1, 4)),
    st.tuples(st.just("wait"), st.sampled_from([0, 1, 2])),
    st.tuples(st.just("fail"), st.just(120)),
    st.tuples(st.just("declare"), st.sampled_from(([5, 25], [25], [50, 100], [])), st.sampled_from(["1d", "0s"])),
    st.tuples(st.just("restart")),
    st.tuples(st.just("kill"), st.integers(0, 12)),
)


def _do(rig, name, action):
    what, *given_ = action
    if what == "promote":
        rig.training.promote(name, given_[0], actor="me", reason="try", force=given_[1])
    elif what == "rollback":
        rig.training.rollback(name, to=given_[0], actor="me", reason="back")
    elif what == "deploy":
        rig.training.deploy(name, given_[0], actor="me", reason="by hand")
    elif what == "wait":
        rig.clock.move_to(rig.clock.now() + given_[0] * DAY)
        rig.training.guard()
    elif what == "fail":
        state = rig.training.rollouts().get(name)
        if state is not None:
            _failures(rig, name, state.challenger, given_[0])
        rig.training.guard()
    elif what == "declare":
        rig.declare(name, canary=given_[0], bake=given_[1])


def _failures(rig, name, version, count):
    from hanok.core.clock import micros
    from hanok.parts.serving.log import Entry

    at = micros(rig.clock.now())
    rig.log.append_many(name, [Entry(at, version, "shadow", None, [], {}, {}, "it broke", 5)] * count)


def _holds(rig, name, named):
    """`named`: versions that a person has named since they were rolled back from."""
    deployment = rig.serving.deployment(name)
    assert [a.mode for a in deployment.arms].count("primary") == 1
    assert sum(a.share for a in deployment.arms) == 100
    state = rig.training.rollouts().get(name)
    versions = {a.version for a in deployment.arms}
    assert versions == ({state.champion, state.challenger} if state else {deployment.primary})
    undone = rig.training._rollouts.undone(name)
    assert not versions & (undone - named), (versions, undone, named)
    aliases = {v.version for v in rig.tracking.registry.versions(name) if "champion" in v.aliases}
    assert aliases == {deployment.primary}


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ACTIONS, min_size=3, max_size=14))
def test_whatever_is_done_one_version_answers_and_it_is_none_that_was_rolled_back_from(home, actions):
    _whatever_is_done(home, actions)


@pytest.mark.soak
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ACTIONS, min_size=3, max_size=30))
def test_whatever_is_done_in_long_histories_one_good_version_answers(home, actions):
    _whatever_is_done(home, actions)


def _whatever_is_done(home, actions):
    rig, name = home.again(), f"m{uuid.uuid4().hex[:8]}"
    rig.declare(name)
    for _ in range(4):
        rig.register(name)
    rig.training.deploy(name, 1, actor="me", reason="first")
    named, dying = {1}, -1
    for action in actions:
        before = rig.training._rollouts.undone(name)
        rig.metadata.left = dying
        try:
            _do(rig, name, action)
        except (Conflict, ModelNotFound):
            pass
        except Killed:
            action = ("restart",)
        rig.metadata.left = dying = -1
        if action[0] == "kill":
            dying = action[1]
        if action[0] == "restart":
            rig = rig.again()
            rig.training.guard()
        fresh = rig.training._rollouts.undone(name) - before
        named = (named | _named(action)) - fresh
        _holds(rig, name, named)
    proofs = ROLLBACK.all(rig.metadata.read(lambda r: r.records.list("rollback", name)))
    asked = [w for w in rig.durable.list("rollback", limit=1000) if w.arguments["model"] == name and w.state == "done"]
    assert len(proofs) == len(asked)
    assert not [w for w in rig.durable.unfinished("rollback") if w.arguments["model"] == name]


@pytest.mark.parametrize("left", range(4))
def test_the_alias_follows_a_deployment_that_was_cut_down_at_any_write(home, left):
    _whatever_is_done(home, [("deploy", 3), ("kill", left), ("deploy", 1)])


def _named(action):
    return {action[1]} if action[0] in ("promote", "deploy", "rollback") and action[1] is not None else set()


def test_a_second_rollback_goes_further_back_and_never_to_the_bad_version(rig):
    rig.declare("m", shadow=None, canary=[], bake="0s")
    for version in (1, 2, 3):
        rig.register("m")
        rig.training.deploy("m", version, actor="me", reason="new")
    assert rig.training.rollback("m", actor="me", reason="worse").to == 2
    assert rig.training.rollback("m", actor="me", reason="worse still").to == 1
    with pytest.raises(Conflict, match="nothing older that was good"):
        rig.training.rollback("m", actor="me", reason="and again")
    assert rig.serving.deployment("m").primary == 1
    assert rig.training.newest("m") == 1
    with pytest.raises(Conflict, match="was rolled back from"):
        rig.training.promote("m", 3, actor="me", reason="it is the newest")
    assert rig.training.promote("m", 3, actor="me", reason="I know", force=True).deployed == 3
    assert rig.training.rollback("m", actor="me", reason="no").to == 1


def test_a_rollback_to_what_is_not_there_or_answers_already_is_refused_and_changes_nothing(rig):
    rig.declare("m")
    rig.register("m")
    with pytest.raises(ModelNotFound, match="not deployed"):
        rig.training.rollback("m", actor="me", reason="x")
    rig.training.deploy("m", 1, actor="me", reason="first")
    generation = rig.serving.deployment("m").generation
    with pytest.raises(ModelNotFound, match="no version 7"):
        rig.training.rollback("m", to=7, actor="me", reason="x")
    with pytest.raises(Conflict, match="answers already"):
        rig.training.rollback("m", to=1, actor="me", reason="x")
    with pytest.raises(Conflict, match="version 1 only"):
        rig.training.rollback("m", actor="me", reason="x")
    assert rig.serving.deployment("m").generation == generation


@pytest.mark.parametrize("days", [0, 1, 2])
def test_a_rollback_during_a_rollout_ends_it_and_keeps_the_champion(rig, days):
    rig.declare("m")
    rig.register("m")
    rig.training.deploy("m", 1, actor="me", reason="first")
    rig.register("m")
    rig.training.promote("m", 2, actor="me", reason="new")
    for _ in range(days):
        rig.clock.move_to(rig.clock.now() + DAY)
        rig.training.guard()
    proof = rig.training.rollback("m", actor="me", reason="no")
    assert (proof.undone, proof.to) == (2, 1)
    assert rig.serving.deployment("m").arms == tuple(alone(1))
    assert rig.training.rollouts() == {}


SIGNATURES = {
    "a new feature": ({"inputs": ("a",)}, {"inputs": ("a", "b")}),
    "a dropped feature": ({"inputs": ("a", "b")}, {"inputs": ("a",)}),
    "other features": ({"inputs": ("a", "b")}, {"inputs": ("b", "c")}),
    "three classes": (
        {"task": "multiclass", "classes": ("x", "y", "z")},
        {"task": "multiclass", "classes": ("x", "y", "z"), "inputs": ("a", "b")},
    ),
    "another number of classes": (
        {"task": "multiclass", "classes": ("x", "y", "z")},
        {"task": "multiclass", "classes": ("x", "y")},
    ),
}


@pytest.mark.parametrize("change", SIGNATURES)
@pytest.mark.parametrize("logged", [True, False])
def test_a_rollback_over_changed_signatures_ends_in_a_proof(rig, change, logged):
    first, second = SIGNATURES[change]
    rig.declare("m")
    rig.register("m", **first)
    rig.register("m", **second)
    rig.training.deploy("m", 1, actor="me", reason="first")
    row = dict.fromkeys(("a", "b", "c"), 0.3)
    if logged:
        for number in range(20):
            rig.answer("m", **row | {"a": float(number)})
        _failures(rig, "m", 1, 3)
    rig.training.deploy("m", 2, actor="me", reason="second")
    rig.answer("m", **row)
    proof = rig.training.rollback("m", actor="me", reason="no")
    kept = ROLLBACK.all(rig.metadata.read(lambda r: r.records.list("rollback", "m")))
    assert kept == [proof]
    if logged:
        assert (proof.golden.rows, proof.golden.bit_equal, proof.golden.source) == (20, True, "log")
    else:
        assert proof.golden.bit_equal is None
        assert "nothing to compare" in proof.golden.why


def test_a_version_that_never_answered_is_proven_by_the_rows_kept_when_it_was_registered(rig):
    import io

    import pyarrow as pa

    from hanok.parts.training.proofs import golden_rows

    rig.declare("m")
    rig.register("m")
    model = rig.packages.load(rig.training.version("m", 1).package)
    content = golden_rows(model, pa.table({"a": [0.1 * i for i in range(200)]}))
    address = rig.training._tools.blobs.put(io.BytesIO(content))[0]
    rig.register("m", golden=address)
    rig.training.deploy("m", 2, actor="me", reason="it never answers")
    rig.training.deploy("m", 1, actor="me", reason="first")
    proof = rig.training.rollback("m", actor="me", reason="no")
    assert (proof.to, proof.golden.rows, proof.golden.source) == (2, 64, "registration")
    assert proof.golden.bit_equal is False  # the kept answers are those of version 1's model, not of version 2's


def test_a_rollback_killed_at_any_write_is_finished_by_the_next_process(tmp_path):
    rig = Rig.at(tmp_path)
    for writes in range(40):
        rig = rig.again()
        name = f"m{writes}"
        rig.declare(name)
        rig.register(name)
        rig.register(name)
        for version in (1, 2):
            rig.training.deploy(name, version, actor="me", reason="new")
        rig.metadata.left = writes
        try:
            rig.training.rollback(name, actor="me", reason="worse")
            assert writes > 4
            break
        except Killed:
            rig = rig.again()
        proofs = ROLLBACK.all(rig.metadata.read(lambda r, name=name: r.records.list("rollback", name)))
        asked = any(w.arguments["model"] == name for w in rig.durable.list("rollback"))
        assert len(proofs) == asked
        assert rig.serving.deployment(name).primary == (1 if asked else 2)
    else:
        raise AssertionError("a rollback has far more writes than it needs")


def test_a_rollout_goes_on_when_its_declaration_changes_midway(rig):
    rig.declare("m", canary=[5, 25, 50])
    rig.register("m")
    rig.training.deploy("m", 1, actor="me", reason="first")
    rig.register("m")
    rig.training.promote("m", 2, actor="me", reason="new")
    shares = []
    for canary in ([5, 25, 50], [60], [10, 60, 80], [], []):
        rig.declare("m", canary=canary)
        rig.clock.move_to(rig.clock.now() + DAY)
        for done in rig.training.guard():
            shares.append(done.share if done.did == "advance" else done.did)
    assert shares == [5, 60, 80, 100, "promote"]


def test_one_models_fault_stops_no_others_rollout_and_is_an_alert(rig):
    for name in ("a", "b", "c"):
        rig.declare(name)
        rig.register(name)
        rig.training.deploy(name, 1, actor="me", reason="first")
        rig.register(name)
        rig.training.promote(name, 2, actor="me", reason="new")
    rig.faults["b"] = OSError("its disk is gone")
    rig.clock.move_to(rig.clock.now() + DAY)
    assert {d.model: d.did for d in rig.training.guard()} == {"a": "advance", "b": "failed", "c": "advance"}
    (alert,) = rig.alerts.list(state="open")
    assert alert.subject == "b" and "its disk is gone" in alert.summary
    rig.faults.clear()
    assert {d.model: d.did for d in rig.training.guard()} == {"b": "advance"}
    assert rig.alerts.list(state="open") == []


def test_errors_of_a_shadow_count_before_they_leave_the_open_segment(rig):
    rig.declare("m")
    rig.register("m")
    rig.training.deploy("m", 1, actor="me", reason="first")
    rig.register("m")
    rig.training.promote("m", 2, actor="me", reason="new")
    _failures(rig, "m", 2, 99)
    assert rig.training.guard() == []
    _failures(rig, "m", 2, 1)
    (done,) = rig.training.guard()
    assert (done.did, done.proof.to, done.proof.undone) == ("rollback", 1, 2)
    assert rig.tables.size("predictions--m") == 0 or done.proof.golden.why


def test_a_look_reads_the_log_again_only_when_an_answer_or_a_label_came_or_became_known(rig):
    rig.declare("m")
    rig.register("m")
    rig.training.deploy("m", 1, actor="me", reason="first")
    rig.register("m")
    rig.training.promote("m", 2, actor="me", reason="new")

    def read():
        before = rig.reads
        assert rig.training.guard() == []
        return rig.reads - before

    hour = timedelta(hours=1)
    assert (read(), read()) == (1, 0)
    rig.clock.move_to(rig.clock.now() + hour)
    assert read() == 0
    for come in (
        lambda: _failures(rig, "m", 2, 3),
        lambda: rig.log.compact(everything=True),
        lambda: rig.labelled.append(("m", 2, "row", 0.5, 1.0, rig.clock.now())),
        lambda: rig.declare("m", rollback_if=["error_rate > 0.2"]),
    ):
        come()
        assert (read(), read()) == (1, 0)
    rig.due.append(rig.clock.now() + hour)
    _failures(rig, "m", 2, 1)
    assert (read(), read()) == (1, 0)
    rig.clock.move_to(rig.clock.now() + hour)
    assert (read(), read()) == (1, 0)


def test_a_deployment_by_hand_ends_the_rollout(rig):
    rig.declare("m")
    for _ in range(3):
        rig.register("m")
    rig.training.deploy("m", 1, actor="me", reason="first")
    rig.training.promote("m", 2, actor="me", reason="new")
    rig.serving.deploy("m", alone(3), actor="somebody", reason="past training")
    assert rig.training.guard() == []
    assert rig.training.rollouts() == {}
    assert rig.serving.deployment("m").primary == 3


def test_what_earlier_versions_wrote_still_opens():
    at = "2026-01-14T00:00:00+00:00"
    body = {
        "champion": 1,
        "challenger": 2,
        "stage": 1,
        "since": at,
        "began": at,
        "actor": "hanok",
        "reason": "log_loss 0.4 against 0.5",
    }
    state = ROLLOUT.open(body)
    assert (state.champion, state.challenger, state.share) == (1, 2, None)
    assert ROLLOUT.open({}) is None
    proof = {
        "model": "returns",
        "from": 2,
        "to": 1,
        "at": at,
        "actor": "me",
        "reason": "it is worse",
        "golden": {"rows": 500, "equal": 500, "bit_equal": True},
    }
    opened = ROLLBACK.open(proof)
    assert (opened.undone, opened.golden.equal) == (2, 500)
    assert ROLLBACK.body(opened)["from"] == 2
    assert ROLLBACK.open(proof | {"golden": {"rows": 0, "bit_equal": None}}).golden.bit_equal is None


def test_a_stage_of_an_earlier_version_goes_on_from_what_is_deployed(rig):
    rig.declare("m", canary=[5, 25])
    rig.register("m")
    rig.training.deploy("m", 1, actor="me", reason="first")
    rig.register("m")
    rig.training.promote("m", 2, actor="me", reason="new")
    now = rig.clock.now()
    old = {"champion": 1, "challenger": 2, "stage": 0, "since": now.isoformat(), "began": now.isoformat()}
    rig.metadata.write(lambda r: r.records.put("rollout", "m", "current", old, now))
    rig.clock.move_to(now + timedelta(days=1))
    assert [d.share for d in rig.training.guard()] == [5]
