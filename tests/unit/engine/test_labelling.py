"""Labels through the whole house: online and batch answers, early and late labels, whatever the log holds."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from hanok.core.errors import Conflict, Invalid, ModelNotFound, Unavailable
from hanok.engine.verbs import call

COLUMNS = {
    "price__amount": [20.0],
    "product__returned_3d": [0.2],
    "product__returned_7d": [0.2],
    "product__orders_3d": [50],
    "product__orders_7d": [90],
    "product": ["mug"],
    "size": [9.0],
}


def tell(app, value, order, **more):
    return call(app, "label.add", "me", {"model": "returns", "value": value, "entity": {"order": order}, **more})


def answer(app, order):
    return app.serving.predict("returns", COLUMNS, entity={"order": order})[0].prediction_id


def label_of(app, prediction):
    return call(app, "prediction.show", "me", {"prediction": prediction})["label"]


def test_a_label_that_came_first_is_joined_to_online_answers(shop):
    early = tell(shop, 1, "early")
    assert (early["accepted"], early["joined"]) == (1, 0)
    asked = answer(shop, "early")
    tell(shop, 0, "another")
    assert label_of(shop, asked) == 1.0
    again = answer(shop, "early")
    shop.watching.measure_live()
    assert label_of(shop, again) == 1.0


def test_a_label_is_for_one_entity_and_names_its_keys_alone(shop):
    asked = answer(shop, "seven")
    size = shop.tables.size("returns")
    with pytest.raises(Invalid, match=f"prediction {asked} is for order seven, and the entity says eight"):
        tell(shop, 1, "eight", prediction=asked)
    with pytest.raises(Invalid, match="'parcel' is no key of 'returns', whose rows are told apart by order"):
        tell(shop, 1, "seven", prediction=asked, entity={"order": "seven", "parcel": 8})
    assert shop.tables.size("returns") == size
    assert tell(shop, 1, "seven", prediction=asked)["accepted"] == 1


def test_a_label_may_return_to_an_earlier_value_and_each_answer_of_an_entity_gets_it(shop):
    asked = [answer(shop, "x"), answer(shop, "x")]
    for value in (1, 0, 1):
        assert tell(shop, value, "x")["joined"] == 2
        assert [label_of(shop, a) for a in asked] == [float(value)] * 2


def test_the_same_key_again_is_one_label(shop):
    asked = answer(shop, "x")
    assert tell(shop, 1, "x", key="retry")["joined"] == 1
    tell(shop, 0, "x")
    tell(shop, 1, "x", key="retry")
    assert label_of(shop, asked) == 0.0


def test_training_and_monitoring_read_the_same_label(shop):
    """Out of order, corrected and empty labels: the label of the training set is the outcome of the answer."""
    orders = {"late-correction": 0, "older-news": 1, "empty": 1}
    asked = {order: answer(shop, order) for order in orders}
    now = shop.clock.now()
    told = [("late-correction", 1, 3), ("late-correction", 0, 2), ("older-news", 1, 2), ("older-news", 0, 5)]
    told += [("empty", 1, 3), ("empty", None, 1)]
    for number, (order, value, hours_ago) in enumerate(told):
        known = pa.array([now - timedelta(hours=hours_ago)], pa.timestamp("us", "UTC"))
        row = {"order": [order], "product": ["mug"], "returned": pa.array([value], pa.int64()), "known": known}
        shop.ingesting.ingest("returns", pa.table(row), key=f"told {number}")
    shop.bus.drain()
    spine = pa.table({"key__order": list(orders)})
    labels = shop.features.labels(shop.training.model("returns"), spine).to_pylist()
    assert labels == list(orders.values())
    assert [label_of(shop, asked[order]) for order in orders] == [float(v) for v in labels]


def test_words_that_are_no_label_are_refused_and_nothing_is_kept(shop):
    before = shop.tables.size("returns")
    for word in ("maybe", "2", "", "t", 0.5, None):
        with pytest.raises(Invalid, match="returns"):
            tell(shop, word, "x")
    assert shop.tables.size("returns") == before


def test_a_batch_with_words_that_are_no_label_is_shown(shop):
    known = pa.array([shop.clock.now()] * 2, pa.timestamp("us", "UTC"))
    rows = pa.table({"order": ["a", "b"], "product": ["mug", "mug"], "returned": [1, 7], "known": known})
    shop.ingesting.ingest("returns", rows, key="odd")
    shop.bus.drain()
    report = call(shop, "label.show", "me", {"model": "returns"})
    aside = shop.validation.quarantined("returns")
    assert report["strange"] + len(aside) == 1 and (not report["strange"] or report["words"] == ["7"])


def test_a_log_that_cannot_be_compacted_holds_up_no_label(shop, monkeypatch):
    monkeypatch.setattr(type(shop.serving), "compact", broken)
    batch = shop.monitoring.outcomes("returns").num_rows
    order = unlabelled(shop)
    assert tell(shop, 1, order)["joined"] >= 1
    assert shop.monitoring.outcomes("returns").num_rows > batch


def broken(self, *, everything=False):
    raise OSError("the disk says no")


def unlabelled(shop):
    from hanok.compute.duck import read

    done = set(shop.monitoring.outcomes("returns").column("prediction_id").to_pylist())
    rows = read(shop.tables.scan("predictions--returns"), ["prediction_id", "key__order"]).to_pylist()
    return next(r["key__order"] for r in rows if r["prediction_id"] not in done and r["key__order"])


def test_one_model_that_cannot_be_measured_stops_no_other(shop, monkeypatch):
    def measured(self, name, day, **_):
        raise ValueError("no such thing")

    monkeypatch.setattr(type(shop.watching), "measure", measured)
    shop.watching.measure_live()
    (alert,) = [a for a in shop.alerts.list("returns", state="open") if a.kind == "measuring"]
    assert "ValueError: no such thing" in alert.summary
    monkeypatch.undo()
    shop.clock.move_to(datetime(2026, 12, 1, tzinfo=UTC))
    shop.watching.measure_live()
    assert not [a for a in shop.alerts.list("returns", state="open") if a.kind == "measuring"]


def test_labels_and_lists_need_no_version_that_can_be_loaded(shop, monkeypatch):
    """The version that answers is damaged, or its row is gone: what was answered is labelled and listed."""
    asked = answer(shop, "x")
    version = shop.serving.deployment("returns").primary
    broken = ModelNotFound("it is gone")

    def load(digest):
        raise broken

    monkeypatch.setattr(shop.packages, "load", load)
    shop.packages._loaded.clear()
    versions = shop.serving._versions
    for gone in (False, True):
        if gone:
            shop.metadata.inner.write(lambda r: r.registry_upkeep.remove_version("returns", version))
        versions._live.clear()
        versions._generation = -1
        versions.refresh()
        with pytest.raises(Unavailable):
            shop.serving.predict("returns", COLUMNS, entity={"order": "y"})
        assert tell(shop, int(gone), "x")["joined"] == 1
        assert label_of(shop, asked) == float(gone)
        found = call(shop, "prediction.list", "me", {"model": "returns", "entity": {"order": "x"}})
        assert [f["id"] for f in found] == [asked]


def test_what_answers_keeps_its_name_and_its_versions(shop):
    version = shop.serving.deployment("returns").primary
    registry = shop.tracking.registry
    with pytest.raises(Conflict, match=f"answers .version {version}.: .* so it keeps it. Copy the version"):
        registry.rename_model("returns", "sent back")
    with pytest.raises(Conflict, match="it is not deleted"):
        registry.delete_model("returns")
    with pytest.raises(
        Conflict, match=f"version {version} of 'returns' answers .primary.: let another one answer first"
    ):
        registry.delete_version("returns", version)
    assert answer(shop, "x")
    other = next((v.version for v in registry.versions("returns") if v.version != version), None)
    if other is not None:
        registry.delete_version("returns", other)
        assert registry.versions("returns")[0].version == version


def test_an_answer_of_an_earlier_release_has_no_inputs_of_later_versions(shop):
    """Its row does not say which features were null, and stands in a table that has columns of other versions."""
    at = pa.array([shop.clock.now()], pa.timestamp("us", "UTC"))
    row = {"prediction_id": ["returns~000000000000-0000-000000-00000001"], "row_id": ["x"], "at": at, "version": [1]}
    row |= {"arm": ["primary"], "score": [0.5], "f__size": [9.0], "f__later": pa.array([None], pa.float64())}
    shop.tables.append("predictions--returns", pa.table(row | {"_arrived": at}), key="old")
    found = shop.serving.find("returns~000000000000-0000-000000-00000001")
    assert found.features["size"] == 9.0 and "later" not in found.features
