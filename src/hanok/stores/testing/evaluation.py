"""Evaluation datasets and scorers."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hanok.core.errors import DatasetNotFound, Invalid
from hanok.core.evaluation import EvaluationDataset, EvaluationQuery, EvaluationRecord
from hanok.core.scorers import OnlineScoring, ScorerVersion
from hanok.core.tracking import Comparison, Order
from hanok.stores.testing.shared import NOW


def a_dataset(name: Any, *, minutes: Any = 0, **more: Any) -> Any:
    made = NOW + timedelta(minutes=minutes)
    return EvaluationDataset(f"d-{name}", name, "abc", made, made, **more)


def a_record(name: Any, *, minutes: Any = 0, **more: Any) -> Any:
    made = NOW + timedelta(minutes=minutes)
    return EvaluationRecord(f"dr-{name}", {"q": name}, f"digest-{name}", made, made, **more)


def search(store: Any, **more: Any) -> Any:
    return [d.id for d in store.read(lambda r: r.evaluation_datasets.search(EvaluationQuery(**more)))]


def two_datasets(store: Any) -> Any:
    first = a_dataset("a", tags={"team": "ml"}, experiment_ids=("0", "1"), schema={"inputs": {"q": "string"}})
    for dataset in (first, a_dataset("b", minutes=1, experiment_ids=("1",), created_by="me")):
        store.write(lambda r, d=dataset: r.evaluation_datasets.put(d))
    return store


TONE = ScorerVersion("sc-1", "1", "tone", 1, "{}", NOW, "chat")


def three_scorers(store: Any) -> Any:
    """Two versions of tone and one of length, in experiment 1."""
    for version in (TONE, replace(TONE, scorer_id="sc-9", body="2"), replace(TONE, scorer_id="sc-2", name="length")):
        store.write(lambda r, v=version: r.scorers.add(v))
    return store


class EvaluationDatasetsContract:
    def test_a_dataset_comes_back_and_is_replaced_whole(self, store: Any) -> None:
        two = two_datasets(store)
        found = two.read(lambda r: r.evaluation_datasets.get("d-a"))
        assert (found.tags, found.experiment_ids, found.schema) == (
            {"team": "ml"},
            ("0", "1"),
            {"inputs": {"q": "string"}},
        )
        two.write(lambda r: r.evaluation_datasets.put(a_dataset("a", tags={"x": "y"})))
        found = two.read(lambda r: r.evaluation_datasets.get("d-a"))
        assert (found.tags, found.experiment_ids) == ({"x": "y"}, ())

    def test_datasets_are_searched_by_experiment_attribute_and_tag(self, store: Any) -> None:
        two = two_datasets(store)
        assert search(two) == ["d-b", "d-a"]
        assert search(two, experiment_ids=["0"]) == ["d-a"]
        assert search(two, experiment_ids=["nothing"]) == []
        assert search(two, filter=Comparison("tag", "team", "=", "ml")) == ["d-a"]
        assert search(two, filter=Comparison("attribute", "created_by", "ILIKE", "M%")) == ["d-b"]
        assert search(two, filter=Comparison("attribute", "created_time", ">", NOW.timestamp() * 1000)) == ["d-b"]
        assert search(two, order=[Order("attribute", "name")], limit=1, offset=1) == ["d-b"]
        with pytest.raises(Invalid):
            search(two, filter=Comparison("metric", "loss", "=", 1.0))

    def test_a_deleted_dataset_is_gone_with_its_records(self, store: Any) -> None:
        two = two_datasets(store)
        two.write(lambda r: r.evaluation_records.put("d-a", [a_record("x")]))
        two.write(lambda r: r.evaluation_datasets.delete("d-a"))
        assert two.read(lambda r: r.evaluation_records.count("d-a")) == 0 and search(two) == ["d-b"]
        for missing in (lambda r: r.evaluation_datasets.get("d-a"), lambda r: r.evaluation_datasets.delete("d-a")):
            with pytest.raises(DatasetNotFound):
                two.write(missing)


class EvaluationRecordsContract:
    def test_records_are_found_by_their_inputs_and_paged_in_order(self, store: Any) -> None:
        two = two_datasets(store)
        records = [a_record("x", minutes=1, outputs=[1]), a_record("y", tags={"t": 1}), a_record("z", minutes=1)]
        two.write(lambda r: r.evaluation_records.put("d-a", records))
        held = two.read(lambda r: r.evaluation_records.with_inputs("d-a", ["digest-x", "other"]))
        assert held == {"digest-x": records[0]}
        first = two.read(lambda r: r.evaluation_records.page("d-a", limit=2))
        assert first == [records[1], records[0]]
        after = (first[-1].created, first[-1].id)
        assert two.read(lambda r: r.evaluation_records.page("d-a", after=after, limit=2)) == [records[2]]
        assert two.write(lambda r: r.evaluation_records.delete("d-a", ["dr-x", "none"])) == 1
        assert two.read(lambda r: r.evaluation_records.count("d-a")) == 2

    def test_a_record_is_replaced_by_its_id_and_values_come_back_as_they_were(self, store: Any) -> None:
        store = two_datasets(store)
        values = {"text": "é\n한", "big": 2**60, "list": [1, None, {"a": True}], "float": 0.1}
        first = a_record("x", outputs=values, expectations=values, source={"kind": "é"})
        store.write(lambda r: r.evaluation_records.put("d-a", [first, a_record("y", minutes=1)]))
        changed = replace(first, outputs=None, tags={"t": 1})
        store.write(lambda r: r.evaluation_records.put("d-a", [changed]))
        assert store.read(lambda r: r.evaluation_records.page("d-a", limit=10))[0] == changed
        assert store.read(lambda r: r.evaluation_records.count("d-a")) == 2
        assert store.read(lambda r: r.evaluation_records.page("d-b", limit=10)) == []


class ScorersContract:
    def test_versions_count_up_and_share_the_id_of_their_scorer(self, store: Any) -> None:
        scored = three_scorers(store)
        assert scored.read(lambda r: r.scorers.versions("1", "tone")) == [TONE, replace(TONE, version=2, body="2")]
        found = scored.read(lambda r: r.scorers.latest("1"))
        assert [(v.name, v.version, v.scorer_id) for v in found] == [("length", 1, "sc-2"), ("tone", 2, "sc-1")]
        assert (
            scored.read(lambda r: r.scorers.latest("2")) == [] == scored.read(lambda r: r.scorers.versions("x", "tone"))
        )

    def test_a_scorer_has_one_online_configuration_which_keeps_its_id(self, store: Any) -> None:
        scored = three_scorers(store)
        first = OnlineScoring("oc-1", "sc-1", "1", 0.5, "status = 'OK'")
        assert scored.write(lambda r: r.scorers.put_online(first)) == first
        again = scored.write(lambda r: r.scorers.put_online(OnlineScoring("oc-2", "sc-1", "1", 0.1)))
        assert again == OnlineScoring("oc-1", "sc-1", "1", 0.1, None)
        assert scored.read(lambda r: r.scorers.online(["sc-1", "sc-2", "none"])) == [again]
        assert scored.read(lambda r: r.scorers.online([])) == []

    def test_the_last_version_takes_the_online_configuration_with_it(self, store: Any) -> None:
        scored = three_scorers(store)
        scored.write(lambda r: r.scorers.put_online(OnlineScoring("oc-1", "sc-1", "1", 1.0)))
        assert scored.write(lambda r: r.scorers.delete("1", "tone", 1)) == 1
        assert scored.read(lambda r: r.scorers.online(["sc-1"])) != []
        assert scored.write(lambda r: r.scorers.delete("1", "tone", 7)) == 0
        assert scored.write(lambda r: r.scorers.delete("1", "tone")) == 1
        assert scored.read(lambda r: r.scorers.online(["sc-1"])) == []
        assert [v.name for v in scored.read(lambda r: r.scorers.latest("1"))] == ["length"]
