"""Thousands of mutated requests: none ends in a 5xx, and what is answered is what a plain reading of the request gives.

HANOK_FUZZ sets how many (4,000 by default, 100,000 under `-m soak`), HANOK_FUZZ_SEED from which seed.
"""

import asyncio
import json
import math
import os
import random
import re
from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

import hanok as hk
from hanok.core.declare import Project
from hanok.engine.app import open_app
from hanok.engine.config import Config
from hanok.engine.verbs import call
from hanok.server.run import build
from tests.unit.server.fuzz import Generator, Model, Refused, infer, invocation, parsed

ROWS = 300
INSTANT = pa.timestamp("us", "UTC")
WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)?")
BOOSTERS = {}


def trained(name):
    def train(frame):
        import lightgbm

        model = lightgbm.LGBMClassifier(n_estimators=5, num_leaves=7, min_child_samples=5, n_jobs=1, verbose=-1)
        model.fit(frame.X, frame.y)
        BOOSTERS[name] = model.booster_
        return model

    return train


def columns():
    r = random.Random(1)
    words = ["good", "bad", "late", "order", "box", "red", "the", "of", "green"]
    return {
        "price": [r.gauss(0, 3) for _ in range(ROWS)],
        "units": [r.randint(-10, 90) for _ in range(ROWS)],
        "open": [r.random() < 0.5 for _ in range(ROWS)],
        "kind": [r.choice("abc") for _ in range(ROWS)],
        "note": [" ".join(r.choices(words, k=5)) + f" {i}" for i in range(ROWS)],
    }


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    found = columns()
    at = pa.array([datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=i) for i in range(ROWS)], INSTANT)
    ids = [f"e{i}" for i in range(ROWS)]
    truth = [int(p + u / 30 + 2 * (k == "a") > 1) for p, u, k in zip(found["price"], found["units"], found["kind"])]

    def model(name, features):
        return hk.Model(
            name,
            task="binary",
            spine=hk.Spine("rows", predict_at="at", keys="id"),
            label=hk.Label("labels", column="y", known_at="known"),
            features=features,
            train=trained(name),
            split=hk.at_random(),
        )

    project = Project((), (), (model("mixed", list(found)), model("numbers", ["price", "units", "open"])))
    app = open_app(Config(home=tmp_path_factory.mktemp("fuzz") / "home"), project=project)
    app.ingesting.ingest("rows", pa.table({"id": ids, "at": at, **found}), key="1")
    app.ingesting.ingest("labels", pa.table({"id": ids, "y": truth, "known": at}), key="1")
    for name in ("mixed", "numbers"):
        app.training.train(name)
    yield app
    app.close()


def score(app, name, given):
    """By LightGBM itself, on a matrix made here."""
    made = []
    for column in app.serving.model(name).signature.inputs:
        cells = given[column.name]
        if column.terms:
            counted = [None if t is None else Counter(WORD.findall(t.lower())) for t in cells]
            for term in column.terms:
                made.append([0.0 if c is None else math.log1p(c[term]) for c in counted])
            made.append([math.nan if c is None else math.log1p(sum(c.values())) for c in counted])
        elif column.datatype == "BYTES":
            places = {c: float(i) for i, c in enumerate(sorted(set("abc")))}
            made.append([places.get(v, math.nan) for v in cells])
        else:
            made.append([math.nan if v is None else float(v) for v in cells])
    matrix = np.array(made, float).T
    return BOOSTERS[name].predict(matrix).tolist() if len(matrix) else []


async def posted(server, path, body):
    sent = []
    path, _, query = path.partition("?")
    scope = {
        "type": "http", "method": "POST", "path": path, "query_string": query.encode(), "client": ("127.0.0.1", 1),
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")],
    }  # fmt: skip

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    await server(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


async def fuzzed(app, count, seed):
    server, counts, answered = build(app), Counter(), []
    models = [
        Model(name, {c.name: c.datatype for c in app.serving.model(name).signature.inputs})
        for name in ("mixed", "numbers")
    ]
    generator = Generator(models, seed)
    for number in range(count):
        path, body, model = generator.one()
        where = f"request {number} of seed {seed}: {path} {body[:2000]!r}"
        status, reply = await posted(server, path, body)
        oip = path.startswith("/v2")
        try:
            parsed(body)
            counts["parsed"] += 1
        except Refused:
            pass
        assert status in (200, 400, 413), f"{where} -> {status} {reply}"
        try:
            given, entity = (infer if oip else invocation)(body, model)
        except Refused as refusal:
            assert status != 200, f"{where} -> 200, and it is to be refused: {refusal} {reply}"
            assert "error" in reply if oip else "error_code" in reply
            counts["refused"] += 1
            continue
        assert status == 200, f"{where} -> {status} {reply}"
        counts["answered"] += 1
        want = score(app, model.name, given)
        if oip:
            outputs = {o["name"]: o["data"] for o in reply["outputs"]}
            found, ids = outputs.get("predict", want), reply["parameters"]["prediction_ids"]
            assert outputs.get("label", []) in ([], [str(int(s >= 0.5)) for s in want]), where
        else:
            found, ids = reply["predictions"], reply["prediction_ids"]
        assert found == pytest.approx(want, abs=1e-15), where
        assert len(ids) == len(want)
        if ids:
            answered.append((ids[0], {n: v[0] for n, v in given.items()}, entity))
    app.serving.compact(everything=True)
    return counts, answered


def check(app, count, seed):
    counts, answered = asyncio.run(fuzzed(app, count, seed))
    print(f"{count} requests of seed {seed}: {dict(counts)}")  # noqa: T201
    assert counts["parsed"] >= 0.3 * count
    assert counts["answered"] >= 0.1 * count
    for prediction, given, entity in random.Random(seed).sample(answered, 10):
        shown = call(app, "prediction.show", "test", {"prediction": prediction})
        assert shown["features"] == pytest.approx(given, nan_ok=True)
        assert bool(shown["entity"]) == bool(entity)
    prediction, _, entity = next(a for a in reversed(answered) if a[2])
    call(app, "label.add", "test", {"model": prediction.partition("~")[0], "value": 1, "entity": entity})
    assert call(app, "prediction.show", "test", {"prediction": prediction})["label"] == 1


def test_mutated_requests_are_answered_as_a_plain_reading_has_them_or_refused(app):
    check(app, int(os.environ.get("HANOK_FUZZ", "4000")), int(os.environ.get("HANOK_FUZZ_SEED", "1")))


@pytest.mark.soak
def test_a_hundred_thousand_mutated_requests(app):
    check(app, int(os.environ.get("HANOK_FUZZ", "100000")), int(os.environ.get("HANOK_FUZZ_SEED", "2")))
