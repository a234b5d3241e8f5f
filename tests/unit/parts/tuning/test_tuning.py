"""Ask, report, tell: a trial ends in one state with its reason, whoever works on it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

pytest.importorskip("optuna")

from hanok.core.clock import SystemClock
from hanok.core.errors import Invalid, StudyExists, TrialEnded
from hanok.core.tuning import COMPLETE, FAILED, PRUNED, RUNNING, WAITING, Algorithm, Limits
from hanok.parts.tuning.samplers import NothingLeft
from hanok.parts.tuning.service import StudyOver, Tuning
from hanok.stores.sql import SqlMetadata

SPACE = {"x": {"_type": "uniform", "_value": [-5, 5]}, "n": {"_type": "choice", "_value": [1, 2, 3]}}
NESTED = {
    "layer": {
        "_type": "choice",
        "_value": [
            {"_name": "Empty"},
            {
                "_name": "Conv",
                "kernel": {"_type": "choice", "_value": [1, 3]},
                "w": {"_type": "randint", "_value": [4, 9]},
            },
        ],
    }
}


class NoRuns:
    def begin_study(self, r, study, now):
        return study

    def begin(self, r, study, trial, now, *, code_of=""): ...

    def log(self, r, run_id, metrics, step, now): ...

    def end(self, r, run_id, *, state, now): ...


class Wall:
    def __init__(self):
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self):
        return self.at


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    made = SqlMetadata.at(tmp_path_factory.mktemp("tuning") / "hanok.db")
    yield made
    made.close()


@pytest.fixture
def metadata(store):
    """Without a study; to make a store anew costs more than most of these tests."""
    store.write(lambda r: [r.studies.delete(study.id) for study in r.studies.list()])
    return store


@pytest.fixture
def wall():
    return Wall()


@pytest.fixture
def tuning(metadata, wall):
    return Tuning(metadata, SystemClock(), NoRuns(), wall=wall)


def test_a_study_finds_the_minimum_and_says_which_trial_it_was(tuning):
    tuning.create("bowl", SPACE, limits=Limits(max_trials=30, concurrency=4), sampler=Algorithm("tpe"), seed=1)
    while True:
        try:
            trials = tuning.ask("bowl", worker="w", n=3)
        except StudyOver:
            break
        for trial in trials:
            assert set(trial.params) == {"x", "n"} and -5 <= trial.params["x"] <= 5
            tuning.tell(trial.id, trial.params["x"] ** 2 + trial.params["n"], token=trial.token)
    assert tuning.counts("bowl") == {COMPLETE: 30}
    (best,) = tuning.best("bowl")
    assert best.values[0] == min(t.values[0] for t in tuning.trials("bowl")) < 2


def test_a_nested_choice_gives_what_nni_gives(tuning):
    tuning.create("nested", NESTED, sampler=Algorithm("random"), limits=Limits(concurrency=40))
    made = [t.params["layer"] for t in tuning.ask("nested", worker="w", n=40)]
    assert {m["_name"] for m in made} == {"Empty", "Conv"}
    for layer in made:
        if layer["_name"] == "Empty":
            assert set(layer) == {"_name"}
        else:
            assert set(layer) == {"_name", "kernel", "w"} and layer["kernel"] in (1, 3) and 4 <= layer["w"] <= 8


def test_told_twice_counts_once_and_told_otherwise_is_refused(tuning):
    tuning.create("s", SPACE)
    (trial,) = tuning.ask("s", worker="w")
    tuning.tell(trial.id, 1.5, token=trial.token)
    assert tuning.tell(trial.id, 1.5, token=trial.token).values == (1.5,)
    with pytest.raises(TrialEnded):
        tuning.tell(trial.id, 2.5, token=trial.token)
    assert tuning.counts("s") == {COMPLETE: 1}


def test_what_is_begun_and_reported_again_as_its_answer_got_lost_is_there_once(metadata, tuning):
    tuning.create("c", sampler=Algorithm("client"), limits=Limits(concurrency=9))
    started = [tuning.start("c", {"x": 1}, worker="w", key=key) for key in ("a", "a", "b", "", "")]
    assert [t.number for t in started] == [0, 0, 1, 2, 3] and started[0].token == started[1].token == "a"
    for _ in range(2):
        tuning.report(started[0].id, 0.5, step=0, token="a")
    assert tuning.trial(started[0].id).reports == {0: 0.5}
    tuning.tell(started[0].id, 1.0, token="a")
    assert tuning.counts("c") == {RUNNING: 3, COMPLETE: 1}


@pytest.mark.parametrize("value", [float("nan"), "good", {"loss": 1}, True, None])
def test_what_is_no_number_ends_the_trial_as_failed_with_its_reason(tuning, value):
    tuning.create("s", SPACE)
    (trial,) = tuning.ask("s", worker="w")
    ended = tuning.tell(trial.id, value, token=trial.token)
    assert ended.state == FAILED and "no number" in ended.reason


def test_a_dictionary_with_default_is_a_result(tuning):
    tuning.create("s", SPACE)
    (trial,) = tuning.ask("s", worker="w")
    assert tuning.tell(trial.id, {"default": 0.25, "other": 9}).values == (0.25,)


def test_a_silent_worker_is_given_up_and_its_parameters_are_tried_again_once(tuning, wall):
    tuning.create("s", SPACE, limits=Limits(max_trials=2, concurrency=2, lease_s=10))
    (first,) = tuning.ask("s", worker="dead")
    wall.at += timedelta(seconds=9)
    assert tuning.heartbeat([first.id], worker="dead") == []
    wall.at += timedelta(seconds=9)
    assert tuning.give_up_silent("s") == []
    wall.at += timedelta(seconds=9)
    (again,) = tuning.ask("s", worker="alive")
    assert again.params == first.params and again.id != first.id
    assert tuning.trial(first.id).state == FAILED and "silent" in tuning.trial(first.id).reason
    with pytest.raises(TrialEnded):
        tuning.tell(first.id, 1.0, token=first.token)
    assert tuning.heartbeat([first.id], worker="dead") == [first.id]
    tuning.tell(again.id, 3.0, token=again.token)
    (last,) = tuning.ask("s", worker="alive")  # the limit counts the retried one once
    tuning.tell(last.id, 4.0)
    with pytest.raises(StudyOver):
        tuning.ask("s", worker="alive")


def test_a_trial_whose_worker_vanished_ends_even_when_nobody_asks_its_study_any_more(tuning, wall):
    for name in ("a", "b"):
        tuning.create(name, SPACE, limits=Limits(lease_s=10))
        tuning.ask(name, worker="dead")
    tuning.update("b", state="stopped")
    wall.at += timedelta(seconds=11)
    tuning.give_up_all_silent()
    assert tuning.counts("a") == {FAILED: 1, WAITING: 1} and tuning.counts("b") == {FAILED: 1}


def test_a_restart_goes_on_where_the_study_was(metadata, tuning, wall):
    tuning.create("s", SPACE, limits=Limits(max_trials=6, concurrency=6), seed=3)
    open_one, *_ = tuning.ask("s", worker="w", n=3)
    anew = Tuning(metadata, SystemClock(), NoRuns(), wall=wall)
    anew.tell(open_one.id, 1.0, token=open_one.token)
    assert len(anew.ask("s", worker="w", n=9)) == 3
    assert anew.counts("s") == {COMPLETE: 1, RUNNING: 5}


def test_the_median_pruner_stops_what_is_worse_than_the_others(tuning):
    tuning.create("s", SPACE, pruner=Algorithm("median", {"n_startup_trials": 2}), limits=Limits(concurrency=5))
    good = tuning.ask("s", worker="w", n=3)
    for trial in good:
        assert not any(tuning.report(trial.id, 1.0, token=trial.token) for _ in range(3))
        tuning.tell(trial.id, 1.0)
    (bad,) = tuning.ask("s", worker="w")
    assert tuning.report(bad.id, 9.0, token=bad.token)
    assert tuning.tell(bad.id, state=PRUNED).values == (9.0,)


def test_a_grid_gives_each_combination_once_and_then_says_so(tuning):
    space = {"a": {"_type": "choice", "_value": [1, "x", None]}, "b": {"_type": "randint", "_value": [0, 2]}}
    tuning.create("g", space, sampler=Algorithm("GridSearch"), limits=Limits(concurrency=99))
    made = tuning.ask("g", worker="w", n=50)
    assert [(t.params["a"], t.params["b"]) for t in made] == [(a, b) for a in (1, "x", None) for b in (0, 1)]
    for trial in made:
        tuning.tell(trial.id, 0.0)
    with pytest.raises(NothingLeft):
        tuning.ask("g", worker="w")


def test_batch_gives_the_options_themselves(tuning):
    options = [{"opt": "adam", "lr": 0.1}, {"opt": "sgd", "lr": 0.2}]
    tuning.create("b", {"all": {"_type": "choice", "_value": options}}, sampler=Algorithm("Batch"))
    (first,) = tuning.ask("b", worker="w")
    assert first.params == options[0]


def test_a_trial_chosen_by_hand_goes_first_and_must_fit_the_space(tuning):
    tuning.create("s", SPACE)
    with pytest.raises(Invalid, match="did you mean 'x'"):
        tuning.enqueue("s", {"xx": 1, "n": 2})
    with pytest.raises(Invalid, match="outside -5 to 5"):
        tuning.enqueue("s", {"x": 9, "n": 2})
    queued = tuning.enqueue("s", {"x": 0.0, "n": 1})
    assert queued.state == WAITING
    (trial,) = tuning.ask("s", worker="w")
    assert trial.id == queued.id and trial.params == {"x": 0.0, "n": 1}


def test_several_objectives_give_the_front(tuning):
    tuning.create(
        "m", SPACE, directions=("minimize", "maximize"), sampler=Algorithm("nsga2"), limits=Limits(concurrency=9)
    )
    told = [(1.0, 1.0), (2.0, 2.0), (3.0, 1.5)]
    for trial, values in zip(tuning.ask("m", worker="w", n=3), told, strict=True):
        tuning.tell(trial.id, list(values))
    assert [t.values for t in tuning.best("m")] == [(1.0, 1.0), (2.0, 2.0)]


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"x": {"_type": "unifrom", "_value": [0, 1]}}, "did you mean 'uniform'"),
        ({"x": {"_type": "uniform", "_value": [2, 1]}}, "'x'"),
        ({"x": {"_type": "loguniform", "_value": [0, 1]}}, "above 0"),
        ({"x": {"_type": "quniform", "_value": [0, 1, 0]}}, "step"),
        ({"x": {"_type": "choice", "_value": []}}, "at least one option"),
        ({"x": {"_type": "normal", "_value": [0]}}, "2 numbers"),
        ({"x": 3}, "_type and _value"),
        ([], "object"),
    ],
)
def test_a_space_that_makes_no_sense_is_refused_with_the_parameter(tuning, space, said):
    with pytest.raises(Invalid, match=said):
        tuning.create("s", space)


def test_what_is_misspelt_is_named(tuning):
    with pytest.raises(Invalid, match="did you mean 'random'"):
        tuning.create("s", SPACE, sampler=Algorithm("ramdom"))
    with pytest.raises(Invalid, match="n_startup"):
        tuning.create("s", SPACE, pruner=Algorithm("median", {"n_startup": 3}))
    tuning.create("s", SPACE)
    with pytest.raises(StudyExists):
        tuning.create("s", SPACE)


def test_many_workers_share_a_study_and_nothing_counts_twice(tuning):
    tuning.create("s", SPACE, sampler=Algorithm("random"), limits=Limits(max_trials=60, concurrency=8))
    seen: list[int] = []

    def work(name: str) -> None:
        while True:
            try:
                trials = tuning.ask("s", worker=name)
            except StudyOver:
                return
            for trial in trials:
                seen.append(trial.id)
                tuning.tell(trial.id, 1.0, token=trial.token)

    threads = [threading.Thread(target=work, args=(f"w{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == len(set(seen)) == 60 and tuning.counts("s") == {COMPLETE: 60}


def test_a_reason_that_speaks_of_a_worker_is_no_silent_worker(tuning):
    tuning.create("s", SPACE, limits=Limits(max_trials=2, concurrency=2))
    for trial in tuning.ask("s", worker="w", n=2):
        tuning.tell(trial.id, state=FAILED, reason="worker died: out of memory")
    with pytest.raises(StudyOver):
        tuning.ask("s", worker="w")


def test_a_heartbeat_renews_the_others_when_one_is_gone(tuning, wall):
    tuning.create("a", SPACE, limits=Limits(lease_s=10))
    tuning.create("b", SPACE)
    (kept,), (gone,) = tuning.ask("a", worker="w"), tuning.ask("b", worker="w")
    tuning.delete("b")
    wall.at += timedelta(seconds=9)
    assert tuning.heartbeat([gone.id, kept.id], worker="w") == [gone.id]
    assert tuning.trial(kept.id).lease.until == wall.at + timedelta(seconds=10)


def test_a_study_that_was_given_new_limits_while_it_was_asked_goes_on(tuning):
    tuning.create("s", SPACE, limits=Limits(max_trials=1))
    (trial,) = tuning.ask("s", worker="w")
    tuning.tell(trial.id, 1.0)
    stale = tuning.study("s")
    tuning.update("s", limits={"max_trials": 9})
    tuning._over(stale, "has made its 1 trials")
    assert tuning.study("s").state == "running" and len(tuning.ask("s", worker="w")) == 1


def test_a_grid_proposes_again_what_could_not_be_stored(tuning, metadata, monkeypatch):
    space = {"a": {"_type": "choice", "_value": [1, 2, 3]}}
    tuning.create("g", space, sampler=Algorithm("grid"), limits=Limits(concurrency=9))
    with monkeypatch.context() as broken:
        broken.setattr(metadata, "write", lambda work: (_ for _ in ()).throw(OSError("disk")))
        with pytest.raises(OSError):
            tuning.ask("g", worker="w")
    assert sorted(t.params["a"] for t in tuning.ask("g", worker="w", n=9)) == [1, 2, 3]
