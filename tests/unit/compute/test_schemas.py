"""Schemas: what is learned, what is caught, what is let through."""

import numpy as np
import pyarrow as pa
import pytest

from hanok.compute.schemas import check_batch, infer_schema, normalised
from hanok.compute.statistics import statistics
from hanok.core.errors import BadData


def learned(rows, **options):
    return infer_schema("t", statistics(rows), rows, **options)


GOOD = pa.table(
    {
        "id": [f"i{i}" for i in range(100)],
        "wind": np.linspace(0, 40, 100),
        "dew": np.linspace(-3, 60, 100),
        "kind": ["a", "b"] * 50,
    }
)


def types(checked):
    return {a.type for a in checked.anomalies}


def test_a_batch_like_the_first_has_no_anomaly():
    assert check_batch(GOOD, learned(GOOD, keys=["id"])).anomalies == ()


def test_an_impossible_value_marks_its_row_and_a_storm_does_not():
    rows = GOOD.set_column(1, "wind", pa.array([90.0, 1048.36, *([5.0] * 98)]))
    checked = check_batch(rows, learned(GOOD))
    assert types(checked) == {"FLOAT_TYPE_BIG_FLOAT"}
    assert np.flatnonzero(checked.bad).tolist() == [1]
    assert "1048" in checked.reasons[1]


def test_an_amount_is_never_negative_and_a_temperature_may_be():
    amounts = pa.table({"n": [0.0] * 5 + list(np.linspace(0.1, 9, 95)), "temp": np.linspace(3, 40, 100)})
    rows = pa.table({"n": [-1.0, 1.0], "temp": [-8.0, 5.0]})
    checked = check_batch(rows, learned(amounts))
    assert [(a.type, a.column) for a in checked.anomalies] == [("FLOAT_TYPE_SMALL_FLOAT", "n")]


def test_a_value_never_seen_is_reported_and_stays():
    checked = check_batch(
        pa.table({**{n: GOOD.column(n) for n in ("id", "wind", "dew")}, "kind": ["z"] * 100}), learned(GOOD)
    )
    assert types(checked) == {"ENUM_TYPE_UNEXPECTED_STRING_VALUES"} and not checked.bad.any()


def test_text_in_a_number_marks_only_the_rows_that_are_no_numbers():
    rows = pa.table({"id": ["a", "b"], "wind": ["12.5", "gusty"], "dew": [1.0, 1.0], "kind": ["a", "a"]})
    checked = check_batch(rows, learned(GOOD))
    assert checked.rows.column("wind").to_pylist() == [12.5, None]
    assert checked.bad.tolist() == [False, True]


def test_null_and_repeated_keys_are_set_aside():
    rows = GOOD.slice(0, 4).set_column(0, "id", pa.array(["i0", None, "i0", "i3"]))
    checked = check_batch(rows, learned(GOOD, keys=["id"]))
    assert checked.bad.tolist() == [False, True, True, False]
    assert {"FEATURE_TYPE_MISSING_KEY", "FEATURE_TYPE_NOT_UNIQUE"} <= types(checked)


def test_a_column_gone_null_and_a_column_gone_are_named():
    rows = GOOD.set_column(1, "wind", pa.nulls(100, pa.float64())).drop_columns(["kind"])
    found = {(a.type, a.column) for a in check_batch(rows, learned(GOOD)).anomalies}
    assert found == {("FEATURE_TYPE_NOT_PRESENT", "wind"), ("SCHEMA_MISSING_COLUMN", "kind")}


def test_an_empty_batch_and_infinities_are_named():
    assert types(check_batch(GOOD.slice(0, 0), learned(GOOD))) == {"DATASET_LOW_NUM_EXAMPLES"}
    rows = GOOD.set_column(1, "wind", pa.array([np.inf] + [1.0] * 99))
    assert "FLOAT_TYPE_HAS_INF" in types(check_batch(rows, learned(GOOD)))


def test_naive_times_are_utc_and_nested_columns_are_refused():
    naive = pa.table({"t": pa.array([0], pa.timestamp("us"))})
    assert normalised(naive).schema.field("t").type == pa.timestamp("us", "UTC")
    with pytest.raises(BadData, match="nested"):
        normalised(pa.table({"l": [[1, 2]]}))


@pytest.mark.parametrize("wrong", [1, 60, 100])
def test_values_that_nobody_can_read_are_of_another_type_and_not_null(wrong):
    rows = GOOD.set_column(1, "wind", pa.array([*(["soft"] * wrong), *(["5.0"] * (100 - wrong))]))
    checked = check_batch(rows, learned(GOOD))
    assert types(checked) == {"UNEXPECTED_DATA_TYPE"} and checked.bad.sum() == wrong
