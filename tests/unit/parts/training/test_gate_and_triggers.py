"""The gate asks more than to beat the champion; a trigger asks how hard the rows were."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hanok as hk
from hanok.core.errors import TrainingDied, TrainingFailed
from hanok.core.records import from_body, to_body
from hanok.core.registry import ModelVersion
from hanok.core.training import LeakNote, Trained, TrainingRequest, Verdict, facts_of, result_of
from hanok.parts.training import gate
from hanok.parts.training.durable import FAR
from hanok.parts.training.triggers import Level, Situation, due
from tests.unit.parts.training.rig import DAY, START, Rig

ROWS = 2000


def _rows(days=14):
    at = [START + timedelta(minutes=i * days * 1440 / ROWS) for i in range(ROWS)]
    return pa.table({"_at": pa.array(at, pa.timestamp("us", "UTC"))})


def _judged(challenger, champion, *, settings_=None, share=0.3):
    y = (np.random.default_rng(5).random(ROWS) < share).astype(float)
    mine, theirs = (
        np.clip(np.full(ROWS, share) + strength * (y - share), 0.001, 0.999) for strength in (challenger, champion)
    )
    sides = gate.Sides(y, mine, theirs, np.full(ROWS, share))
    return gate.judge(settings_ or hk.Gate(), "binary", "log_loss", sides, _rows(), "champion (version 1)")


def test_a_challenger_that_beats_a_bad_champion_but_not_the_constant_is_refused():
    verdict = _judged(-0.1, -0.5)
    assert verdict.gain > 0 and verdict.low > 0
    assert not verdict.passed and "constant baseline" in verdict.why
    assert verdict.baseline.gain < 0
    assert _judged(0.3, -0.5).passed
    assert not _judged(0.3, 0.4).passed


@settings(max_examples=50)
@given(st.floats(-0.6, 0.6), st.floats(-0.6, 0.6))
def test_what_passes_beats_both(challenger, champion):
    verdict = _judged(challenger, champion)
    assert verdict.passed == (verdict.low > 0 and verdict.baseline.low > 0)
    assert from_body(Verdict, to_body(verdict)) == verdict


def _few_days(days, seed, *, gain=0.0, in_time=True, against="champion (version 1)", rows=240):
    """Two models of which one is better by `gain` a row, and by chance on each day as a whole; by a little on each."""
    random = np.random.default_rng(seed)
    day = np.arange(rows) * days // rows
    better = gain + random.normal(0, 0.02, days)[day] + random.normal(0, 0.05, rows)
    at = pa.table({"_at": pa.array(day * 86_400_000_000 + np.arange(rows), pa.timestamp("us", "UTC"))})
    sides = gate.Sides(np.zeros(rows), 1 - np.exp(np.minimum(-0.01, np.log(0.5) + better)), np.full(rows, 0.5), None)
    return gate.judge(hk.Gate(), "binary", "log_loss", sides, at, against, in_time=in_time)


@pytest.mark.parametrize("days", [2, 3, 4, 6])
def test_an_equal_challenger_passes_no_more_often_on_few_days_than_the_confidence_says(days):
    """5 % of 60 are 3; of such a binomial no more than 8 in 99.5 % of the cases. Rows let every third pass."""
    assert sum(_few_days(days, seed).passed for seed in range(60)) <= 8
    assert days < 3 or sum(_few_days(days, seed, gain=0.1).passed for seed in range(10)) >= 8


def test_one_and_two_days_show_nothing_against_a_champion_and_the_verdict_says_what_happens():
    verdict = _few_days(2, 1, gain=0.3)
    assert not verdict.passed and verdict.low is None
    assert "rows of 2 days): too few days to tell, 3 are needed at least, so the champion stays" in verdict.why
    assert "rows of 1 day)" in _few_days(1, 1, gain=0.3).why


def test_a_first_model_and_a_random_holdout_of_few_days_are_judged_by_rows():
    assert _few_days(2, 1, gain=0.3, against=gate.BASELINE).passed
    assert _few_days(2, 1, gain=0.3, in_time=False).passed


def test_a_certain_leak_refuses_and_a_suspicion_is_said():
    passed = _judged(0.3, 0.0)
    suspicion, fact = LeakNote("alone", "x", "x gives it away", False), LeakNote("late", "", "rows come late", True)
    assert gate.without_leaks(passed, [suspicion]).passed
    assert gate.without_leaks(passed, [suspicion]).why.endswith("; x gives it away")
    assert not gate.without_leaks(passed, [suspicion, fact]).passed


def _situation(recent, reference):
    return Situation(START + 40 * DAY, START, START, 0, 0, recent, 1000, reference)


def test_a_month_of_other_difficulty_is_no_drop_and_a_drop_in_an_easy_month_is_one():
    retrain = hk.Retrain(drop=("log_loss", 0.05))
    easy, hard = Level(0.30, 0.35), Level(0.55, 0.61)
    assert due(retrain, _situation(hard, easy)) is None
    assert due(retrain, _situation(Level(0.34, 0.33), hard)).kind == "metric_drop"
    fired = due(retrain, _situation(Level(0.62, 0.61), easy))
    assert "difficulty of the rows" in fired.reason and fired.facts["difficulty"] == pytest.approx(0.26)


def test_a_version_that_does_not_say_how_hard_its_holdout_was_is_compared_as_before():
    retrain = hk.Retrain(drop=("log_loss", 0.05))
    assert due(retrain, _situation(Level(0.41, 0.5), Level(0.35))).kind == "metric_drop"
    assert due(retrain, _situation(Level(0.39, 0.5), Level(0.35))) is None
    assert due(retrain, _situation(Level(float("nan"), 0.5), Level(0.35))) is None
    auc = hk.Retrain(drop=("auc", 0.05))
    assert due(auc, _situation(Level(0.6, 0.5), Level(0.7, 0.5))).kind == "metric_drop"
    assert due(auc, _situation(Level(0.8, 0.5), Level(0.7, 0.5))) is None


FACTS = {  # as a version of b97136a holds them
    "workflow": "019b",
    "task": "binary",
    "metric": "log_loss",
    "metrics": {"log_loss": 0.41, "auc": 0.8},
    "verdict": {
        "passed": True,
        "why": "log_loss 0.4100 against 0.5000",
        "against": "constant baseline",
        "gain": 0.09,
        "low": None,
        "high": 0.1,
        "rows": 400,
        "challenger": {"log_loss": 0.41, "auc": 0.8},
        "champion": {"log_loss": 0.5, "auc": None},
        "worse_slices": [],
        "slices": {"product=mug": {"rows": 210, "gain": 0.1, "low": 0.0, "high": None}},
    },
    "plan": {
        "candidates": [
            {"kind": "baseline"},
            {"kind": "linear", "strength": 1.0},
            {"kind": "boosting", "parameters": {"learning_rate": 0.08, "num_leaves": 31, "min_data_in_leaf": 40}},
        ],
        "chosen": 2,
        "rounds": 25,
        "seed": 7,
        "metric": "log_loss",
    },
    "training_set": "019a",
    "training_digest": "ab" * 32,
    "training_rows": 1200,
    "label_rows": 1100,
    "trained_until": "2026-01-14T00:00:00+00:00",
    "holdout_included": True,
    "gaps": [{"view": "price", "rows": 4, "share": 0.01, "column": "", "groups": [], "explains": 0.0}],
    "leaks": [{"kind": "alone", "column": "x", "message": "x predicts", "certain": False}],
    "trained_at": "2026-01-15T00:00:00+00:00",
    "reference": "cd" * 32,
    "statistics": "",
    "challenger_package": "ef" * 32,
    "environment": "01" * 32,
    "code": "23" * 32,
    "declaration": "45" * 32,
    "feature_views": {"price": "67" * 32},
    "reason": "first training",
    "location": "",
    "user": "replay",
}


def _version(facts):
    return ModelVersion("id", "m", 1, START, facts=facts)


def test_facts_of_earlier_versions_and_of_other_houses_open():
    facts = facts_of(_version(FACTS))
    assert facts.plan.recipe.parameters == {"learning_rate": 0.08, "num_leaves": 31, "min_data_in_leaf": 40}
    assert isinstance(facts.plan.recipe.parameters["num_leaves"], int)  # a whole number stays one
    assert facts.plan.candidates[1].strength == 1.0
    assert facts.verdict.low is None and facts.verdict.slices["product=mug"].rows == 210
    assert facts.trained_until == START + 13 * DAY
    assert facts_of(_version({**FACTS, "plan": {}})).plan is None  # a user's own code
    outside = facts_of(_version({"user": "ann", "logged_model_id": "m-1"}))
    assert outside.verdict is None and outside.trained_at is None
    assert facts_of(_version(to_body(facts))) == facts


def test_the_outcome_of_a_training_leaves_as_it_did_before():
    trained = Trained(3, "n", facts_of(_version(FACTS)).verdict, "r", "t")
    body = result_of(trained)
    assert set(body) == {"version", "node", "verdict", "run_id", "training_set"}
    assert body["verdict"]["passed"] is True
    assert result_of(replace(trained, not_rolled_out="busy"))["not_rolled_out"] == "busy"
    asked = {"model": "m", "reason": "x", "actor": "a", "champion": 1, "start": None, "end": None, "promote": True}
    assert from_body(TrainingRequest, {**asked, "recipe_of": 0, "at": None}).began == "server"


def test_a_training_that_fails_three_times_is_given_up_until_something_changes(tmp_path):
    rig = Rig.at(tmp_path)
    model = rig.declare("m")
    labels = [100]
    rig.training._label_rows = lambda table: labels[0]

    def failing(steps):
        raise TrainingFailed("mine raised ZeroDivisionError")

    def fail(number):
        workflow = rig.durable.start("train", f"m {number}", {"model": "m", "actor": "hanok"})
        with pytest.raises(TrainingFailed):
            rig.durable.run(workflow, failing)

    def given_up():
        attempts = rig.durable.list("train", limit=200)
        return rig.training._resting.rests(model, attempts)

    for number in range(2):
        fail(number)
    assert not given_up()
    fail(2)
    assert given_up()
    assert "ZeroDivisionError" in rig.alerts.list(state="open")[0].summary
    labels[0] = 111
    assert not given_up()
    labels[0] = 100
    model = rig.declare("m", canary=[10])
    assert not given_up()


def test_a_training_that_died_is_begun_by_no_trigger_until_the_declaration_changes_or_somebody_trains(tmp_path):
    rig = Rig.at(tmp_path)
    model = rig.declare("m")
    dying = TrainingDied("the process that trained m was ended by signal 9 (SIGKILL)")

    def end(number, error, actor="hanok"):
        rig.clock.move_to(START + number * timedelta(days=1))
        workflow = rig.durable.start("train", f"m {number}", {"model": "m", "reason": "r", "actor": actor})
        rig.training._tools = replace(rig.training._tools, sets=Raising(error))
        with pytest.raises(type(error)):
            rig.training._run(model, workflow)

    def rests(limit=200):
        return rig.training._resting.rests(model, rig.durable.list("train", limit=limit)[:limit])

    assert not rests()
    for number, actor in enumerate(("hanok", "ann")):  # whoever began it
        end(number, dying, actor)
        assert rests() and rests()
        (alert,) = rig.alerts.list(state="open")
        assert "SIGKILL" in alert.summary and "No trigger begins another one until" in alert.summary
    assert rests(limit=0)  # so many others were trained that it is none of the last ones
    rig.training._label_rows = lambda table: 1_000_000
    assert rests()  # more rows let no process live
    changed = rig.declare("m", canary=[10])
    assert not rig.training._resting.rests(changed, rig.durable.list("train"))
    assert rests()  # back to what died
    end(2, TrainingFailed("mine raised ZeroDivisionError"), "ann")
    assert not rests()  # somebody trained, and it did not die


class Raising:
    """Where a training begins; this one ends at once."""

    def __init__(self, error):
        self.error = error

    def training_set(self, *_, **__):
        raise self.error


def test_a_training_in_which_process_after_process_dies_is_not_begun_for_ever(tmp_path):
    rig = Rig.at(tmp_path)
    rig.declare("m")
    rig.durable.start("train", "m", {"model": "m", "reason": "r", "actor": "hanok", "began": "server"})
    tries = []
    for _ in range(5):
        after = replace(rig)
        after.training._models.update({m.name: m for m in rig.training.models()})
        left = after.durable.abandoned("train")
        if left and left[0].fence < 3:
            after.durable._claim(left[0].id, FAR)  # it takes it, and dies
            tries.append(left[0].fence)
        else:
            after.training.resume()
    assert tries == [1, 2]
    (ended,) = rig.durable.list("train")
    assert ended.state == "failed" and "3 servers died" in ended.result["error"]


def test_a_training_that_a_person_starts_again_each_time_is_gone_on_with(tmp_path):
    """A replay that was killed in the middle of a training, more often than a server would begin it again."""
    rig = Rig.at(tmp_path)
    rig.declare("m")
    rig.durable.start("train", "m", {"model": "m", "reason": "r", "actor": "hanok", "began": "server"})
    for _ in range(4):
        (left,) = replace(rig).durable.abandoned("train")
        replace(rig).durable._claim(left.id, FAR)  # it takes it, and dies
    begun = []
    rig.training._run = lambda model, workflow: begun.append(model.name)
    assert rig.training.resume(deaths_max=None) == 1 and begun == ["m"]
    assert rig.durable.list("train")[0].state == "running"
