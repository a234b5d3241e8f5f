"""A small shop: will an order be returned? Orders, returns that come days later, prices per product."""

import hanok as hk

price = hk.FeatureView(
    "price", keys="product", ttl="30d", features=["amount"], source=hk.Source("prices", event_time="changed")
)
product = hk.FeatureView(
    "product",
    keys="product",
    windows=["3d", "7d"],
    aggregate={"returned": hk.mean("returned"), "orders": hk.count()},
    source=hk.Source("returns", event_time="known"),
)
returns = hk.Model(
    "returns",
    task="binary",
    spine=hk.Spine("orders", predict_at="ordered", keys=["order"]),
    label=hk.Label("returns", column="returned", known_at="known"),
    features=[price, product, "product", "size"],
    train=hk.AutoML(metric="log_loss", trials=1),
    split=hk.by_time(test="4d"),
    gate=hk.Gate(beats="champion", slices=["product"]),
    retrain=hk.Retrain(every="6d", cooldown="2d"),
    rollout=hk.Rollout(shadow="1d", canary=[50, 100], hold="1d", rollback_if=["log_loss > champion"]),
)
