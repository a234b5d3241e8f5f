"""Performance before labels on the shop: made, kept, checked when labels come; and drift known to be benign."""

import json
from datetime import timedelta

import pyarrow as pa
import pytest

from hanok.compute.duck import read
from hanok.core.errors import Invalid
from hanok.core.monitoring import DriftReport, FeatureDrift
from hanok.engine.verbs import call


def test_every_day_of_answers_has_an_estimate_and_is_checked_when_its_labels_are_in(shop):
    found = call(shop, "estimate", "me", {"model": "returns", "window": "day", "limit": 30})
    known = [w for w in found["windows"] if w["estimated"] is not None and w["reliable"]]
    assert known and all(w["low"] < w["estimated"] < w["high"] for w in known)
    assert found["record"]["checked"] == sum(w["inside"] is not None for w in found["windows"]) > 0
    assert found["newest"]["metric"] == "auc"
    assert all(w["why"] for w in found["windows"] if not w["reliable"] or w["inside"] is False)


def test_what_was_realised_is_what_was_measured(shop):
    answered = [p for p in shop.monitoring.performance("returns") if p.role == "answered"]
    measured = {p.day: p.metrics["auc"] for p in answered}
    checked = [b for b in shop.monitoring.estimates.list("returns", "day") if b.checked]
    assert checked
    for body in checked:
        assert body.checked.realised["auc"] == pytest.approx(
            measured[body.start], abs=0.04
        )  # a day after its end some labels are still to come


def test_a_check_is_an_event(shop):
    kinds = [e.kind for e in shop.metadata.read(lambda r: r.outbox.after(0, limit=100_000))]
    checked = [b for w in ("day", "week") for b in shop.monitoring.estimates.list("returns", w) if b.checked]
    assert kinds.count("estimate_checked") == len(checked) > 0


def test_a_label_that_comes_weeks_later_is_measured_when_it_comes(shop):
    """A correction for the first day of answers, twenty days on: that day is measured anew."""

    def first_day():
        return next(p for p in shop.monitoring.performance("returns") if p.role == "answered")

    before = first_day()
    outcomes = read(shop.tables.scan("outcomes--returns")).to_pylist()
    wrong = next(r["prediction_id"] for r in outcomes if f"{r['at']:%Y-%m-%d}" == before.day and r["label"] == 0)
    later = shop.clock.now() + timedelta(days=20)
    shop.clock.move_to(later)
    rows = pa.table(
        {
            "order": [shop.serving.find(wrong).entity["order"]],
            "product": ["mug"],
            "returned": [1],
            "known": pa.array([later], pa.timestamp("us", "UTC")),
        }
    )
    shop.ingesting.ingest("returns", rows, key="very late")
    shop.bus.drain()
    shop.watching.measure("returns", later.replace(hour=0, minute=0, second=0, microsecond=0))
    assert first_day().mean_label == pytest.approx(before.mean_label + 1 / before.rows)


def test_a_missing_input_withholds_the_estimate_before_any_label(shop):
    model = shop.training.model("returns")
    primary = shop.serving.deployment("returns").primary

    def doubts(report):
        return shop.watching._doubts("returns", primary, report)

    assert doubts(drifted(importance=0.3)) == ["size missing"]
    assert doubts(drifted(importance=0.01)) == []
    shop.alerts.raise_(model.spine.table, "feed", "late-feed", "silent")
    day = shop.clock.now() - timedelta(days=1)
    shop.monitoring.estimates.follow("returns", "binary", {}, day, doubts(None))
    newest = call(shop, "estimate", "me", {"model": "returns", "window": "day"})["newest"]
    assert not newest["reliable"] and newest["low"] is None and "silent" in newest["why"]


def test_a_read_counts_the_answers_and_labels_that_are_there_now_measured_or_not(shop):
    shop.clock.move_to(shop.clock.now() + timedelta(days=8))
    asked = {"price__amount": [20.0], "product__returned_3d": [0.2], "product__returned_7d": [0.2]}
    asked |= {"product__orders_3d": [50], "product__orders_7d": [90], "product": ["mug"], "size": [9.0]}
    for order in ("now 1", "now 2"):
        shop.serving.predict("returns", asked, entity={"order": order})
    call(shop, "label.add", "me", {"model": "returns", "value": 1, "entity": {"order": "now 1"}})
    newest = call(shop, "estimate", "me", {"model": "returns", "window": "day"})["newest"]
    assert newest["start"] == f"{shop.clock.now():%Y-%m-%d}" and newest["rows"] == 2
    assert newest["labelled"] == 0.5 and "once an hour" in newest["why"] and newest["estimated"] is None


def drifted(**more):
    body = dict.fromkeys(("psi", "psi_noise_floor", "js_distance_base2", "p_adjusted", "harm", "null_share"), 0.0)
    flags = dict.fromkeys(("suspicious", "integrity", "alarm"), False)
    feature = FeatureDrift(feature="size", missing=True, **body, **flags, **more)
    return DriftReport("2026-01-01", "", "", 9, (feature,), "")


def drift_alert(shop, kind="drift"):
    now = shop.clock.now()
    facts = {"feature": "size", "psi": 3.0}
    return shop.alerts.raise_("returns", kind, f"{kind}:size", "size has drifted", facts=facts), now


def test_an_alarm_marked_as_benign_is_resolved_and_its_shape_is_known(shop):
    alert, _ = drift_alert(shop)
    call(shop, "alert.benign", "ann", {"alert": alert, "why": "children's shoes in summer"})
    resolved = shop.alerts.get(alert)
    assert resolved.state == "resolved" and "ann" in resolved.resolution
    from hanok.parts.monitoring.benign import Benign, alike, said

    log = read(shop.tables.scan("predictions--returns"), ["f__size"]).column("f__size")
    shapes = Benign(metadata=shop.metadata, clock=shop.clock).shapes("returns")["size"]
    known = alike(shapes, log)
    assert known is not None and "ann marked as benign: children's shoes" in said(known)
    moved = pa.chunked_array([pa.array([v and v + 30 for v in log.to_pylist()], pa.float64())])
    assert alike(shapes, moved) is None
    graph = shop.metadata.read(lambda r: r.lineage.neighbours(alert))
    assert any(n.name == "benign: size of returns" for n in graph.nodes)


def test_only_drift_is_marked_as_benign_and_only_with_a_reason(shop):
    alert, _ = drift_alert(shop, "feed")
    with pytest.raises(Invalid, match="kind feed"):
        call(shop, "alert.benign", "ann", {"alert": alert, "why": "x"})
    drift, _ = drift_alert(shop)
    with pytest.raises(Invalid, match="reason"):
        call(shop, "alert.benign", "ann", {"alert": drift, "why": " "})


def test_the_command_line_says_it_in_a_sentence(replayed_home, tmp_path):
    import shutil

    from click.testing import CliRunner

    from hanok.cli import cli

    shutil.copytree(replayed_home, tmp_path / "home")
    told = CliRunner().invoke(cli, ["estimate", "returns", "--window", "day", "--home", str(tmp_path / "home")])
    assert told.exit_code == 0 and "auc estimated" in told.stderr and "checked" in told.stderr
    asked = CliRunner().invoke(cli, ["estimate", "returns", "--json", "--home", str(tmp_path / "home")])
    assert json.loads(asked.stdout)["model"] == "returns"
