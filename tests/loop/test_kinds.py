"""A model of any kind goes round: trained by code of one's own, served, logged, watched and rolled back."""

from datetime import UTC, datetime, timedelta

import httpx
import numpy as np
import pyarrow as pa
import pytest

import hanok as hk
from hanok.core.clock import ReplayClock
from hanok.core.declare import Project
from hanok.engine.app import open_app
from hanok.engine.config import Config
from hanok.server.run import build
from tests.unit.server.conftest import Sync

START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS, A_DAY = 12, 40
MADE = []  # what `train` returns, one after the other


def train(frame):
    return MADE[-1](frame)


def hist(frame):
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=5).fit(frame.X, frame.y)


def forest(frame):
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(5, max_depth=4, random_state=0).fit(frame.X, frame.y)


def pipeline(frame):
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()).fit(frame.X, frame.y)


ORDERS = hk.Model(
    "orders",
    task="binary",
    spine=hk.Spine("orders", predict_at="at", keys="id"),
    label=hk.Label("returns", column="y", known_at="known"),
    features=["price", "weight", "shop"],
    train=train,
    split=hk.at_random(test=0.3),
    gate=hk.Gate(beats="baseline"),
)


def orders(days, shift=0.0, seed=0):
    random, first, count = np.random.default_rng(seed), days[0], len(days) * A_DAY
    at = [START + timedelta(days=days[i // A_DAY], minutes=30 * (i % A_DAY)) for i in range(count)]
    price, shop = random.normal(shift, 1, count), random.choice(["east", "west"], count)
    late = (price + (shop == "west") + 0.3 * random.normal(size=count) > 0.5).astype(int)
    instants = pa.array(at, pa.timestamp("us", "UTC"))
    ids = [f"{first}-{i}" for i in range(count)]
    weight = pa.array([None if random.random() < 0.05 else float(w) for w in random.normal(size=count)])
    rows = pa.table({"id": ids, "at": instants, "price": price, "weight": weight, "shop": shop})
    return rows, pa.table({"id": ids, "known": instants, "y": late})


@pytest.fixture
def app(tmp_path):
    clock = ReplayClock(START + timedelta(days=DAYS))
    app = open_app(Config(home=tmp_path / "home"), project=Project((), (), (ORDERS,)), clock=clock)
    rows, labels = orders(range(DAYS))
    app.ingesting.ingest("orders", rows, key="1")
    app.ingesting.ingest("returns", labels, key="1")
    yield app
    app.close()


def asked(client, price, shop="east"):
    body = {"inputs": [{"name": "price", "shape": [1], "datatype": "FP64", "data": [price]},
                       {"name": "weight", "shape": [1], "datatype": "FP64", "data": [None]},
                       {"name": "shop", "shape": [1], "datatype": "BYTES", "data": [shop]}]}  # fmt: skip
    reply = client.post("/v2/models/orders/infer", json=body)
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_kinds_go_round_from_training_to_rollback(app):
    client = httpx.Client(transport=Sync(build(app)), base_url="http://127.0.0.1")
    answers = {}
    for version, (kind, runtime) in enumerate(((hist, "lightgbm"), (forest, "lightgbm"), (pipeline, "onnx")), 1):
        MADE.append(kind)
        trained = app.training.train("orders", reason="try", actor="me", promote=False)
        assert trained.verdict.passed, trained.verdict.why
        stored = app.tracking.registry.versions("orders")[0]
        assert app.packages.manifest(stored.package)["runtime"] == runtime
        app.training.deploy("orders", version, actor="me", reason="try")
        reply = asked(client, 1.5)
        answers[version] = reply["outputs"][0]["data"][0]
        found = app.serving.find(reply["parameters"]["prediction_ids"][0])
        assert (found.version, found.score, found.features["shop"]) == (version, answers[version], "east")
        assert asked(client, 1.5, "a shop never seen")["outputs"][1]["data"][0] in ("0", "1")
    assert answers[1] > 0.5

    day = START + timedelta(days=DAYS)
    rows, _ = orders(range(DAYS, DAYS + 4), shift=3.0, seed=1)
    app.ingesting.ingest("orders", rows, key="2")
    for offset in range(4):
        app.clock.move_to(day + timedelta(days=offset + 1))
        ids, before = app.predicting.predict_due(
            "orders", day + timedelta(days=offset), day + timedelta(days=offset + 1)
        )
        assert (len(ids), before, ids.failed) == (A_DAY, 0, {})
        app.serving.compact(everything=True)
        app.bus.drain()
        app.watching.measure("orders", day + timedelta(days=offset))
    reports = app.monitoring.drift_reports("orders")
    moved = {f.feature: f.psi or 0.0 for report in reports for f in report.features}
    assert moved["price"] > 1 > moved["shop"]

    proof = app.training.rollback("orders", actor="me", reason="back", to=1)
    assert proof.to == 1 and proof.golden.bit_equal and proof.golden.rows > 0
    assert asked(client, 1.5)["outputs"][0]["data"][0] == answers[1]
