"""A model's features change while it serves: each version is answered with the features that it was trained with."""

import hanok as hk
from hanok.core.declare import Project
from hanok.core.serving import Arm
from tests.loop.project import price, product

WHO = {"order": "o01900"}


def changed(features):
    """The shop's model with other features, without gate and rollout: its versions are deployed by hand."""
    return hk.Model(
        "returns",
        task="binary",
        spine=hk.Spine("orders", predict_at="ordered", keys=["order"]),
        label=hk.Label("returns", column="returned", known_at="known"),
        features=features,
        train=hk.AutoML(metric="log_loss", trials=0),
        split=hk.by_time(test="4d"),
        gate=hk.Gate(beats="baseline"),
    )


def arms(shop, primary, **others):
    modes = [Arm(version, mode, 50 if mode == "canary" else 0) for mode, version in others.items()]
    share = 50 if "canary" in others else 100
    shop.serving.deploy("returns", [Arm(primary, "primary", share), *modes], actor="me", reason="by hand")


def shadows(shop, answer):
    """What the arms beside an answer logged: version, error, features."""
    from hanok.compute.duck import read

    shop.serving.compact(everything=True)
    rows = read(shop.tables.scan("predictions--returns")).to_pylist()
    beside = [r["prediction_id"] for r in rows if r["row_id"] == answer["prediction_id"] != r["prediction_id"]]
    return [shop.serving.find(i) for i in beside]


def test_by_entity_answers_hold_through_shadow_canary_promotion_and_rollback_of_other_features(shop):
    old = shop.serving.deployment("returns").primary
    before = shop.predicting.predict_entity("returns", WHO)
    late = hk.FeatureView(
        "late",
        keys="product",
        windows=["1d"],
        aggregate={"orders": hk.count()},
        source=hk.Source("returns", event_time="known"),
    )
    model = changed([price, late, "size"])  # a view is new, one is gone, and so is a column
    shop.declaring.apply(Project((), (price, product, late), (model,)))
    new = shop.training.train("returns", promote=False).version
    wanted = {old: set(before["features"]), new: {"price__amount", "late__orders_1d", "size"}}

    arms(shop, old, shadow=new)
    answer = shop.predicting.predict_entity("returns", WHO)
    assert (answer["version"], answer["score"], answer["features"]) == (old, before["score"], before["features"])
    assert [(s.version, s.error, set(s.features)) for s in shadows(shop, answer)] == [(new, "", wanted[new])]

    arms(shop, old, canary=new)
    by_order = {}
    for number in range(1800, 1830):
        answer = shop.predicting.predict_entity("returns", {"order": f"o{number:05d}"})
        by_order[f"o{number:05d}"] = answer["version"]
        assert set(answer["features"]) == wanted[answer["version"]]
        assert [(s.error, set(s.features)) for s in shadows(shop, answer)] == [
            ("", wanted[old + new - answer["version"]])
        ]
    assert set(by_order.values()) == {old, new}

    arms(shop, new)
    assert shop.predicting.predict_entity("returns", WHO)["version"] == new
    arms(shop, old)
    back = shop.predicting.predict_entity("returns", WHO)
    assert (back["version"], back["score"], back["features"]) == (old, before["score"], before["features"])
    for answer in (before, back):
        assert shop.serving.find(answer["prediction_id"]).features == answer["features"]


def test_a_batch_scores_each_arm_with_its_own_features(shop):
    from datetime import UTC, datetime

    old = shop.serving.deployment("returns").primary
    shop.declaring.apply(Project((), (price, product), (changed([price, "product"]),)))
    new = shop.training.train("returns", promote=False).version
    arms(shop, old, canary=new)
    ids = shop.predicting.predict_window(
        "returns", datetime(2026, 1, 15, tzinfo=UTC), datetime(2026, 1, 15, 6, tzinfo=UTC), key="morning"
    )
    found = [shop.serving.find(i) for i in ids]
    assert {f.version for f in found} == {old, new} and not ids.failed
    assert all(len(f.features) == (2 if f.version == new else 7) and f.score is not None for f in found)


def test_a_window_asked_again_answers_the_rows_that_came_since_and_after_a_deployment_all_of_them(shop):
    import pyarrow as pa

    from hanok.engine.verbs import call

    window = {"model": "returns", "start": "2026-01-15", "end": "2026-01-15T06:00"}
    first = call(shop, "predict.batch", "ann", window)
    told = {i: part["version"] for part in first["by_version"] for i in part["ids"]}
    assert len(told) == first["predictions"]
    assert all(shop.serving.find(i).version == version for i, version in told.items())
    assert first["predictions"] > 0 and first["answered_before"] == 0
    assert call(shop, "predict.batch", "ann", window) == first | {"answered_before": first["predictions"]}
    late = pa.table({"order": ["late"], "ordered": ["2026-01-15T03:00:00+00:00"], "product": ["p1"], "size": [3]})
    shop.ingesting.ingest("orders", late, key="late")
    again = call(shop, "predict.batch", "ann", window)
    assert again["predictions"] == first["predictions"] + 1 and again["answered_before"] == first["predictions"]
    assert shop.serving.find(again["last"]).entity["order"] == "late"
    arms(shop, shop.serving.deployment("returns").primary)
    anew = call(shop, "predict.batch", "ann", window)
    assert anew["predictions"] == again["predictions"] and anew["answered_before"] == 0
