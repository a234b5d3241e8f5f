"""Arms are isolated: each decides by its own signature, and what a shadow does changes no reply."""

import io
import threading
from functools import partial

import pyarrow as pa
import pytest

from hanok.core.errors import ScoringFailed, SignatureMismatch, Unavailable
from hanok.core.serving import Arm, Column
from hanok.parts.serving.beside import Answered, score_beside
from hanok.parts.serving.deployments import Deployments
from hanok.parts.serving.shadows import Shadows
from tests.unit.parts.serving.conftest import Waiting, linear

ROW = {"x": [1.0], "y": [2.0]}
SHADOWS = {
    "needs a new feature": linear(["x", "brand_new"]),
    "has fewer features": linear(["y"]),
    "takes text where a number comes": linear([], columns=(Column("x", "BYTES", ("a",)),)),
    "raises": linear(["x", "y"], reads=[0, 7]),
    "is of another task": linear(["x", "y"], task="multiclass", classes=("a", "b", "c")),
    "refuses nulls": linear(["x", "z"], refuses_nulls=True),
}


@pytest.mark.parametrize("shadow", SHADOWS.values(), ids=SHADOWS.keys())
def test_whatever_a_shadow_is_the_reply_is_as_without_it(place, shadow):
    one, two = place.version(linear(["x", "y"])), place.version(shadow)
    place.deploy(one)
    columns = {**ROW, "z": [None]}
    alone = place.serving.predict("m", columns)[0]
    place.deploy(one, shadow=two)
    beside = place.serving.predict("m", columns)[0]
    assert (beside.version, beside.score, beside.scores, beside.label) == (1, alone.score, alone.scores, alone.label)
    rows = [r for r in place.logged() if r["arm"] == "shadow"]
    assert [(r["version"], r["row_id"]) for r in rows] == [(two, beside.prediction_id)]
    answers = place.serving.answers_since("m", place.clock.now()).to_pylist()
    charged = [a for a in answers if a["version"] == two]
    assert [(a["arm"], a["error"] != "") for a in charged] == [("shadow", rows[0]["score"] is None)]


@pytest.mark.parametrize("given", [float("nan"), float("inf")])
def test_a_shadow_without_a_finite_score_is_charged_with_it(place, given):
    class Odd:
        def score(self, matrix):
            return matrix.sum(axis=1) * given

    one, two = place.version(linear(["x", "y"])), place.version(linear(["y", "x"]))
    place.deploy(one, shadow=two)
    place.swap_model(two, Odd())
    assert place.serving.predict("m", ROW)[0].score == 3.0
    shadow = next(r for r in place.logged() if r["arm"] == "shadow")
    assert shadow["error"] == f"the score is {given}"


def test_a_slow_shadow_holds_up_no_reply_and_what_its_queue_cannot_take_is_a_range(place):
    one, two = place.version(linear(["x", "y"])), place.version(linear(["y", "x"]))
    place.deploy(one, shadow=two)
    slow = Waiting()
    place.swap_model(two, slow)
    place.serving._shadows = Shadows(place.log, partial(score_beside, place.packages), rows_max=10)
    first = place.serving.predict("m", ROW)[0].prediction_id
    assert slow.begun.wait(20)
    ids = [place.serving.predict("m", ROW)[0].prediction_id for _ in range(30)]
    slow.go.set()
    assert place.serving._shadows.drain(20)
    shadows = [r for r in place.logged() if r["arm"] == "shadow"]
    scored = {r["row_id"] for r in shadows if not r["error"]}
    gap = next(r for r in shadows if r["error"])
    assert scored == {first, *ids[:10]}
    assert gap["rows"] == 20 and gap["row_id"] == ids[10] and ids[10] in gap["error"] and ids[29] in gap["error"]


def test_a_log_that_cannot_be_written_fails_no_reply_ends_no_shadow_and_loses_no_gap(place, monkeypatch):
    one, two = place.version(linear(["x", "y"])), place.version(linear(["y", "x"]))
    place.deploy(one, shadow=two)
    slow = Waiting()
    place.swap_model(two, slow)
    shadows = place.serving._shadows = Shadows(place.log, partial(score_beside, place.packages), rows_max=1)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("hanok.parts.serving.shadows.GAP_S", 0.05)
        patched.setattr(place.log, "append", full)
        ids = [place.serving.predict("m", ROW)[0].prediction_id]
        assert slow.begun.wait(20)
        ids += [place.serving.predict("m", ROW)[0].prediction_id for _ in range(4)]
        slow.go.set()
        assert shadows.drain(5) and shadows._worker.is_alive()
    ids.append(place.serving.predict("m", ROW)[0].prediction_id)
    logged = [r for r in place.logged() if r["arm"] == "shadow"]
    assert ids[-1] in {r["row_id"] for r in logged if not r["error"]}
    gap = next(r for r in logged if r["error"])
    assert gap["error"].endswith(f"to {ids[4]}") and gap["rows"] + sum(not r["error"] for r in logged) == 6


def test_an_arm_that_ends_the_scoring_process_is_charged_with_its_rows_and_no_other_is(place):
    one, two, three = (place.version(linear(names)) for names in (["x", "y"], ["y"], ["x"]))
    place.serving.deploy("m", [Arm(one, "primary", 100), Arm(two, "shadow"), Arm(three, "shadow")], actor="", reason="")
    tried = []

    def dies_of_two(bulk):
        tried.append([arm.version for arm in bulk.arms])
        if two in tried[-1]:
            raise Unavailable("it ended by SIGSEGV")
        return score_beside(place.packages, bulk)

    place.serving.score_shadows_with(dies_of_two)
    ids = [place.serving.predict("m", ROW)[0].prediction_id]
    place.serving.compact(everything=True)
    ids.append(place.serving.predict("m", ROW)[0].prediction_id)
    logged = place.logged()
    assert tried == [[two, three], [two], [three], [three]]  # then it rests
    found = {v: [(r["row_id"], r["score"], r["error"][:9]) for r in logged if r["version"] == v] for v in (two, three)}
    assert found[two] == [(ids[0], None, "it ended "), (ids[1], None, "not tried")]
    assert found[three] == [(i, 1.0, "") for i in ids]


def test_shadows_that_cannot_be_logged_are_a_range_once_they_can(place, monkeypatch):
    one, two = place.version(linear(["x", "y"])), place.version(linear(["y", "x"]))
    place.deploy(one, shadow=two)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(place.log, "append_encoded", full)
        place.serving._shadows.offer(*shadowed(place, two, ["m-1", "m-2"]))
        assert place.serving._shadows.drain(20)
    gap = next(r for r in place.logged() if r["arm"] == "shadow")
    assert gap["rows"] == 2 and "No space left on device: 2 answers from m-1 to m-2" in gap["error"]


def shadowed(place, version, ids):
    rows = {"x": [1.0] * len(ids), "y": [2.0] * len(ids)}
    snapshot = place.serving._versions.snapshot("m")
    return snapshot, Answered((Arm(version, "shadow"),), rows, {}, {}, 0, ids)


def test_answers_of_several_arms_and_models_in_turn_are_still_scored_in_bulk(place):
    """A canary's share and two models alternate in the queue: each piece holds all that waits of one kind."""
    versions = {m: [place.version(linear(["x", "y"]), m) for _ in range(2)] for m in ("m", "other")}
    pieces, go = [], threading.Event()

    def counted(bulk):
        go.wait(20)
        pieces.append(bulk.count)
        return score_beside(place.packages, bulk)

    place.serving.score_shadows_with(counted)
    for model, (one, two) in versions.items():
        place.deploy(one, canary=two, model=model)
    for n in range(200):
        for model in versions:
            place.serving.predict(model, ROW, request_id=str(n))
    go.set()
    assert sum(r["arm"] == "shadow" for m in versions for r in place.logged(m)) == sum(pieces) == 400
    assert len(pieces) <= 8


def test_requests_of_many_clients_are_shadowed_in_bulk_and_one_bad_row_fails_no_other(place):
    one, two = place.version(linear(["x"])), place.version(linear(["x", "y"], refuses_nulls=True))
    place.deploy(one, shadow=two)
    ids = [place.serving.predict("m", {"x": [float(i)], "y": [None if i == 7 else 1.0]})[0] for i in range(20)]
    shadows = {r["row_id"]: r for r in place.logged() if r["arm"] == "shadow"}
    assert [shadows[a.prediction_id]["score"] for a in ids] == [None if i == 7 else i + 1.0 for i in range(20)]
    assert [i for i, a in enumerate(ids) if shadows[a.prediction_id]["error"]] == [7]


def test_waiting_for_what_was_offered_ends_while_more_is_offered(place):
    one, two = place.version(linear(["x"])), place.version(linear(["x", "y"]))
    place.deploy(one, shadow=two)
    over = threading.Event()

    def ask():
        while not over.is_set():
            place.serving.predict("m", ROW)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            (asked,) = place.serving.predict("m", ROW)
            assert place.serving._shadows.drain(20)
            logged = [e.row_id for _, e in place.log.recent("m", limit=100_000) if e.arm == "shadow"]
            assert asked.prediction_id in logged
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_any_exception_of_the_answering_arm_is_logged_counted_and_said(place):
    place.deploy(place.version(linear(["x", "y"], reads=[0, 7])))
    with pytest.raises(ScoringFailed, match="version 1 failed on this input: IndexError"):
        place.serving.predict("m", {"x": [1, 2], "y": [3, None]})
    answers = place.serving.answers_since("m", place.clock.now()).to_pylist()
    assert [(a["arm"], a["version"], "IndexError" in a["error"]) for a in answers] == [("primary", 1, True)] * 2
    rows = place.logged()
    assert [(r["i__x"], r["i__y"], r["score"]) for r in rows] == [(1, 3, None), (2, None, None)]


def test_a_request_that_fits_no_arm_is_the_callers_fault_and_is_charged_to_nobody(place):
    place.deploy(place.version(linear(["x"])), canary=place.version(linear(["x", "y"])))
    for columns in ({"y": [1.0]}, {"x": ["text"]}, {"x": [[1.0]]}, {"x": [10**400]}, {"x": [1.0, 2.0], "y": [1.0]}):
        with pytest.raises(SignatureMismatch):
            place.serving.predict("m", columns, request_id="c")
    assert place.serving.answers_since("m", place.clock.now()).num_rows == 0


def test_what_only_the_primary_can_answer_is_answered_by_it_and_charged_to_the_canary(place):
    one, two = place.version(linear(["x"])), place.version(linear(["x", "brand_new"]))
    place.deploy(one, canary=two, share=100)
    assert place.serving.predict("m", {"x": [4.0]})[0].score == 4.0
    rows = sorted(place.logged(), key=lambda r: r["version"])
    assert [(r["version"], r["error"] != "") for r in rows] == [(one, False), (two, True)]


def test_an_arm_that_cannot_be_loaded_stops_neither_the_others_nor_the_start(place):
    one, two = place.version(linear(["x"])), place.version(linear(["x", "y"]))
    place.deploy(one, shadow=two)
    package = place.metadata.read(lambda r: r.registry.versions("m", two))[0].package
    place.blobs.delete(package)
    place.packages._loaded.clear()
    place.serving.close()
    place.open()
    assert place.serving.predict("m", {"x": [4.0]})[0].score == 4.0
    assert [r["error"] != "" for r in place.logged() if r["arm"] == "shadow"] == [True]
    place.metadata.write(lambda r: None)
    place.serving._versions._live["m"] = type(place.serving._versions.snapshot("m"))(
        place.serving.deployment("m"), {}, {one: "its file is damaged"}
    )
    with pytest.raises(Unavailable, match="its file is damaged"):
        place.serving.predict("m", {"x": [4.0]})


def test_the_share_of_a_canary_that_cannot_be_loaded_is_answered_by_the_primary_until_it_can(place, monkeypatch):
    one, two = place.version(linear(["x"])), place.version(linear(["x", "y"]))
    place.deploy(one, canary=two)
    package = place.metadata.read(lambda r: r.registry.versions("m", two))[0].package
    with place.blobs.open(package) as stream:
        kept = stream.read()
    place.blobs.delete(package)
    place.packages._loaded.clear()
    place.serving.close()
    place.open()
    columns = {"x": [4.0], "y": [1.0]}
    answers = [place.serving.predict("m", columns, request_id=str(i))[0] for i in range(40)]
    assert {a.version for a in answers} == {one}
    charged = [r for r in place.logged() if r["version"] == two]
    assert len(charged) == 40 and all(r["error"] for r in charged)
    with monkeypatch.context() as patched:
        patched.setattr(place.packages, "load", None)  # no request reads the package
        with pytest.raises(Unavailable, match="cannot answer"):
            place.serving.model("m", two)
    assert place.blobs.put(io.BytesIO(kept))[0] == package
    place.serving.refresh()
    answers = [place.serving.predict("m", columns, request_id=str(i))[0] for i in range(40)]
    assert {a.version for a in answers} == {one, two}


def test_a_second_server_on_the_store_follows_what_is_deployed(place):
    one, two = place.version(linear(["x"])), place.version(linear(["x", "y"]))
    place.deploy(one)
    other = Deployments(metadata=place.metadata, packages=place.packages, clock=place.clock)
    place.deploy(two)
    assert other.snapshot("m").deployment.primary == one
    other.refresh()
    assert other.snapshot("m").deployment.primary == two and two in other.snapshot("m").models
    place.deploy(one)
    other.refresh()
    assert other.snapshot("m").deployment.primary == one


def test_a_request_uses_one_snapshot_whatever_is_deployed_meanwhile(place):
    one, two = place.version(linear(["x"])), place.version(linear(["y"]))
    place.deploy(one)
    routed = place.serving.route("m")
    place.deploy(two)
    assert place.serving.answer(routed, ROW)[0].version == one
    assert place.serving.predict("m", ROW)[0].version == two


def test_answers_while_versions_are_swapped_are_each_of_one_version(place):
    one, two = place.version(linear(["x"])), place.version(linear(["y"]))
    place.deploy(one)
    stop, wrong, seen = threading.Event(), [], set()

    def ask():
        while not stop.is_set():
            answer = place.serving.predict("m", ROW)[0]
            seen.add(answer.version)
            if answer.score != {one: 1.0, two: 2.0}[answer.version]:
                wrong.append(answer)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for version in (two, one) * 8:
        place.deploy(version)
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong and seen == {one, two}


def test_in_a_batch_a_failing_arm_gives_errors_and_the_others_go_on(place):
    one, two = place.version(linear(["x"])), place.version(linear(["x"], reads=[7]))
    place.deploy(one, canary=two)
    rows = pa.table({"key__row": [f"r{i}" for i in range(40)], "x": [float(i) for i in range(40)]})
    ids = place.serving.predict_batch("m", rows, key="b")
    found = [place.serving.find(i) for i in ids]
    answered = {f.version for f in found}
    assert answered == {one, two} and list(ids.failed) == [two] and "IndexError" in ids.failed[two]
    for row, prediction in enumerate(found):
        assert prediction.features == {"x": float(row)}
        assert (prediction.score is None) == (prediction.version == two) == (prediction.error != "")
    assert place.serving.predict_batch("m", rows, key="b") == ids


def test_each_version_may_have_features_of_its_own(place):
    one, two = place.version(linear(["x"])), place.version(linear(["x", "y"]))
    place.deploy(one, shadow=two)
    place.serving.answer(place.serving.route("m"), {"x": [1.0]}, by_version={two: {"x": [10.0], "y": [5.0]}})
    assert {r["version"]: r["score"] for r in place.logged()} == {one: 1.0, two: 15.0}


def test_an_entity_names_one_row(place):
    place.deploy(place.version(linear(["x"])))
    with pytest.raises(SignatureMismatch, match="one row"):
        place.serving.predict("m", {"x": [1.0, 2.0]}, entity={"row": "r1"})


def test_batches_of_one_instant_have_ids_of_their_own(place):
    place.deploy(place.version(linear(["x"])))
    ids = [place.serving.predict_batch("m", pa.table({"x": [1.0]}), key=f"k{i}")[0] for i in range(50)]
    assert len(set(ids)) == 50


def test_arms_of_a_deployment_are_all_scored_in_a_batch(place):
    one, two = place.version(linear(["x"])), place.version(linear(["x", "x2"], task="binary", classes=("0", "1")))
    place.serving.deploy("m", [Arm(one, "primary", 100), Arm(two, "shadow")], actor="me", reason="")
    place.serving.predict_batch("m", pa.table({"x": [1.0, 2.0], "x2": [0.0, None]}), key="b")
    assert sorted((r["version"], r["arm"]) for r in place.logged()) == [
        (one, "primary"), (one, "primary"), (two, "shadow"), (two, "shadow"),
    ]  # fmt: skip
