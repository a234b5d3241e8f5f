"""Versions with other features and redefined views: what is asked about an answer speaks of its own version's."""

import hanok as hk
from hanok.compute.duck import read
from hanok.core.declare import Project
from hanok.engine.verbs import call
from hanok.ui.views.common import Ask
from hanok.ui.views.predictions import prediction_page
from tests.loop.test_arms import arms, changed

OLD = {"price__amount", "product__returned_3d", "product__returned_7d", "product__orders_3d", "product__orders_7d"}
OLD |= {"product", "size"}


def test_every_read_speaks_of_the_features_of_the_version_that_answered(shop):
    old = shop.serving.deployment("returns").primary
    shop.serving.compact(everything=True)
    log = [r for r in read(shop.tables.scan("predictions--returns")).to_pylist() if r["arm"] != "shadow"]
    mine = [r for r in log if r["version"] == old][-1]
    asked, day = mine["prediction_id"], mine["at"].replace(hour=0, minute=0, second=0, microsecond=0)

    def told():
        why, on = call(shop, "why", "me", {"subject": asked}), {"subject": "returns", "day": day.isoformat()}
        shown = call(shop, "prediction.show", "me", {"prediction": asked})
        page = str(prediction_page(shop, Ask({"prediction": asked}, {})))
        return {
            "inputs": {f["feature"] for f in why["features"]},
            "skewed": [s["columns"] for s in why["suspects"] if s["kind"] == "skew"],
            "day": call(shop, "why", "me", on)["sentence"],
            "sources": {s["view"] for s in shown["source_rows"]},
            "page": [v in page for v in ("price__amount", "prices")],
            "past": call(shop, "hindsight", "me", {"model": "returns", "version": old})["months"],
        }

    before = told()
    assert (before["inputs"], before["sources"], before["skewed"]) == (OLD, {"price", "product"}, [])
    rebuilt = call(shop, "reproduce", "me", {"subject": f"returns@{old}"})

    redefined = hk.FeatureView(
        "product",
        keys="product",
        windows=["3d", "7d"],
        aggregate={"returned": hk.sum("returned"), "orders": hk.count()},
        source=hk.Source("returns", event_time="known"),
    )
    model = changed([redefined, "size"])  # a view and a column are gone, another view counts otherwise
    shop.declaring.apply(Project((), (redefined,), (model,)))
    new = shop.training.train("returns", promote=False).version
    arms(shop, new)
    assert told() == before
    assert call(shop, "reproduce", "me", {"subject": f"returns@{old}"}) == rebuilt

    later = {m["month"]: m for m in call(shop, "hindsight", "me", {"model": "returns", "version": new})["months"]}
    assert sum(m["rows"] for m in later.values()) == sum(m["rows"] for m in before["past"])
