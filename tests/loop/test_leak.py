"""A leak planted in real flights: the mean delay of the same day, which nobody knows before the day is over."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

import hanok as hk
from hanok.cli.demo import example_folder
from hanok.core.clock import ReplayClock
from hanok.core.declare import Project
from hanok.engine.app import open_app
from hanok.engine.config import Config
from hanok.engine.project import load_module
from hanok.engine.replay import Replay

START = datetime(2013, 1, 1, tzinfo=UTC)
DAYS = 35
INSTANT = pa.timestamp("us", "UTC")
KEYS = ["flight", "origin", "scheduled"]


def boosted(frame):
    import lightgbm as lgb

    settings = {"objective": "binary", "num_threads": 1, "seed": 1, "deterministic": True, "verbosity": -1}
    return lgb.train(settings, lgb.Dataset(frame.X, frame.y), num_boost_round=40)


def model(spine, *features):
    return hk.Model(
        "late",
        task="binary",
        spine=hk.Spine(spine, predict_at="scheduled - 2h", keys=KEYS),
        label=hk.Label("landings", column="late", known_at="landed"),
        features=[*features, "distance", "sched_minute", "weekday"],
        train=boosted,
        split=hk.by_time(test="9d"),
        gate=hk.Gate(beats="baseline"),
    )


def day_means(landings):
    """The mean arrival delay of each origin and day of schedule."""
    days = landings.column("scheduled").to_numpy().astype("datetime64[D]")
    names = landings.column("origin").to_pylist()
    delays = landings.column("arr_delay").to_numpy()
    groups = {}
    for day, name, delay in zip(days, names, delays, strict=True):
        groups.setdefault((day, name), []).append(delay)
    return {key: float(np.mean(values)) for key, values in groups.items()}


@pytest.fixture(scope="module")
def recorded():
    pytest.importorskip("lightgbm")
    feeds = {f.table: f for f in load_module(example_folder("flights") / "feeds.py").feeds()}
    cut = START + timedelta(days=DAYS)
    rows = {name: feeds[name].between(datetime(2012, 1, 1, tzinfo=UTC), cut) for name in ("schedule", "landings")}
    return rows | {"means": day_means(rows["landings"][0])}


def instants(values):
    return pa.array(np.asarray(values, "datetime64[us]"), INSTANT)


def feed(name, rows, arrived, event_time, keys=KEYS):
    return hk.Feed(name, rows.append_column("known", arrived), arrived="known", keys=keys, event_time=event_time)


def trained(home, declared, *feeds):
    """The verdict on a model trained at the end of the replay."""
    views = tuple(f for f in declared.features if isinstance(f, hk.FeatureView))
    project = Project(tuple(v.source for v in views), views, (declared,))
    app = open_app(Config(home=home), clock=ReplayClock(START), project=project)
    Replay(app, feeds, start=START, first_training=timedelta(days=DAYS)).run(DAYS)
    (version,) = app.tracking.registry.versions("late")
    app.close()
    return version.facts


@pytest.fixture(scope="module")
def honest(recorded, tmp_path_factory):
    landings = feed("landings", *recorded["landings"], "landed")
    schedule = feed("schedule", *recorded["schedule"], "scheduled")
    return trained(tmp_path_factory.mktemp("honest") / "home", model("schedule"), schedule, landings)


def test_a_mean_over_the_whole_day_helps_nobody_who_asks_when_it_was_known(recorded, honest, tmp_path):
    means = recorded["means"]
    landings = feed("landings", *recorded["landings"], "landed")
    schedule = feed("schedule", *recorded["schedule"], "scheduled")
    days = instants([day for day, _ in means])
    over = instants([day + np.timedelta64(36, "h") for day, _ in means])  # when all of the day have landed
    daily = pa.table({"origin": [o for _, o in means], "day": days, "delay": list(means.values())})
    view = hk.FeatureView(
        "daily", keys="origin", ttl="1d", features=["delay"], source=hk.Source("daily", event_time="day")
    )
    daily_feed = feed("daily", daily, over, "day", ["origin", "day"])
    planted = trained(tmp_path / "view", model("schedule", view), schedule, landings, daily_feed)
    assert honest["leaks"] == []
    assert planted["metrics"]["auc"] < honest["metrics"]["auc"] + 0.03
    (gap,) = planted["gaps"]  # within its day of validity the value is never known: the view gives nothing, and says so
    assert (gap["view"], gap["share"]) == ("daily", 1.0)


def test_a_column_filled_in_afterwards_looks_too_good_and_is_refused_with_the_reason(recorded, honest, tmp_path):
    rows, _ = recorded["schedule"]
    landings = feed("landings", *recorded["landings"], "landed")
    at = rows.column("scheduled").to_numpy()
    keys = zip(at.astype("datetime64[D]"), rows.column("origin").to_pylist(), strict=True)
    filled = rows.append_column("day_delay", pa.array([recorded["means"].get(k) for k in keys], pa.float64()))
    later = instants(at.astype("datetime64[D]") + np.timedelta64(36, "h"))
    known = np.flatnonzero(later.to_numpy(zero_copy_only=False) < np.datetime64("2013-02-04"))
    schedule = feed("schedule", filled.take(known), later.take(pa.array(known)), "scheduled")
    facts = trained(tmp_path / "column", model("schedule", "day_delay"), schedule, landings)
    assert facts["metrics"]["auc"] > honest["metrics"]["auc"] + 0.03, honest["metrics"]
    (leak,) = facts["leaks"]
    assert leak["kind"] == "known late" and leak["certain"]
    assert not facts["verdict"]["passed"] and "arrived after the instant" in facts["verdict"]["why"]
