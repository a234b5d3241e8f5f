"""The whole loop on the shop: what was promised of it, seen in the store."""

import json
import os
import random
import signal
import subprocess
import sys

import pyarrow.compute as pc
import pytest

from hanok.core.errors import Conflict, ModelNotFound
from hanok.core.lineage import NodeKind
from hanok.engine.evidence import Evidence
from hanok.engine.parts import find


def test_the_first_model_is_trained_gated_and_served(shop):
    versions = shop.tracking.registry.versions("returns")
    assert versions[-1].facts["verdict"]["passed"]
    assert shop.serving.deployment("returns") is not None
    assert shop.tables.size("predictions--returns") > 500


def test_labels_that_come_late_are_joined_to_their_predictions(shop):
    outcomes = shop.monitoring.outcomes("returns")
    assert outcomes.num_rows > 300
    assert pc.all(pc.greater(outcomes.column("known_at"), outcomes.column("at"))).as_py()
    days = [p for p in shop.monitoring.performance("returns") if p.role == "answered"]
    assert {"log_loss", "auc"} <= set(days[0].metrics)
    assert set(days[0].slices["product"]) == {"mug", "vase", "bowl"}


def test_a_schedule_retrains_and_the_gate_judges_against_the_champion(shop):
    versions = shop.tracking.registry.versions("returns")
    assert len(versions) >= 2
    assert "champion" in versions[0].facts["verdict"]["against"]
    assert versions[0].facts["reason"].startswith("schedule")


def test_no_feature_knows_the_future(shop):
    """Every windowed value equals a count by hand over what had arrived by then."""
    import datetime as dt

    from hanok.compute.duck import read

    model = shop.training.model("returns")
    day = dt.datetime(2026, 1, 12, tzinfo=dt.UTC)
    spine = shop.features.spine_rows(model, start=day, end=day + dt.timedelta(days=1))
    got = shop.features.historical(model, spine).to_pylist()
    known = read(shop.tables.scan("returns")).to_pylist()
    products = dict(zip(spine.column("order").to_pylist(), spine.column("product").to_pylist(), strict=True))
    for row in got[:40]:
        at = row["_at"]
        window = [
            r["returned"]
            for r in known
            if r["product"] == products[row["key__order"]] and at - dt.timedelta(days=3) < r["known"] <= at
        ]
        assert row["product__orders_3d"] == len(window)
        assert row["product__returned_3d"] == (pytest.approx(sum(window) / len(window)) if window else None)


def test_online_values_are_the_bits_of_the_historical_ones(shop):
    """The same row at the same instant: the online read and the point-in-time join agree exactly."""
    import pyarrow as pa

    model = shop.training.model("returns")
    now = shop.clock.now()
    for product in ("mug", "vase", "bowl"):
        spine = pa.table(
            {
                "order": ["x"],
                "product": [product],
                "size": [9.0],
                "key__order": ["x"],
                "_at": pa.array([now], pa.timestamp("us", "UTC")),
            }
        )
        historical = shop.features.historical(model, spine).to_pylist()[0]
        online = shop.features.online_features(model, {"product": product, "size": 9.0})
        assert {k: historical[k] for k in online} == online


def test_a_prediction_id_leads_to_features_version_and_training_set(shop):
    answer = shop.predicting.predict_entity("returns", {"order": "o01900"})
    found = shop.serving.find(answer["prediction_id"])
    assert found.features == answer["features"]
    assert found.entity["order"] == "o01900"
    version = next(v for v in shop.tracking.registry.versions("returns") if v.version == found.version)
    graph = shop.metadata.read(lambda r: r.lineage.walk(version.id))
    kinds = {n.kind for n in graph.nodes}
    assert {NodeKind.TRAINING_SET, NodeKind.SOURCE_SNAPSHOT, NodeKind.FEATURE_VIEW, NodeKind.RUN} <= kinds


def test_a_rolled_back_model_answers_as_it_did_when_it_was_live(shop):
    live = shop.serving.deployment("returns").primary
    for version in shop.tracking.registry.versions("returns"):
        if version.version != live:
            shop.training.promote("returns", version.version, actor="me", reason="try it", force=True)
            break
    proof = shop.training.rollback("returns", actor="me", reason="it is worse")
    assert proof.to == live
    assert proof.golden.rows > 100
    assert proof.golden.bit_equal is True
    assert shop.serving.deployment("returns").primary == live


def test_a_refused_version_is_promoted_only_by_force(shop):
    from dataclasses import replace

    version = shop.tracking.registry.versions("returns")[0]
    facts = {**version.facts, "verdict": {**version.facts["verdict"], "passed": False, "why": "worse"}}
    shop.metadata.write(lambda r: r.registry.put_version(replace(version, facts=facts)))
    with pytest.raises(Conflict, match="--force"):
        shop.training.promote("returns", version.version, actor="me", reason="")


def test_an_unknown_model_is_said_with_what_there_is(shop):
    with pytest.raises(ModelNotFound, match="returns"):
        shop.training.train("nope")


def _run(home, days):
    return [sys.executable, "-m", "tests.loop.run", str(home), str(days)]


def test_a_replay_killed_at_random_moments_ends_as_one_that_was_not(tmp_path):
    whole = subprocess.run(_run(tmp_path / "whole", 14), capture_output=True, text=True, check=True)
    rng = random.Random(os.environ.get("HANOK_SEED", "7"))
    for _ in range(4):
        process = subprocess.Popen(_run(tmp_path / "killed", 14), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=rng.uniform(1.0, 4.0))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    again = subprocess.run(_run(tmp_path / "killed", 14), capture_output=True, text=True, check=True)
    assert json.loads(again.stdout) == json.loads(whole.stdout)


def test_a_backup_taken_in_use_restores_to_the_same_summary(shop, tmp_path):
    from hanok.engine.backup import backup, restore
    from hanok.engine.doctor import check_blobs, check_home
    from hanok.engine.home import Home
    from hanok.engine.summary import summary
    from tests.loop.run import open_shop

    backup(shop.home, shop.metadata, shop.tables, shop.log, tmp_path / "b.tar")
    restore(tmp_path / "b.tar", Home(tmp_path / "again"))
    app = open_shop(tmp_path / "again")
    app.clock.move_to(shop.clock.now())
    assert summary(app) == summary(shop)
    assert [f for f in (*check_home(app.home), *check_blobs(app.metadata, app.blobs)) if not f.ok] == []
    app.close()


def test_an_old_version_is_rebuilt_bit_for_bit_after_later_backfills(shop):
    import pyarrow as pa

    from hanok.engine.reproduce import reproduce

    now = pa.array([shop.clock.now()], pa.timestamp("us", "UTC"))
    backfill = pa.table({"order": ["o00001"], "product": ["mug"], "returned": [1], "known": now})
    shop.ingesting.ingest("returns", backfill, key="a correction, later")
    first = shop.tracking.registry.versions("returns")[-1]
    again = reproduce(find(shop, Evidence), "returns", first.version)
    assert again.training_set_bit_equal and again.model_bit_equal and again.same_environment


def test_a_version_is_rebuilt_after_its_declaration_changed(shop):
    from hanok.core.declare import Gate
    from hanok.engine.reproduce import reproduce

    version = shop.tracking.registry.versions("returns")[0]
    before = shop.training.model("returns")
    shop.training._models["returns"] = replace_gate(before, Gate(confidence=0.9))
    assert find(shop, Evidence).declared.of_version(version) == before
    assert reproduce(find(shop, Evidence), "returns", version.version).model_bit_equal


def replace_gate(model, gate):
    import hanok as hk

    return hk.Model(
        model.name,
        task=model.task,
        spine=model.spine,
        label=model.label,
        features=model.features,
        train=model.train,
        split=model.split,
        gate=gate,
    )


def test_answers_keep_their_ids_and_records_across_compactions(shop):
    columns = {
        "price__amount": [20.0],
        "product__returned_3d": [0.2],
        "product__returned_7d": [0.2],
        "product__orders_3d": [50],
        "product__orders_7d": [90],
        "product": ["mug"],
    }
    ids = []
    for size in range(6):
        answer = shop.serving.predict("returns", {**columns, "size": [float(size)]}, entity={"order": f"new{size}"})[0]
        ids.append(answer.prediction_id)
        shop.serving.compact(everything=True)
    assert len(set(ids)) == 6
    assert [shop.serving.find(i).features["size"] for i in ids] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_no_outcome_is_stored_twice(shop):
    from hanok.compute.duck import read

    ids = read(shop.tables.scan("outcomes--returns"), ["prediction_id"]).column("prediction_id").to_pylist()
    assert len(ids) == len(set(ids))


def test_a_window_predicted_in_bulk_by_hand_is_logged_once(shop):
    from hanok.engine.verbs import call

    window = {"model": "returns", "start": "2026-01-15", "end": "2026-01-16"}
    first = call(shop, "predict.batch", "me", window)
    size = shop.tables.size("predictions--returns")
    assert first["predictions"] > 50
    assert call(shop, "predict.batch", "me", window)["predictions"] == first["predictions"]
    assert shop.tables.size("predictions--returns") == size
    assert shop.serving.find(first["first"]).batch.startswith("batch")


def test_what_serves_live_is_measured_once_an_hour(shop):
    shop.watching.measure_live()
    assert shop.metadata.read(lambda r: r.records.get("measured", "returns", "hour")) == {
        "hour": f"{shop.clock.now():%Y-%m-%dT%H}"
    }
    shop.watching.measure_live()


def test_answers_are_not_lost_while_the_log_is_compacted_beside_them(shop):
    import threading

    columns = {
        "price__amount": [20.0],
        "product__returned_3d": [0.2],
        "product__returned_7d": [0.2],
        "product__orders_3d": [50],
        "product__orders_7d": [90],
        "product": ["mug"],
        "size": [9.0],
    }
    stop, ids = threading.Event(), list[str]()

    def answer():
        while not stop.is_set():
            ids.extend(a.prediction_id for a in shop.serving.predict("returns", columns))

    worker = threading.Thread(target=answer)
    worker.start()
    while len(ids) < 300 and worker.is_alive():
        shop.serving.compact(everything=True)
    stop.set()
    worker.join()
    shop.serving.compact(everything=True)
    from hanok.compute.duck import read

    kept = read(shop.tables.scan("predictions--returns"), ["prediction_id"]).column("prediction_id").to_pylist()
    assert len(ids) >= 300 and len(set(ids)) == len(ids) and set(ids) <= set(kept)


def test_a_failed_append_to_the_log_of_a_table_doubles_nothing(tmp_path, monkeypatch):
    from hanok.stores.delta import DeltaTables
    from hanok.stores.delta.log import DeltaLog
    from hanok.stores.testing import rows, values

    tables = DeltaTables(tmp_path)
    tables.append("t", rows(1, 2), key="a")
    honest = DeltaLog.append

    def torn(self, table, *, total):
        honest(self, table, total=total)
        raise OSError("after the commit")

    monkeypatch.setattr(DeltaLog, "append", torn)
    tables.flush("t")
    monkeypatch.setattr(DeltaLog, "append", honest)
    tables.append("t", rows(3), key="b")
    tables.flush("t")
    assert values(tables.scan("t")) == [1, 2, 3]
    tables.close()
