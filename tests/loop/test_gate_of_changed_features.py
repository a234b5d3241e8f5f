"""The features of a model change between two trainings: the champion is judged on the same rows, with its own."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pyarrow as pa
import pytest

import hanok as hk
from hanok.core.clock import ReplayClock
from hanok.core.declare import Project
from hanok.engine.app import open_app
from hanok.engine.config import Config
from hanok.parts.training.gate import BASELINE
from tests.loop import feeds
from tests.loop.project import price, product

LATE = hk.FeatureView(
    "late",
    keys="product",
    windows=["1d"],
    aggregate={"orders": hk.count()},
    source=hk.Source("returns", event_time="known"),
)
SUMMED = hk.FeatureView(
    "product",
    keys="product",
    windows=["3d", "7d"],
    aggregate={"returned": hk.sum("returned"), "orders": hk.count()},
    source=hk.Source("returns", event_time="known"),
)
COST = hk.FeatureView(
    "cost", keys="product", ttl="30d", features=["amount"], source=hk.Source("prices", event_time="changed")
)
WORDS = hk.FeatureView(
    "price", keys="product", ttl="30d", features=["amount"], source=hk.Source("price-words", event_time="changed")
)
CHANGES = {
    "none": [price, product, "product", "size"],
    "new": [price, product, LATE, "product", "size"],
    "dropped": [price, "size"],
    "renamed": [COST, product, "product", "size"],
    "retyped": [WORDS, product, "product", "size"],
    "a view of the same name reads otherwise": [price, SUMMED, "product", "size"],
    "all at once": [WORDS, SUMMED, LATE, "product"],
}


def changed(features, *, table="orders", task="binary"):
    return hk.Model(
        "returns",
        task=task,
        spine=hk.Spine(table, predict_at="ordered", keys=["order"]),
        label=hk.Label("returns", column="returned", known_at="known"),
        features=features,
        train=hk.AutoML(metric="brier" if task == "binary" else "rmse", trials=0),
        split=hk.by_time(test="4d"),
        gate=hk.Gate(beats="champion"),
    )


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """All feeds of the shop, and a champion."""
    app = open_app(
        Config(home=tmp_path_factory.mktemp("changed") / "home"), clock=ReplayClock(datetime(2026, 1, 22, tzinfo=UTC))
    )
    orders, prices, returns = ((f.table, f.rows, f) for f in feeds.feeds(12))
    amounts = pa.array([f"about {v:.0f}" for v in prices[1]["amount"].to_pylist()])
    words = prices[1].set_column(prices[1].column_names.index("amount"), "amount", amounts)
    tables = [
        orders,
        prices,
        returns,
        ("price-words", words, prices[2]),
        ("sizeless", orders[1].drop_columns("size"), orders[2]),
    ]
    for table, rows, feed in tables:
        app.ingesting.ingest(table, rows, key="all", arrived=feed.arrived, keys=feed.keys, event_time=feed.event_time)
    model = changed(CHANGES["none"])
    app.declaring.apply(Project((), model.views, (model,)))
    champion = app.training.train("returns").version
    yield SimpleNamespace(app=app, champion=champion, verdicts={})
    app.close()


def judged(shop, name, model):
    if name not in shop.verdicts:
        shop.app.declaring.apply(Project((), model.views, (model,)))
        shop.verdicts[name] = shop.app.training.train("returns", promote=False).verdict
    return shop.verdicts[name]


@pytest.mark.parametrize("change", CHANGES)
def test_a_champion_answers_the_held_out_rows_as_if_nothing_had_changed(shop, change):
    usual = judged(shop, "none", changed(CHANGES["none"]))
    verdict = judged(shop, change, changed(CHANGES[change]))
    assert verdict.against == f"champion (version {shop.champion})" and not verdict.champion_unjudged
    assert verdict.rows == usual.rows
    assert verdict.champion == usual.champion  # every metric, to the last bit
    assert (verdict.challenger == usual.challenger) == (change in ("none", "renamed"))


IMPOSSIBLE = {
    "its column is gone": (changed([price, "product"], table="sizeless"), "'sizeless' has no column 'size'"),
    "its task is another": (changed([price, "size"], task="regression"), "trained as binary"),
}


@pytest.mark.parametrize("why", IMPOSSIBLE)
def test_a_champion_that_cannot_be_judged_leaves_the_baseline_and_the_verdict_says_why(shop, why):
    model, said = IMPOSSIBLE[why]
    verdict = judged(shop, why, model)
    assert verdict.against == BASELINE
    assert f"champion (version {shop.champion}) cannot be judged" in verdict.champion_unjudged
    assert said in verdict.champion_unjudged and verdict.champion_unjudged in verdict.why
