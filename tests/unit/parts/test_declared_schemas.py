"""A TFDV schema declared for a table: each batch is held to it, by TFDV's names, and nothing is dropped silently."""

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

from hanok.cli import cli
from hanok.core.clock import ReplayClock, utc
from hanok.core.errors import Invalid
from hanok.engine.app import open_app
from hanok.engine.config import Config
from hanok.engine.verbs import call

SCHEMA = """
feature { name: "id" type: INT presence { min_fraction: 1 } int_domain { min: 0 } }
feature { name: "plan" type: BYTES domain: "plans" presence { min_count: 1 }
          drift_comparator { infinity_norm { threshold: 0.3 } } }
feature { name: "price" type: FLOAT float_domain { min: 0 max: 100 disallow_nan: true } }
feature { name: "label" type: INT bool_domain { } presence { min_fraction: 1 } not_in_environment: "SERVING" }
string_domain { name: "plans" value: "free" value: "pro" }
default_environment: "TRAINING" default_environment: "SERVING"
"""


def orders(n=200, seed=0, **columns):
    rng = np.random.default_rng(seed)
    made = {
        "id": pa.array(np.arange(n) + 1000 * seed),
        "plan": pa.array(rng.choice(["free", "pro"], n)),
        "price": pa.array(rng.uniform(1, 99, n)),
        "label": pa.array(rng.integers(0, 2, n)),
    }
    return pa.table(made | columns)


@pytest.fixture
def app(tmp_path):
    from datetime import datetime

    made = open_app(Config(home=tmp_path / "home"), clock=ReplayClock(utc(datetime(2024, 5, 1))))
    ask(made, "schema.declare", table="orders", schema=SCHEMA, environment="TRAINING")
    yield made
    made.close()


def ask(app, verb, **arguments):
    return call(app, verb, "test", arguments)


def types(result):
    return sorted((a.type, a.column, a.severity) for a in result.anomalies)


def changed(table, name, places):
    values = table.column(name).to_pylist()
    for place, value in places.items():
        values[place] = value
    return table.set_column(table.column_names.index(name), name, pa.array(values))


def test_a_batch_that_fits_enters_whole(app):
    result = app.ingesting.ingest("orders", orders(), key="one")
    assert (result.accepted, result.anomalies) == (200, ())


def test_rows_at_fault_are_set_aside_with_their_reason_and_shown(app):
    bad = changed(changed(orders(), "price", {3: 250.0, 7: float("nan")}), "plan", {9: "gold"})
    result = app.ingesting.ingest("orders", bad, key="one")
    assert (result.accepted, result.quarantined) == (197, 3)
    assert types(result) == [
        ("ENUM_TYPE_UNEXPECTED_STRING_VALUES", "plan", "error"),
        ("FLOAT_TYPE_BIG_FLOAT", "price", "error"),
        ("FLOAT_TYPE_HAS_NAN", "price", "error"),
    ]
    big = next(a for a in result.anomalies if a.type == "FLOAT_TYPE_BIG_FLOAT")
    assert (big.observed, big.bound, big.rows, big.examples[0]["id"]) == ("250", "<= 100", 1, 3)
    reasons = {q.row["id"]: q.reason for q in app.validation.quarantined("orders")}
    assert reasons[9].startswith("ENUM_TYPE_UNEXPECTED_STRING_VALUES") and set(reasons) == {3, 7, 9}


def test_the_proposed_change_is_looked_at_and_accepted(app):
    app.ingesting.ingest("orders", changed(orders(), "plan", {9: "gold"}), key="one")
    proposal = ask(app, "schema.proposal", table="orders")
    assert proposal["batch"] == "one" and any(line.startswith("+") and "gold" in line for line in proposal["diff"])
    assert ask(app, "schema.accept", table="orders")["version"] == 2
    again = app.ingesting.ingest("orders", changed(orders(seed=1), "plan", {9: "gold"}), key="two")
    assert again.quarantined == 0 and "ENUM_TYPE_UNEXPECTED_STRING_VALUES" not in str(again.anomalies)
    row = app.validation.quarantined("orders")[0]
    assert app.validation.replay("orders", [row.id]).accepted == 1
    with pytest.raises(Invalid, match="at version 2 now"):
        ask(app, "schema.accept", table="orders", batch="one")


def test_a_whole_batch_is_set_aside_where_that_is_the_policy(app):
    ask(app, "schema.declare", table="orders", schema=SCHEMA, on_error="batch")
    result = app.ingesting.ingest("orders", changed(orders(), "price", {3: 250.0}), key="one")
    assert (result.accepted, result.quarantined) == (0, 200)
    assert len(app.validation.quarantined("orders", limit=500)) == 200
    ask(app, "schema.declare", table="orders", schema=SCHEMA, on_error="report")
    result = app.ingesting.ingest("orders", changed(orders(), "price", {3: 250.0}), key="two")
    assert (result.accepted, result.quarantined) == (200, 0)
    assert types(result) == [("FLOAT_TYPE_BIG_FLOAT", "price", "warning")]


def test_a_single_label_is_held_to_the_declared_schema_in_the_columns_that_it_has(app):
    ask(app, "schema.declare", table="orders", schema=SCHEMA, on_error="batch")
    app.ingesting.ingest("orders", orders(), key="one")
    for value, accepted in ((1, 1), (7, 0)):
        label = pa.table({"id": [5], "label": [value]})
        result = app.ingesting.tell("orders", label, key=f"label {value}", digest=f"{value}", actor="me")
        assert (result.accepted, {a.column for a in result.anomalies}) == (accepted, {"label"} if value == 7 else set())


def test_environments_say_which_columns_must_be_there(app):
    without = orders().drop_columns(["label"])
    assert ("SCHEMA_MISSING_COLUMN", "label", "warning") in types(
        app.ingesting.ingest("orders", without, key="training")
    )
    ask(app, "schema.declare", table="requests", schema=SCHEMA, environment="SERVING")
    assert types(app.ingesting.ingest("requests", without, key="serving")) == []
    assert types(app.ingesting.ingest("requests", orders(seed=1), key="both")) == [
        ("SCHEMA_NEW_COLUMN", "label", "warning")
    ]


def test_a_column_of_nulls_alone_is_there_but_not_present(app):
    result = app.ingesting.ingest("orders", orders(plan=pa.nulls(200)), key="one")
    assert ("FEATURE_TYPE_NOT_PRESENT", "plan", "warning") in types(result)
    assert not any(a.type == "SCHEMA_MISSING_COLUMN" for a in result.anomalies)


def test_drift_is_measured_against_the_batch_before(app):
    app.ingesting.ingest("orders", orders(), key="one")
    result = app.ingesting.ingest("orders", orders(seed=1, plan=pa.array(["pro"] * 200)), key="two")
    found = [a for a in result.anomalies if a.type == "COMPARATOR_L_INFTY_HIGH"]
    assert [(a.column, a.bound) for a in found] == [("plan", "<= 0.3")] and result.accepted == 200


def test_what_the_table_taught_itself_gives_way_to_what_is_declared(app):
    ask(app, "schema.declare", table="free", schema='feature { name: "x" type: FLOAT }')
    for i in range(6):
        app.ingesting.ingest("free", pa.table({"x": np.random.default_rng(i).uniform(0, 1, 300)}), key=str(i))
    assert app.ingesting.ingest("free", pa.table({"x": [1e9]}), key="big").accepted == 1


def test_integers_beyond_2_to_53_are_held_to_their_bound_exactly(app):
    bound = 2**53
    schema = f'feature {{ name: "k" type: INT int_domain {{ max: {bound} }} }}'
    ask(app, "schema.declare", table="keys", schema=schema)
    result = app.ingesting.ingest("keys", pa.table({"k": [bound - 1, bound, bound + 4]}), key="one")
    assert (result.accepted, result.quarantined) == (2, 1)


def test_a_schema_with_an_error_on_line_7_is_refused_with_its_place(app, tmp_path):
    path = tmp_path / "schema.pbtxt"
    path.write_text('feature {\n  name: "id"\n  type: INT\n}\nfeature {\n  name: "x"\n  type: WHOLE\n}\n')
    done = CliRunner().invoke(cli, ["schema", "declare", "orders", str(path)])
    assert done.exit_code and "line 7" in str(done.exception)


def test_what_only_a_slice_shows_is_said_with_its_slice(app):
    schema = SCHEMA.replace('name: "price" type: FLOAT', 'name: "price" type: FLOAT presence { min_fraction: 0.7 }')
    ask(app, "schema.declare", table="orders", schema=schema, environment="TRAINING", on_error="report")
    n = 1000
    plans = pa.array(["pro"] * 150 + ["free"] * 850)
    prices = pa.array([None] * 60 + [5.0] * (n - 60))  # 6 % of all, 40 % of pro
    result = app.ingesting.ingest("orders", orders(n, plan=plans, price=prices), key="one", slices=["plan"])
    found = [a for a in result.anomalies if a.slice]
    assert [(a.type, a.column, a.slice, a.rows) for a in found] == [
        ("FEATURE_TYPE_LOW_FRACTION_PRESENT", "price", "plan=pro", 150)
    ]
    assert result.accepted == n  # a slice sets no row aside


def test_what_the_whole_batch_says_is_not_said_again_by_its_slices(app):
    prices = np.full(1000, 500.0)
    result = app.ingesting.ingest("orders", orders(1000, price=pa.array(prices)), key="one", slices=["plan"])
    assert [a.slice for a in result.anomalies if a.type == "FLOAT_TYPE_BIG_FLOAT"] == [""]


def test_slices_of_few_rows_are_not_judged(app):
    plans = pa.array(["pro"] * 40 + ["free"] * 960)
    labels = pa.array([None] * 40 + [1] * 960)
    schema = SCHEMA.replace("presence { min_fraction: 1 } not_in", "presence { min_fraction: 0.9 } not_in")
    ask(app, "schema.declare", table="orders", schema=schema, environment="TRAINING", on_error="report")
    result = app.ingesting.ingest("orders", orders(1000, plan=plans, label=labels), key="one", slices=["plan"])
    assert not [a for a in result.anomalies if a.slice]


def test_an_environment_that_the_schema_does_not_name_is_refused(app):
    with pytest.raises(Invalid, match="no environment 'SERVNG'; it names"):
        ask(app, "schema.declare", table="orders", schema=SCHEMA, environment="SERVNG")
