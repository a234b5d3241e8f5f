"""No row sees its own label: not through its own row, not through the label table read too early."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

import hanok as hk
from hanok.compute.metrics import auc
from hanok.core.clock import ReplayClock
from hanok.core.errors import DeclarationError, OwnLabelVisible
from hanok.core.tables import ARRIVED
from hanok.parts.features.honesty import own_values, refuse
from hanok.parts.features.service import Features
from hanok.stores.memory import MemoryOnlineValues, MemoryTables
from hanok.stores.sql import SqlMetadata

START = datetime(2013, 1, 1, tzinfo=UTC)
MICROS = pa.timestamp("us", "UTC")
ROWS, CUSTOMERS = 2000, 100


def payments():
    """Customers pay late at rates of their own; each payment is told the moment it is made."""
    rng = np.random.default_rng(3)
    customer = rng.integers(0, CUSTOMERS, ROWS)
    late = (rng.random(ROWS) < rng.beta(0.6, 1.5, CUSTOMERS)[customer]).astype(int)
    at = [START + timedelta(minutes=10 * i) for i in range(ROWS)]
    return {"id": range(ROWS), "customer": customer, "late": late, "at": pa.array(at, MICROS)}


@pytest.fixture
def features(tmp_path):
    metadata = SqlMetadata.at(tmp_path / "m.db")
    clock = ReplayClock(START + timedelta(days=30))
    made = Features(metadata=metadata, tables=MemoryTables(), online=MemoryOnlineValues(), clock=clock)
    yield made
    metadata.close()


def filled(features, *, told_after=timedelta()):
    columns = payments()
    known = pa.array([t + told_after for t in columns["at"].to_pylist()], MICROS)
    labels = pa.table({n: columns[n] for n in ("id", "customer", "late", "at")})
    spine = pa.table({n: columns[n] for n in ("id", "customer", "at")})
    tables = features._tables
    tables.append("labels", labels.append_column("known", known).append_column(ARRIVED, known), key="a")
    tables.append("spine", spine.append_column(ARRIVED, columns["at"]), key="a")
    whole = labels.append_column("known", known).append_column(ARRIVED, columns["at"])
    tables.append("payments", whole, key="a")


def model(*, table="labels", spine="spine", event_time="known", predict_at="at", known_at="known"):
    history = hk.FeatureView(
        "history",
        keys="customer",
        source=hk.Source(table, event_time=event_time),
        aggregate={"late": hk.mean("late")},
        windows=["30d"],
    )
    label = hk.Label("payments" if spine == "payments" else "labels", column="late", known_at=known_at)
    return hk.Model(
        "late", task="binary", spine=hk.Spine(spine, predict_at=predict_at, keys="id"), label=label, features=[history]
    )


def power(made):
    score = np.nan_to_num(made.rows.column("history__late_30d").to_numpy(zero_copy_only=False), nan=0.3)
    return auc(made.rows.column("_label").to_numpy().astype(float), score)


def test_the_label_table_read_when_the_row_is_predicted_is_refused_with_the_column_and_how_many(features):
    filled(features)
    with pytest.raises(OwnLabelVisible, match=r"history__late_30d: 2,000 of 2,000 rows see their own label"):
        features.training_set(model())


def test_the_honest_forms_pass_and_are_as_good_as_the_past_is(features):
    filled(features)
    before = features.training_set(model(predict_at="at - 1s"))
    own_table = features.training_set(model(table="payments", spine="payments", event_time="at", known_at="at"))
    assert before.leaks == own_table.leaks == ()
    assert power(before) == pytest.approx(power(own_table)) and 0.6 < power(before) < 0.9


def test_labels_that_come_later_are_no_leak_whatever_their_event_time_says(features):
    filled(features, told_after=timedelta(days=2))
    assert features.training_set(model(event_time="at")).leaks == ()
    features.check(model(event_time="at"))


def test_a_declaration_that_says_so_itself_is_refused_when_it_is_applied(features):
    with pytest.raises(DeclarationError, match="history__late_30d"):
        features.check(
            model(event_time="at", known_at="at").__class__(
                "late",
                task="binary",
                spine=hk.Spine("spine", predict_at="at", keys=["id", "at"]),
                label=hk.Label("labels", column="late", known_at="at"),
                features=model(event_time="at").views,
            )
        )


def test_a_few_rows_that_see_their_label_are_told_and_not_refused(features):
    filled(features)
    columns = payments()
    early = pa.table({"id": [5, 6], "customer": columns["customer"][5:7], "late": [1, 1], "at": columns["at"][5:7]})
    soon = pa.array([START, START], MICROS)
    features._tables.append("labels", early.append_column("known", soon).append_column(ARRIVED, soon), key="b")
    (leak,) = features.training_set(model(predict_at="at - 1s")).leaks
    assert (leak.kind, leak.column, leak.certain) == ("own label", "history__late_30d", False)


def own_table_model(aggregate):
    what = {"aggregate": {"late": hk.mean("late")}, "windows": ["90d"]} if aggregate else {"features": ["late"]}
    view = hk.FeatureView("previous", keys="customer", source=hk.Source("payments", event_time="at"), **what)
    return hk.Model(
        "late",
        task="binary",
        spine=hk.Spine("payments", predict_at="at", keys="id"),
        label=hk.Label("payments", column="late", known_at="at"),
        features=[view],
    )


def own_table(features, *, customers, aggregate):
    """A view over the spine's own table; the outcome of each row is a coin."""
    rng = np.random.default_rng(1)
    at = [START + timedelta(minutes=10 * i) for i in range(600)]
    columns = {"id": range(600), "customer": np.arange(600) * 7 % customers, "late": rng.integers(0, 2, 600)}
    rows = pa.table(columns | {"at": pa.array(at, MICROS), ARRIVED: pa.array(at, MICROS)})
    features._tables.append("payments", rows, key="a")
    return own_table_model(aggregate)


@pytest.mark.parametrize("aggregate", [False, True], ids=["latest", "window"])
def test_the_first_row_of_a_customer_has_no_previous_value(features, aggregate):
    made = features.training_set(own_table(features, customers=400, aggregate=aggregate))
    (column,) = made.features
    assert made.rows.num_rows - made.rows.column(column).null_count == 200
    assert made.leaks == ()


@pytest.mark.parametrize("aggregate", [False, True], ids=["latest", "window"])
def test_a_join_that_gave_rows_their_own_value_would_be_refused_with_how_many(features, aggregate):
    declared = own_table(features, customers=400, aggregate=aggregate)
    spine = features.spine_rows(declared)
    (column,) = declared.feature_columns
    labels = features.labels(declared, spine)
    asked = {"model": declared, "keys": ("id",), "spine": spine, "scan": features._tables.scan}
    honest = features.historical(declared, spine)
    assert own_values(joined=honest, **asked) == []
    leaking = honest.set_column(honest.column_names.index(column), column, labels)
    (found,) = own_values(joined=leaking, **asked)
    alone = 400 + (0 if aggregate else sum(_other(labels.to_pylist(), i) for i in range(400, 600)))
    assert (found.column, found.seen, found.rows) == (column, alone, 600)
    with pytest.raises(OwnLabelVisible, match=f"{column}: {alone} of 600 rows have a value .* no row but their own"):
        refuse(declared, [found])


def _other(labels, i):
    return labels[i] != labels[i - 400]


@pytest.mark.parametrize("key", ["who", "seen", "v", "t", "n", "own", "event", "found", "row"])
def test_a_key_may_have_any_name(features, key):
    at = [START + timedelta(minutes=i) for i in range(6)]
    rows = {"id": range(6), key: [1, 1, 2, 2, 3, 3], "late": [0, 1] * 3, "at": pa.array(at, MICROS)}
    features._tables.append("payments", pa.table(rows | {ARRIVED: pa.array(at, MICROS)}), key="a")
    source = hk.Source("payments", event_time="at")
    views = [
        hk.FeatureView("last", keys=key, source=source, features=["late"]),
        hk.FeatureView("mean", keys=key, source=source, aggregate={"late": hk.mean("late")}, windows=["1h"]),
    ]
    label = hk.Label("payments", column="late", known_at="at")
    spine = hk.Spine("payments", predict_at="at", keys="id")
    made = features.training_set(hk.Model("late", task="binary", spine=spine, label=label, features=views))
    assert made.leaks == () and made.rows.column("last__late").to_pylist() == [None, 0] * 3


@pytest.mark.parametrize("aggregate", [False, True], ids=["latest", "window"])
@pytest.mark.parametrize("seed", range(4))
def test_nobody_else_can_have_given_it_says_what_looking_at_every_pair_of_rows_says(features, aggregate, seed):
    """Against every row of the spine with every row of the source: nulls, ties, late arrivals, values that repeat."""
    rng = np.random.default_rng(seed)
    n = 60
    at = [START + timedelta(minutes=int(m)) for m in rng.integers(0, 90, n)]
    came = [t + timedelta(minutes=int(m)) for t, m in zip(at, rng.integers(0, 3, n), strict=True)]
    customer = [None if c == 0 else f"c{c}" for c in rng.integers(0, 9, n)]
    late = [None if v == 2 else int(v) for v in rng.integers(0, 3, n)]
    rows = {"id": range(n), "customer": customer, "late": late, "at": pa.array(at, MICROS)}
    features._tables.append("payments", pa.table(rows | {ARRIVED: pa.array(came, MICROS)}), key="a")
    declared = own_table_model(aggregate)
    spine = features.spine_rows(declared)
    got = pa.chunked_array([pa.array(rng.integers(0, 2, spine.num_rows), mask=rng.random(spine.num_rows) < 0.2)])
    (column,) = declared.feature_columns
    joined = features.historical(declared, spine)
    joined = joined.set_column(joined.column_names.index(column), column, got)
    asked = {"model": declared, "keys": ("id",), "spine": spine, "scan": features._tables.scan}
    alone = 0
    for asking, value in zip(spine.to_pylist(), got.to_pylist(), strict=True):
        gave = [
            (i, max(at[i], came[i]))
            for i in range(n)
            if customer[i] is not None and customer[i] == asking["customer"] and late[i] is not None
            if aggregate or late[i] == value
        ]
        if value is not None and gave:
            alone += not any(i != asking["id"] and seen <= asking["_at"] for i, seen in gave)
    found = own_values(joined=joined, **asked)
    assert [f.seen for f in found] == ([alone] if alone else [])
