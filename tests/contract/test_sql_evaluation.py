"""What the repositories of evaluation datasets promise, on each engine."""

from datetime import UTC, datetime, timedelta

import pytest

from hanok.core.errors import DatasetNotFound, Invalid
from hanok.core.evaluation import EvaluationDataset, EvaluationQuery, EvaluationRecord
from hanok.core.tracking import Comparison, Order

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def a_dataset(name, *, minutes=0, **more):
    made = NOW + timedelta(minutes=minutes)
    return EvaluationDataset(f"d-{name}", name, "abc", made, made, **more)


def a_record(name, *, minutes=0, **more):
    made = NOW + timedelta(minutes=minutes)
    return EvaluationRecord(f"dr-{name}", {"q": name}, f"digest-{name}", made, made, **more)


def search(metadata, **more):
    return [d.id for d in metadata.read(lambda r: r.evaluation_datasets.search(EvaluationQuery(**more)))]


@pytest.fixture
def two(metadata):
    first = a_dataset("a", tags={"team": "ml"}, experiment_ids=("0", "1"), schema={"inputs": {"q": "string"}})
    for dataset in (first, a_dataset("b", minutes=1, experiment_ids=("1",), created_by="me")):
        metadata.write(lambda r, d=dataset: r.evaluation_datasets.put(d))
    return metadata


def test_a_dataset_comes_back_and_is_replaced_whole(two):
    found = two.read(lambda r: r.evaluation_datasets.get("d-a"))
    assert (found.tags, found.experiment_ids, found.schema) == ({"team": "ml"}, ("0", "1"), {"inputs": {"q": "string"}})
    two.write(lambda r: r.evaluation_datasets.put(a_dataset("a", tags={"x": "y"})))
    found = two.read(lambda r: r.evaluation_datasets.get("d-a"))
    assert (found.tags, found.experiment_ids) == ({"x": "y"}, ())


def test_datasets_are_searched_by_experiment_attribute_and_tag(two):
    assert search(two) == ["d-b", "d-a"]
    assert search(two, experiment_ids=["0"]) == ["d-a"]
    assert search(two, experiment_ids=["nothing"]) == []
    assert search(two, filter=Comparison("tag", "team", "=", "ml")) == ["d-a"]
    assert search(two, filter=Comparison("attribute", "created_by", "ILIKE", "M%")) == ["d-b"]
    assert search(two, filter=Comparison("attribute", "created_time", ">", NOW.timestamp() * 1000)) == ["d-b"]
    assert search(two, order=[Order("attribute", "name")], limit=1, offset=1) == ["d-b"]
    with pytest.raises(Invalid):
        search(two, filter=Comparison("metric", "loss", "=", 1.0))


def test_records_are_found_by_their_inputs_and_paged_in_order(two):
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


def test_a_deleted_dataset_is_gone_with_its_records(two):
    two.write(lambda r: r.evaluation_records.put("d-a", [a_record("x")]))
    two.write(lambda r: r.evaluation_datasets.delete("d-a"))
    assert two.read(lambda r: r.evaluation_records.count("d-a")) == 0 and search(two) == ["d-b"]
    for missing in (lambda r: r.evaluation_datasets.get("d-a"), lambda r: r.evaluation_datasets.delete("d-a")):
        with pytest.raises(DatasetNotFound):
            two.write(missing)
