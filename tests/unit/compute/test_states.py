"""Mergeable statistics: exact where they must be, bounded where they are sketches, and right on strange input."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet as pq
from scipy import stats

from hanok.compute import encoding
from hanok.compute.duck import ParquetFiles
from hanok.compute.serving_statistics import ServingStatistics
from hanok.compute.sketches import Frequent, Hll, Kll, number_hashes, text_hashes
from hanok.compute.states import TableState, exact_sum, profile
from hanok.compute.statistics import measure, statistics
from hanok.core.errors import BadData, Corrupt
from hanok.engine.files import read_file
from hanok.parts.validation.schemas import validate
from hanok.parts.validation.schemas.infer import infer
from hanok.parts.validation.schemas.statistics import statistics_of

RNG = np.random.default_rng(2)


def state(**columns):
    return TableState.of(pa.table(columns)).columns


NUMBERS = st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), max_size=60)


@settings(max_examples=150, deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=5))
def test_merging_parts_equals_reading_the_whole(parts):
    tables = [pa.table({"x": pa.array(p, pa.float64())}) for p in parts]
    merged = TableState.merged([TableState.of(t) for t in tables]).columns["x"]
    whole = TableState.of(pa.concat_tables(tables)).columns["x"]
    for name in ("rows", "nulls", "zeros", "negatives", "minimum", "maximum", "finite"):
        assert getattr(merged, name) == getattr(whole, name)
    assert merged.moments.mean == pytest.approx(whole.moments.mean, abs=1e-6)
    assert merged.moments.m2 == pytest.approx(whole.moments.m2, rel=1e-6, abs=1e-3)
    assert dict(merged.frequent.top(1000)) == dict(whole.frequent.top(1000))
    assert (merged.distinct.registers == whole.distinct.registers).all()


def test_moments_equal_scipys_after_merging():
    values = RNG.exponential(size=5000) + 1e6
    parts = [TableState.of(pa.table({"x": p})) for p in np.array_split(values, 7)]
    m = TableState.merged(parts).columns["x"].moments
    assert (m.skewness, m.kurtosis) == pytest.approx((stats.skew(values), stats.kurtosis(values)), rel=1e-6)
    assert m.std == pytest.approx(values.std(ddof=1))


def test_quantiles_stay_within_their_rank_error():
    for values in (RNG.normal(size=300_000), np.sort(RNG.exponential(size=200_000)), RNG.integers(0, 9, 100_000)):
        sketch = Kll()
        for part in np.array_split(values, 40):
            sketch.add(part)
        ordered = np.sort(values)
        for share in (0.01, 0.25, 0.5, 0.75, 0.99):
            found = sketch.quantiles([share])[0]
            low, high = np.searchsorted(ordered, found, "left"), np.searchsorted(ordered, found, "right")
            assert low / len(values) - 0.02 <= share <= high / len(values) + 0.02
        assert sketch.weighted()[1].sum() == len(values) and sum(map(len, sketch.levels)) < 1000
    many = Kll.merged([sketch] * 50)
    assert many.n == 50 * sketch.n and many.weighted()[1].sum() == many.n


@pytest.mark.parametrize("n", [10, 1000, 40_000, 500_000])
def test_distinct_values_are_estimated_within_five_percent(n):
    numbers, texts = Hll(), Hll()
    numbers.add(number_hashes(np.arange(n)))
    texts.add(text_hashes(pa.array([f"user {i}" for i in range(n)])))
    assert numbers.estimate() == pytest.approx(n, rel=0.05) and texts.estimate() == pytest.approx(n, rel=0.05)


def test_hashes_of_texts_know_every_byte_and_the_length():
    texts = ["", "a", "aa", "a" * 8, "a" * 9, "a" * 8 + "b", "b" + "a" * 8, "é", "a\0", "a" * 40, "a" * 41]
    hashes = text_hashes(pa.array(texts))
    assert len(set(hashes.tolist())) == len(texts)
    assert text_hashes(pa.array(["x", *texts]).slice(1)).tolist() == hashes.tolist()


def test_heavy_values_of_a_wide_column_are_kept_with_their_error():
    values = np.concatenate([np.repeat(7.5, 60_000), RNG.normal(size=140_000)])
    found = Frequent.of(pa.array(RNG.permutation(values)))
    assert found.top(1)[0] == (7.5, 60_000) and not found.exact


def test_states_survive_bytes_and_damage_is_noticed():
    made = TableState.of(pa.table({"x": [1.5, None], "t": ["a", "b"], "i": [2**62, -(2**63)], "l": [[1, 2], []]}))
    raw = encoding.written(made)
    again = encoding.read(raw)
    assert encoding.written(again) == raw and again.columns["i"].minimum == -(2**63)
    assert again.columns["l"].per_row == (0, 2)
    with pytest.raises(Corrupt):
        encoding.read(raw[:-4])


def test_served_rows_give_the_same_statistics_as_the_training_set():
    rows = pa.table({"x": RNG.normal(size=5000), "k": [f"k{i % 7}" for i in range(5000)]})
    kept = ServingStatistics(fold_rows=512)
    for batch in rows.to_batches(max_chunksize=3):
        kept.add(batch)
    served, trained = kept.state(), measure(rows)
    assert served.rows == 5000 and dict(served.columns["k"].frequent.top(9)) == dict(
        trained.columns["k"].frequent.top(9)
    )
    assert served.columns["x"].moments.mean == pytest.approx(trained.columns["x"].moments.mean)
    schema = infer(statistics_of(trained))
    assert validate(statistics_of(served), schema, serving=statistics_of(served)).good


# -- strange input -----------------------------------------------------------------------------------------------


def test_empty_and_one_row_tables():
    empty = statistics(pa.table({"x": pa.array([], pa.float64()), "t": pa.array([], pa.string())}))
    assert [(s.rows, s.mean, s.presence) for s in empty] == [(0, None, 0.0)] * 2
    one = state(x=[3.0])["x"]
    assert (one.moments.mean, one.moments.std, one.moments.skewness) == (3.0, None, 0.0)
    assert validate(statistics_of(TableState()), infer(statistics_of(TableState()))).data_missing


def test_columns_of_nulls_alone():
    found = state(a=pa.nulls(4), b=pa.nulls(4, pa.float64()), c=pa.nulls(4, pa.string()))
    assert [c.nulls for c in found.values()] == [4, 4, 4] and found["b"].minimum is None
    merged = TableState.merged([TableState.of(pa.table({"a": pa.nulls(4)})), TableState.of(pa.table({"a": [1, 2]}))])
    assert (merged.columns["a"].type, merged.columns["a"].nulls) == ("INT", 4)


def test_parts_of_different_types_are_an_error_that_names_the_column():
    parts = [TableState.of(pa.table({"a": [1]})), TableState.of(pa.table({"a": ["x"]}))]
    with pytest.raises(BadData, match="column 'a' is INT and STRING"):
        TableState.merged(parts)


def test_invalid_utf8_is_counted_and_becomes_an_anomaly():
    raw = pa.array([b"good", b"\xff\xfe", b"fine"], pa.binary())
    broken = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    found = state(t=broken)["t"]
    assert (found.invalid_utf8, found.distinct_count) == (1, 2)
    schema = infer(statistics_of(TableState.of(pa.table({"t": ["good", "fine"]}))))
    report = validate(statistics_of(TableState.of(pa.table({"t": broken}))), schema)
    assert report.as_dict()["anomalies"] == {"t": ["ENUM_TYPE_INVALID_UTF8"]}


def test_a_column_name_that_is_there_twice_is_an_error():
    with pytest.raises(BadData, match="'a' is there twice"):
        profile(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]).to_batches())


def test_integers_beyond_2_to_53_stay_exact():
    big = [2**63 - 1, 2**63 - 2, 2**53 + 1]
    found = state(i=big)["i"]
    assert (found.minimum, found.maximum, found.total) == (2**53 + 1, 2**63 - 1, sum(big))
    assert found.quantiles.quantiles([0.0, 1.0]) == [2**53 + 1, 2**63 - 1]
    assert exact_sum(np.array([-(2**63), 2**63 - 1, -5], np.int64)) == -6


def test_infinities_and_nan_are_counted_and_no_part_of_the_mean():
    found = state(x=[1.0, float("inf"), float("-inf"), float("nan"), None, 3.0])["x"]
    assert (found.finite, found.nan, found.positive_infinities, found.nulls) == (2, 1, 1, 1)
    assert (found.moments.mean, found.minimum, found.maximum) == (2.0, 1.0, 3.0)
    histogram = statistics_of(TableState.of(pa.table({"x": [1.0, float("nan")]})))
    assert histogram["datasets"][0]["features"][0]["num_stats"]["histograms"][0]["num_nan"] == 1


def test_unused_levels_of_a_category_do_not_count():
    found = state(d=pa.DictionaryArray.from_arrays([0, 0, 1], ["a", "b", "never"]))["d"]
    assert dict(found.frequent.top(9)) == {"a": 2, "b": 1}


def test_values_never_seen_are_an_anomaly():
    schema = infer(statistics_of(measure(pa.table({"p": ["a", "b"] * 20}))))
    report = validate(statistics_of(measure(pa.table({"p": ["a", "z"] * 20}))), schema)
    assert report.as_dict()["anomalies"] == {"p": ["ENUM_TYPE_UNEXPECTED_STRING_VALUES"]}


def test_the_order_of_partitions_does_not_matter():
    parts = [TableState.of(pa.table({"x": RNG.normal(size=400), "k": [f"v{i}"] * 400})) for i in range(5)]
    one, other = TableState.merged(parts).columns, TableState.merged(parts[::-1]).columns
    assert one["x"].moments.m4 == pytest.approx(other["x"].moments.m4)
    assert dict(one["k"].frequent.top(9)) == dict(other["k"].frequent.top(9))


def test_a_truncated_parquet_file_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"x": np.arange(1000)}), path)
    path.write_bytes(path.read_bytes()[:-50])
    for read in (lambda: ParquetFiles.of(path), lambda: read_file(path)):
        with pytest.raises(BadData, match=r"rows\.parquet cannot be read"):
            read()


def test_anything_that_speaks_arrows_stream_can_be_measured():
    class Polars:
        def __arrow_c_stream__(self, requested_schema=None):
            return pa.table({"x": [1, 2, 3]}).__arrow_c_stream__(requested_schema)

    assert measure(Polars()).columns["x"].total == 6
    reader = pa.table({"x": [1, 2]}).to_reader()
    assert measure(reader).rows == 2
