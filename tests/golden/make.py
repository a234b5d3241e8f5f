"""Make a lived-in home with the code that is importable, and write down what it answers.

    PYTHONPATH=SOURCE/src:. python -m tests.golden.make tests/golden/hire-VERSION.tar.xz

Fourteen days of a bicycle hire are replayed; people intervene; then the process dies in the middle of a training, with
answers in open segments. The home is kept as it lies there, with `expected.json` beside it.
"""

import json
import os
import subprocess
import sys
import tarfile
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa

import hanok as hk
from hanok.core.clock import utc
from hanok.core.durations import duration
from hanok.engine.home import Home
from hanok.engine.replay import Replay
from tests.golden import asking, feeds

PROJECT = Path(__file__).parent / "project.py"
LEFT_OUT = {"lock", "project.path", "secrets.key", "hanok.db-shm", "lock.mdb"}
DIED = 9
SCHEMA = """
feature { name: "hire" type: BYTES presence { min_fraction: 1 } }
feature { name: "km" type: FLOAT float_domain { min: 0 max: 500 } }
feature { name: "bicycle" type: BYTES domain: "bicycles" }
feature { name: "electric" type: INT bool_domain { } }
string_domain { name: "bicycles" value: "city" value: "cargo" value: "race" }
"""


def open_home(home):
    return hk.open(home, project=PROJECT)


def at_midnight(day):
    return (datetime.fromisoformat(feeds.START) + timedelta(days=day)).strftime("%Y-%m-%d")


def people(client):
    """What people do at the end of a day; each is done once."""
    call = client.call

    def schema(app):
        call("schema.declare", table="hires", schema=SCHEMA, on_error="rows")
        call("table.slice", name="hires", columns=["bicycle"])
        call("user.add", name="mina", password="bicycle-bell-7", role="editor")
        call("user.add", name="tom", password="bicycle-bell-8", role="reader", project="default")
        call("token.create", name="ci", user="mina", access="user", days=None)
        return {}

    def bad_batch(app):
        bad = pa.table(
            {
                "hire": ["x-1", None, "x-3"],
                "taken": pa.array([app.clock.now()] * 3, pa.timestamp("us", "UTC")),
                "hour": pa.array([app.clock.now()] * 3, pa.timestamp("us", "UTC")),
                "rider": [1001, 1002, 1003],
                "station": ["Dock 1"] * 3,
                "km": [1.0, 2.0, -7.0],
                "bicycle": ["city", "city", "tandem"],
                "electric": [True, False, True],
                "people": pa.array([1, 1, 1], pa.int32()),
            }
        )
        client.ingest("hires", bad, key="by hand")
        return {}

    def ask_and_label(app):
        answers = [call("predict", model="late", match=match) for match in asking.ENTITIES["late"][:2]]
        call("label.add", model="late", value=0, prediction=answers[0]["prediction_id"])
        call("label.add", model="late", value=1, prediction=answers[0]["prediction_id"])  # corrected
        call("label.add", model="late", value=1, entity={"hire": "h-0200"})
        return {}

    def force(app):
        call("promote", model="late", version=2, reason="it was a bad day only", force=True)
        return {}

    def back(app):
        call("rollback", model="late", reason="riders complain")
        return {}

    def train(model):
        def action(app):
            call("train", model=model, reason="new rows")
            return {}

        return action

    def batch(app):
        call("predict.batch", model="payment", start=at_midnight(8), end=at_midnight(10))
        return {}

    days = {6: schema, 7: bad_batch, 8: ask_and_label, 9: train("damage"), 10: back, 11: force, 12: train("payment")}
    return {at_midnight(day): action for day, action in days.items()} | {at_midnight(13): batch}


def live(home):
    start = utc(datetime.fromisoformat(feeds.START))
    home.mkdir(parents=True)
    Home(home).note_time(start)
    with open_home(home) as client:
        replay = Replay(
            client.app,
            feeds.feeds(),
            start=start,
            first_training=duration(feeds.FIRST_TRAINING),
            actions=people(client),
        )
        replay.run(feeds.DAYS)
        drifted = [a for a in client.call("alert.list") if a["kind"] == "drift"]
        if drifted:
            client.call("alert.benign", alert=drifted[-1]["id"], why="longer rides in spring")
    for number in range(3):
        with hk.run(f"by hand {number}", experiment="notebooks", capture=(), where=home, tags={"who": "mina"}) as run:
            run.param(depth=number, rate=0.1)
            for step in range(4):
                run.log(loss=1 / (step + 1), step=step)
            run.artifact(f"notes of {number}", "notes.txt")


def die(home):
    """The last hours of the home: answers stay in open segments, and a training dies with its process."""
    import lightgbm

    client = open_home(home)
    expected = {
        "versions": asking.ask_versions(client),
        "entities": asking.ask_entities(client),
        "online": asking.ask_online(client),
        "lists": asking.ask_lists(client),
        "logged": {m: asking.logged(client, m) for m in asking.ENTITIES},
        "labels": {m: asking.labels(client, m) for m in asking.ENTITIES},
        "performance": {m: asking.performance(client, m) for m in asking.ENTITIES},
    }
    open_ids = [i for m in asking.ENTITIES for i, _ in client.app.log.recent(m, limit=1000)]
    some = [
        i for m in asking.ENTITIES for i in list(expected["logged"][m])[:: max(1, len(expected["logged"][m]) // 15)]
    ]
    online = [i for m in asking.ENTITIES for i, r in expected["logged"][m].items() if i.split("-")[-2] == "000000"][:6]
    expected["predictions"] = {i: asking.ask_prediction(client, i) for i in [*open_ids, *some, *online]}
    expected["open"] = open_ids
    (home.parent / "expected.json").write_text(json.dumps(expected, sort_keys=True, ensure_ascii=False))
    lightgbm.LGBMRegressor.fit = lambda *_, **__: os._exit(DIED)
    client.call("train", model="payment", reason="never ends")


def keep(home, target):
    def chosen(entry):
        return None if Path(entry.name).name in LEFT_OUT else entry

    with tarfile.open(target, "w:xz", preset=9) as archive:
        archive.add(home, "home", filter=chosen)
        archive.add(home.parent / "expected.json", "expected.json")


def main(target):
    with tempfile.TemporaryDirectory(prefix="golden-") as folder:
        home = Path(folder) / "home"
        for stage in ("live", "die"):
            done = subprocess.run([sys.executable, "-m", "tests.golden.make", stage, str(home)], check=False)
            if done.returncode != (DIED if stage == "die" else 0):
                raise SystemExit(f"stage {stage} ended with {done.returncode}")
        keep(home, target)


if __name__ == "__main__":
    if sys.argv[1] in ("live", "die"):
        {"live": live, "die": die}[sys.argv[1]](Path(sys.argv[2]))
    else:
        main(Path(sys.argv[1]))
