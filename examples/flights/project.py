"""Will this flight arrive more than 15 minutes late? Asked two hours before its scheduled departure."""

import hanok as hk

landings = hk.Source("landings", event_time="landed")

weather = hk.FeatureView(
    "weather",
    keys="origin",
    ttl="3h",
    features=["temp", "dewp", "wind_speed", "precip", "visib", "pressure"],
    source=hk.Source("weather", event_time="time_hour"),
)
plane = hk.FeatureView(
    "plane",
    keys="tailnum",
    features=["seats", "built"],
    source=hk.Source("planes", event_time="registered"),
)
carrier = hk.FeatureView(
    "carrier",
    keys="carrier",
    windows=["24h", "7d"],
    aggregate={"late_rate": hk.mean("late"), "flights": hk.count()},
    source=landings,
)
origin = hk.FeatureView(
    "origin",
    keys="origin",
    windows=["2h", "6h", "24h"],
    aggregate={"late_rate": hk.mean("late"), "delay": hk.mean("arr_delay")},
    source=landings,
)
dest = hk.FeatureView("dest", keys="dest", windows=["24h"], aggregate={"late_rate": hk.mean("late")}, source=landings)

late_arrival = hk.Model(
    "late-arrival",
    task="binary",
    spine=hk.Spine("schedule", predict_at="scheduled - 2h", keys=["flight", "origin", "scheduled"]),
    label=hk.Label("landings", column="late", known_at="landed"),
    features=[
        weather,
        plane,
        carrier,
        origin,
        dest,
        "carrier",
        "origin",
        "dest",
        "distance",
        "sched_minute",
        "weekday",
    ],
    train=hk.AutoML(metric="log_loss", trials=6),
    split=hk.by_time(test="28d"),
    gate=hk.Gate(beats="champion", metric="log_loss", confidence=0.95, slices=["carrier", "origin"]),
    retrain=hk.Retrain(window="expanding", every="30d", new_rows=30_000, drop=("log_loss", 0.03), cooldown="21d"),
    rollout=hk.Rollout(
        shadow="1d", canary=[5, 25, 100], hold="1d", rollback_if=["log_loss > champion", "error_rate > 0.01"]
    ),
    alert=hk.Webhook("http://localhost:9093/alerts"),
)
