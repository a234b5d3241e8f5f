"""A small bicycle hire: is a bicycle brought back late, what will be paid, is it damaged?

Its keys are text, integers, instants and booleans; its features numbers, text and booleans; its views plain and
windowed. Do not change it: the homes in this folder were made with it.
"""

import hanok as hk


def five_trees(frame):
    import lightgbm

    kind = lightgbm.LGBMRegressor if frame.task == "regression" else lightgbm.LGBMClassifier
    model = kind(n_estimators=5, num_leaves=7, min_child_samples=5, n_jobs=1, deterministic=True, verbose=-1)
    return model.fit(frame.X, frame.y)


rider = hk.FeatureView(
    "rider", keys="rider", features=["age", "member", "town"], source=hk.Source("riders", event_time="since")
)
weather = hk.FeatureView(
    "weather",
    keys="hour",
    ttl="2d",
    features=["temperature", "sky"],
    source=hk.Source("weather", event_time="hour"),
)
station = hk.FeatureView(
    "station",
    keys="station",
    windows=["1d", "3d"],
    aggregate={"late": hk.mean("late"), "returns": hk.count(), "longest": hk.max("km")},
    source=hk.Source("returns", event_time="back"),
)
drive = hk.FeatureView(
    "drive",
    keys="electric",
    windows=["2d"],
    aggregate={"km": hk.sum("km"), "shortest": hk.min("km"), "checked": hk.count("late")},
    source=hk.Source("returns", event_time="back"),
)

late = hk.Model(
    "late",
    task="binary",
    spine=hk.Spine("hires", predict_at="taken", keys=["hire"]),
    label=hk.Label("returns", column="late", known_at="back"),
    features=[rider, weather, station, drive, "km", "bicycle", "electric", "people"],
    train=five_trees,
    split=hk.by_time(test="2d"),
    gate=hk.Gate(beats="baseline", slices=["bicycle"], tolerance=1.0),
    retrain=hk.Retrain(every="4d", cooldown="1d"),
    rollout=hk.Rollout(
        shadow="1d", canary=[50], hold="2d", bake="1d", rollback_if=["log_loss > 9", "error_rate > 0.5"]
    ),
)
payment = hk.Model(
    "payment",
    task="regression",
    spine=hk.Spine("bills", predict_at="issued - 1h", keys=["rider", "issued"]),
    label=hk.Label("payments", column="amount", known_at="paid"),
    features=[rider, "km", "electric"],
    train=five_trees,
    split=hk.at_random(test=0.25),
    gate=hk.Gate(beats="baseline", tolerance=100.0),
    rollout=hk.Rollout(canary=[20], hold="30d"),
)
damage = hk.Model(
    "damage",
    task="multiclass",
    spine=hk.Spine("inspections", predict_at="at", keys=["slot", "electric"]),
    label=hk.Label("findings", column="found", known_at="at"),
    features=["km", "electric", "bicycle", "age_days"],
    train=hk.AutoML(metric="log_loss", trials=0),
    split=hk.by_time(test="2d"),
    gate=hk.Gate(beats="baseline", tolerance=10.0),
    rollout=hk.Rollout(shadow="30d"),
)
