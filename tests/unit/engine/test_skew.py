"""Training-serving skew is a merge and a comparison of statistics; requests pay nothing for it."""

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from hanok.compute import encoding
from hanok.core.errors import Invalid
from hanok.core.monitoring import DRIFT, DriftReport, FeatureDrift
from hanok.engine.skew import SCORE
from hanok.engine.verbs import call
from hanok.parts.serving.log import TABLE
from hanok.ui.render import render
from hanok.ui.views.common import Ask
from hanok.ui.views.models import model_page
from hanok.wire.tfdv import from_text


def answered(shop, n=1500, seed=0, **columns):
    """Answer rows that look like the training set, but for `columns`."""
    rng = np.random.default_rng(seed)
    version = shop.training.version("returns", shop.serving.deployment("returns").primary)
    with shop.blobs.open(version.facts["statistics"]) as file:
        trained = encoding.read(file.read())
    rows = {}
    for name, c in trained.columns.items():
        values = c.frequent.values.to_pylist() if c.frequent.exact else c.quantiles.weighted()[0].tolist()
        weights = c.frequent.counts if c.frequent.exact else c.quantiles.weighted()[1]
        drawn = rng.choice(len(values), n, p=np.asarray(weights, float) / sum(weights))
        null = rng.random(n) < c.nulls / c.rows
        rows[name] = pa.array([None if gone else values[i] for i, gone in zip(drawn, null)])
    ids = shop.serving.predict_batch("returns", pa.table(rows | columns), key=f"skew {seed}")
    assert len(ids) == n
    return trained


def test_the_statistics_of_answers_are_those_of_the_log(shop):
    state = shop.skew.serving_state("returns")
    assert state.rows > 0 and SCORE in state.columns
    assert shop.skew.fold("returns") == 0  # nothing new
    before = shop.tables.size(TABLE + "returns")
    answered(shop, 300)
    assert shop.tables.size(TABLE + "returns") >= before + 300
    assert shop.skew.fold("returns", least=10**6) == 0 and shop.skew.fold("returns") == 300


@pytest.mark.parametrize("feature", ["score", "Score", "at", "AT", "arm", "error", "c1", "version", "amount"])
def test_a_feature_of_any_name_is_folded_as_itself(empty_shop, feature):
    at = pa.array([empty_shop.clock.now()] * 2, pa.timestamp("us", "UTC"))
    log = {
        "f__" + feature: [5.0, 6.0],
        "f__other": ["a", "b"],
        "score": [0.1, 0.2],
        "at": at,
        "_arrived": at,
        "version": [1, 1],
    }
    log |= {"arm": ["primary", "primary"], "error": ["", ""]}
    empty_shop.tables.append(TABLE + "odd", pa.table(log), key="one")
    assert empty_shop.skew.fold("odd") == 2
    columns = empty_shop.skew.serving_state("odd").columns
    assert set(columns) == {feature, "other", SCORE}
    assert (columns[feature].minimum, columns[feature].maximum, columns[SCORE].maximum) == (5.0, 6.0, 0.2)


def test_versions_are_held_against_what_they_were_asked_and_batches_of_before_count_as_a_whole(empty_shop):
    """The same feature may be text of one version and a number of another."""

    def log(key, **columns):
        count = len(columns["version"])
        at = pa.array([empty_shop.clock.now()] * count, pa.timestamp("us", "UTC"))
        rows = {"score": [0.5] * count, "arm": ["primary"] * count, "error": [""] * count, "at": at, "_arrived": at}
        empty_shop.tables.append(TABLE + "odd", pa.table(rows | columns), key=key)

    log("one", version=[1, 1, 2], f__size=["big", "small", None], n__size=[None, None, 7.0])
    asked = {1: {"size": "BYTES"}, 2: {"size": "FP64"}}
    empty_shop.skew._alike.inputs = lambda _, number: asked[number]
    empty_shop.skew._alike.of = lambda _, number: frozenset({number})
    assert empty_shop.skew.fold("odd") == 3
    name, kept = TABLE + "odd", empty_shop.validation.kept
    (first,) = kept.of_values(name, "version", {"1"}).values()
    (second,) = kept.of_values(name, "version", {"2"}).values()
    assert (first.rows, first.columns["size"].type) == (2, "STRING")
    assert (second.rows, second.columns["size"].maximum) == (1, 7.0)
    (whole,) = kept.select(name).by_partition.values()
    assert whole.rows == 3
    body = next(iter(empty_shop.metadata.read(lambda r: r.records.list("state", name))))
    earlier = {k: v for k, v in body.items() if not k.startswith("_")} | {"sliced": []}
    earlier["parts"] = [p for p in body["parts"] if not p[1]]
    now = empty_shop.clock.now()
    empty_shop.metadata.write(lambda r: r.records.put("state", name, body["_key"], earlier, now))
    assert [s.rows for s in kept.of_values(name, "version", {"1"}).values()] == [3]


def test_equal_data_is_not_skewed_and_a_unit_break_is(shop):
    shop.clock.move_to(shop.clock.now().replace(year=shop.clock.now().year + 1))
    trained = answered(shop)
    found = call(shop, "skew", "test", {"model": "returns"})
    assert found["rows"] == 1500 and not any(f["moved"] for f in found["features"])
    name = next(n for n, c in trained.columns.items() if c.type in ("INT", "FLOAT"))
    shop.clock.move_to(shop.clock.now().replace(year=shop.clock.now().year + 1))
    answered(shop, seed=1, **{name: pa.array(np.full(1500, 1e6))})
    found = shop.skew.measure("returns")
    assert found.features[0].column == name and found.features[0].moved
    assert not found.features[0].alarm  # one week is no alarm


def test_a_declared_schema_holds_training_data_against_what_is_served(shop):
    answered(shop)
    table = shop.training.model("returns").spine.table
    schema = 'feature { name: "amount" type: FLOAT skew_comparator { jensen_shannon_divergence { threshold: 0.5 } } }'
    call(shop, "schema.declare", "test", {"table": "orders_again", "schema": schema, "serving": "returns"})
    result = shop.ingesting.ingest("orders_again", pa.table({"amount": np.linspace(1e6, 2e6, 500)}), key="one")
    assert table and {a.type for a in result.anomalies} & {
        "COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH",
        "COMPARATOR_CONTROL_DATA_MISSING",
    }
    assert from_text("Schema", schema, name="schema")["feature"]


def test_a_model_that_serves_nothing_is_said(empty_shop):
    with pytest.raises(Invalid, match="is deployed"):
        empty_shop.skew.measure("returns")


def weeks_of(shop, count, seed, **columns):
    """Answer once a week, and look each time."""
    for week in range(count):
        shop.clock.move_to(shop.clock.now() + timedelta(days=7))
        trained = answered(shop, seed=seed + week, **columns)
        shop.skew.fold("returns")
        kept = shop.skew.watch("returns", dict.fromkeys(trained.columns, 1.0))
    return kept


def alerts(shop):
    return [a for a in shop.alerts.list("returns", state="open") if a.kind == "skew"]


def test_skew_of_two_weeks_is_one_alert_for_its_table_and_ends_when_it_is_over(shop):
    shop.clock.move_to(shop.clock.now() + timedelta(days=365))
    weeks_of(shop, 1, 10)
    assert alerts(shop) == []
    state = shop.skew.serving_state("returns")
    broken = {
        n: pa.array(np.full(1500, 1e6)) for n, c in state.columns.items() if c.type in ("INT", "FLOAT") and n != SCORE
    }
    weeks_of(shop, 1, 20, **broken)
    assert alerts(shop) == []  # one week is no alarm
    weeks_of(shop, 1, 30, **broken)
    found = alerts(shop)
    told = sorted(n for a in found for n in a.facts["features"])
    assert told == sorted(broken) and len(found) == len({a.facts["table"] for a in found})
    weeks_of(shop, 1, 40, **broken)
    assert [a.id for a in alerts(shop)] == [a.id for a in found]  # raised once
    weeks_of(shop, 3, 50)
    assert alerts(shop) == []


def test_what_drift_tells_already_is_not_told_again(shop):
    shop.clock.move_to(shop.clock.now() + timedelta(days=365))
    name = next(n for n, c in shop.skew.serving_state("returns").columns.items() if c.type == "FLOAT" and n != SCORE)
    now = shop.clock.now() + timedelta(days=14)
    zeros = dict.fromkeys(
        ("psi", "psi_noise_floor", "js_distance_base2", "p_adjusted", "importance", "harm", "null_share"), 0.0
    )
    moved = FeatureDrift(feature=name, suspicious=True, integrity=False, alarm=False, **zeros)
    report = DriftReport(f"{now:%Y-%m-%d}", "", "", 9, (moved,), "")
    shop.metadata.write(lambda r: r.records.put("drift", "returns", report.day, DRIFT.body(report), now))
    kept = weeks_of(shop, 2, 60, **{name: pa.array(np.full(1500, 1e6))})
    assert next(f for f in kept.features if f.column == name).moved and alerts(shop) == []


def test_the_page_of_the_model_shows_serving_beside_training(shop):
    shop.clock.move_to(shop.clock.now() + timedelta(days=365))
    weeks_of(shop, 1, 70)
    view = model_page(shop, Ask({"model": "returns"}, {}))
    page = render("model.html", view, now=shop.clock.now(), path="/models/returns")
    assert "Serving beside training" in page and view.skew.rows == 1500
