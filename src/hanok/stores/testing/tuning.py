"""Studies and trials."""

from __future__ import annotations

import math
import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hanok.core.errors import StudyExists, StudyNotFound, TrialNotFound
from hanok.core.tuning import COMPLETE, FAILED, RUNNING, WAITING, Algorithm, Lease, Limits, Point, Study, Trial
from hanok.stores.testing.shared import NOW

SPACE = {"x": {"_type": "uniform", "_value": [0, 1]}}


def a_study(name: str = "s", **more: Any) -> Study:
    return Study(0, name, ("minimize",), NOW, **more)


def a_trial(study: Study, **more: Any) -> Trial:
    return Trial(0, study.id, 0, more.pop("state", RUNNING), NOW, **more)


class StudiesContract:
    def test_a_study_comes_back_as_it_was_added(self, store: Any) -> None:
        given = a_study(
            "名 / '\"",
            space=SPACE,
            sampler=Algorithm("tpe", {"seed": 1}),
            pruner=Algorithm("median"),
            limits=Limits(9, 1.5, 3, 4.5, 2),
            experiment_id="7",
            user_attrs={"k": [1, None, {"a": "b"}]},
            system_attrs={"s": 1.5},
        )
        made = store.write(lambda r: r.studies.add(given))
        assert made == replace(given, id=made.id) and made.id > 0
        assert store.read(lambda r: r.studies.get(made.id)) == made == store.read(lambda r: r.studies.named(made.name))

    def test_a_name_is_taken_once_and_a_number_is_never_given_again(self, store: Any) -> None:
        first = store.write(lambda r: r.studies.add(a_study("a")))
        with pytest.raises(StudyExists):
            store.write(lambda r: r.studies.add(a_study("a")))
        store.write(lambda r: r.studies.delete(first.id))
        assert store.write(lambda r: r.studies.add(a_study("a"))).id > first.id

    def test_put_replaces_and_keeps_name_and_attributes(self, store: Any) -> None:
        made = store.write(lambda r: r.studies.add(a_study("a", user_attrs={"k": 1})))
        store.write(lambda r: r.studies.put(replace(made, state="stopped", limits=Limits(5), user_attrs={})))
        held = store.read(lambda r: r.studies.get(made.id))
        assert (held.state, held.limits, held.user_attrs) == ("stopped", Limits(5), {"k": 1})

    def test_an_attribute_is_set_by_scope_and_key(self, store: Any) -> None:
        made = store.write(lambda r: r.studies.add(a_study()))
        for value in (1, "two", None):
            store.write(lambda r, value=value: r.studies.set_attr(made.id, "user", "k", value))
        store.write(lambda r: r.studies.set_attr(made.id, "system", "k", 3))
        held = store.read(lambda r: r.studies.get(made.id))
        assert (held.user_attrs, held.system_attrs) == ({"k": None}, {"k": 3})

    def test_a_study_that_is_not_there_is_said(self, store: Any) -> None:
        assert store.read(lambda r: r.studies.named("no")) is None
        for work in (
            lambda r: r.studies.get(5),
            lambda r: r.studies.delete(5),
            lambda r: r.studies.set_attr(5, "user", "k", 1),
            lambda r: r.studies.put(replace(a_study(), id=5)),
        ):
            with pytest.raises(StudyNotFound):
                store.write(work)

    def test_a_removed_study_takes_its_trials_along_and_leaves_the_others(self, store: Any) -> None:
        gone, left = (store.write(lambda r, n=n: r.studies.add(a_study(n))) for n in "ab")
        lost = store.write(lambda r: r.trials.add(a_trial(gone, reports={0: 1.0}, user_attrs={"k": 1})))
        kept = store.write(lambda r: r.trials.add(a_trial(left, reports={0: 2.0})))
        store.write(lambda r: r.studies.delete(gone.id))
        with pytest.raises(TrialNotFound):
            store.read(lambda r: r.trials.get(lost.id))
        assert store.read(lambda r: r.trials.get(kept.id)).reports == {0: 2.0}
        assert [s.name for s in store.read(lambda r: r.studies.list())] == ["b"]


class TrialsContract:
    def test_a_trial_comes_back_as_it_was_added(self, store: Any) -> None:
        study = store.write(lambda r: r.studies.add(a_study()))
        given = a_trial(
            study,
            params={"layer": {"_name": "Conv", "k": 3}, "x": 0.1},
            points={"x": Point(0.1, "{}"), "layer": Point(1.0, "{}")},
            values=(math.inf, -0.0),
            reports={0: 1.5, 7: -math.inf},
            source="hand",
            started=NOW,
            reason="why",
            token="t",
            lease=Lease("w", NOW + timedelta(seconds=9)),
            attempt=2,
            run_id="r",
            user_attrs={"u": [1]},
            system_attrs={"s": {"x": None}},
        )
        made = store.write(lambda r: r.trials.add(given))
        assert made == replace(given, id=made.id, number=0, revision=made.revision)
        assert store.read(lambda r: r.trials.get(made.id)) == made

    def test_a_report_that_is_no_number_stays_one(self, store: Any) -> None:
        study = store.write(lambda r: r.studies.add(a_study()))
        made = store.write(lambda r: r.trials.add(a_trial(study)))
        store.write(lambda r: r.trials.report(made.id, 3, math.nan))
        assert math.isnan(store.read(lambda r: r.trials.get(made.id)).reports[3])

    def test_numbers_follow_each_other_within_a_study(self, store: Any) -> None:
        studies = [store.write(lambda r, n=n: r.studies.add(a_study(n))) for n in "ab"]
        made = [store.write(lambda r, s=s: r.trials.add(a_trial(s))) for s in studies * 2]
        assert [t.number for t in made] == [0, 0, 1, 1] and len({t.id for t in made}) == 4

    def test_put_is_compare_and_set_on_the_state(self, store: Any) -> None:
        study = store.write(lambda r: r.studies.add(a_study()))
        made = store.write(lambda r: r.trials.add(a_trial(study)))
        ended = replace(made, state=COMPLETE, values=(1.0,), ended=NOW, lease=None)
        assert store.write(lambda r: r.trials.put(ended, expected=(RUNNING,)))
        assert not store.write(lambda r: r.trials.put(replace(ended, state=FAILED), expected=(WAITING, RUNNING)))
        held = store.read(lambda r: r.trials.get(made.id))
        assert (held.state, held.values, held.ended) == (COMPLETE, (1.0,), NOW)

    def test_every_change_raises_the_revision_and_is_found_by_it(self, store: Any) -> None:
        study = store.write(lambda r: r.studies.add(a_study()))
        made = [store.write(lambda r: r.trials.add(a_trial(study))) for _ in range(3)]
        seen = max(t.revision for t in made)
        store.write(lambda r: r.trials.report(made[0].id, 0, 1.0))
        store.write(lambda r: r.trials.set_attr(made[2].id, "user", "k", 1))
        fresh = store.read(lambda r: r.trials.list(study.id, after=seen))
        assert [t.number for t in fresh] == [0, 2] and all(t.revision > seen for t in fresh)
        assert store.read(lambda r: r.trials.list(study.id, after=max(t.revision for t in fresh))) == []

    def test_trials_are_listed_by_state_and_counted(self, store: Any) -> None:
        study = store.write(lambda r: r.studies.add(a_study()))
        for state in (WAITING, RUNNING, WAITING, COMPLETE):
            store.write(lambda r, state=state: r.trials.add(a_trial(study, state=state)))
        waiting = store.read(lambda r: r.trials.list(study.id, states=(WAITING,), limit=1))
        assert [t.number for t in waiting] == [0]
        assert store.read(lambda r: r.trials.count(study.id)) == {WAITING: 2, RUNNING: 1, COMPLETE: 1}
        assert store.read(lambda r: r.trials.count(99)) == {}

    def test_a_trial_that_is_not_there_is_said(self, store: Any) -> None:
        with pytest.raises(StudyNotFound):
            store.write(lambda r: r.trials.add(Trial(0, 77, 0, RUNNING, NOW)))
        for work in (
            lambda r: r.trials.get(5),
            lambda r: r.trials.report(5, 0, 1.0),
            lambda r: r.trials.set_attr(5, "user", "k", 1),
            lambda r: r.trials.put(Trial(5, 1, 0, RUNNING, NOW), expected=(RUNNING,)),
        ):
            with pytest.raises(TrialNotFound):
                store.write(work)

    def test_many_writers_get_a_number_each(self, store: Any) -> None:
        study = store.write(lambda r: r.studies.add(a_study()))
        made: list[int] = []

        def add() -> None:
            for _ in range(10):
                made.append(store.write(lambda r: r.trials.add(a_trial(study))).number)

        threads = [threading.Thread(target=add) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(made) == list(range(40))
