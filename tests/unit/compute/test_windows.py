"""Window aggregates against a count by hand."""

import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hanok as hk
from hanok.compute.windows import FUNCTIONS, Rows, aggregated, sorted_rows, window_aggregate

rows = st.lists(
    st.tuples(
        st.integers(-1, 2),  # entity, -1: none
        st.integers(0, 40),  # event time
        st.integers(0, 15),  # how much later it arrived
        st.one_of(st.none(), st.floats(-5, 5, allow_nan=False)),
    ),
    max_size=30,
)


def by_hand(data, entity, at, window, function):
    values = [v for e, t, late, v in data if e == entity >= 0 and at - window < t <= at and t + late <= at]
    present = [v for v in values if v is not None]
    if function == "count":
        return float(len(present))
    if not present:
        return np.nan
    if function in ("first", "last"):
        held = [(t, i, v) for i, (e, t, late, v) in enumerate(data)
                if e == entity and at - window < t <= at and t + late <= at and v is not None]  # fmt: skip
        return (min if function == "first" else max)(held)[2]
    if function == "std":
        return statistics.stdev(present) if len(present) > 1 else np.nan
    return {"sum": np.sum, "mean": np.mean, "min": np.min, "max": np.max}[function](present)


@settings(max_examples=150, deadline=None)
@given(rows, st.integers(-1, 3), st.integers(0, 50), st.integers(1, 30), st.sampled_from(FUNCTIONS))
def test_a_window_holds_what_had_happened_and_was_known(data, entity, at, window, function):
    event = np.array([r[1] for r in data], np.int64)
    made = sorted_rows(
        np.array([r[0] for r in data], np.int64),
        4,
        event,
        event + np.array([r[2] for r in data], np.int64),
        {"v": np.array([np.nan if r[3] is None else r[3] for r in data], float)},
    )
    got = window_aggregate(made, np.array([entity]), np.array([at]), window, function, "v")[0]
    assert got == pytest.approx(by_hand(data, entity, at, window, function), nan_ok=True)


def test_one_infinite_value_spoils_only_the_windows_that_hold_it():
    event = np.arange(6)
    made = sorted_rows(np.zeros(6, np.int64), 1, event, event, {"v": np.array([1, 2, np.inf, 4, 5, 6.0])})
    got = window_aggregate(made, np.zeros(2, np.int64), np.array([3, 5]), 2, "sum", "v")
    assert got.tolist() == [np.inf, 11.0]


def test_counting_without_a_column_counts_rows():
    made = sorted_rows(np.zeros(3, np.int64), 1, np.array([1, 2, 3]), np.array([1, 2, 3]), {})
    assert window_aggregate(made, np.zeros(1, np.int64), np.array([3]), 2, "count", None).tolist() == [2.0]


@pytest.mark.parametrize("apart", [1, 10**16], ids=["microseconds", "ages"])
def test_many_windows_of_many_entities_are_those_of_each_alone(apart):
    """Bits, for sums that depend on their order too, and where an entity and an instant are no one number together."""
    rng = np.random.default_rng(3)
    entity, event = rng.integers(0, 9, 400), rng.integers(0, 60, 400)
    values = rng.choice([1e16, -1e16, 0.1, 3.0, np.nan, np.inf], 400, p=[0.1, 0.1, 0.4, 0.3, 0.08, 0.02])
    event *= apart
    made = sorted_rows(
        entity, 9, event, event + rng.integers(0, 3, 400) * apart, {"v": values, "w": values[::-1].copy()}
    )
    who, at = rng.integers(-1, 9, 300), rng.integers(0, 70, 300) * apart
    for aggregate in (*(hk.Aggregate(f, "v") for f in FUNCTIONS), hk.ratio("v", "w")):
        together = aggregated(made, who, at, 20 * apart, aggregate)
        for i in range(len(who)):
            mine = slice(*made.starts[who[i] : who[i] + 2]) if who[i] >= 0 else slice(0, 0)
            size = mine.stop - mine.start
            one = Rows(np.array([0, size]), made.event_time[mine], made.visible[mine],
                       {n: v[mine] for n, v in made.values.items()})  # fmt: skip
            alone = aggregated(one, np.zeros(1, np.int64), at[i : i + 1], 20 * apart, aggregate)[0]
            assert alone.hex() == together[i].hex(), (aggregate, i)
