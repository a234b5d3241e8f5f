"""One measure of shift and one policy of alarms: for values, bins and kept statistics alike."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from hanok.compute.alarms import AlarmPolicy, AlarmState, Window, judge
from hanok.compute.drift import bin_counts, reference
from hanok.compute.drift import compare as compare_counts
from hanok.compute.profiling import compare_tables
from hanok.compute.shift import Known, Span, compare
from hanok.compute.state_drift import compare_states
from hanok.compute.states import TableState

RNG = np.random.default_rng(5)
BEFORE = pa.chunked_array([RNG.normal(0, 1, 3000)])
SAME, MOVED = pa.chunked_array([RNG.normal(0, 1, 900)]), pa.chunked_array([RNG.normal(1.5, 1, 900)])


def week(number, column, **more):
    return Span({"x": column}, 900, f"2026-01-{1 + 7 * number:02d}", f"2026-01-{8 + 7 * number:02d}", **more)


def test_the_measure_is_that_of_bins_and_of_states():
    bins = reference("x", BEFORE)
    one = compare(Span({"x": bins}), Span({"x": MOVED})).shifts[0]
    assert one.drift == compare_counts(bins, bin_counts(bins, MOVED))
    assert compare(Span({"x": BEFORE}), Span({"x": MOVED})).shifts[0].drift == one.drift
    before, after = (TableState.of(pa.table({"x": c})) for c in (BEFORE, MOVED))
    known = compare(Span({"x": Known(before.columns["x"])}), Span({"x": Known(after.columns["x"])})).shifts[0]
    assert known.drift == compare_states(before, after)[0]


def test_columns_that_only_one_side_has_are_no_evidence():
    assert compare(Span({"x": BEFORE}), Span({"y": MOVED})).shifts == ()


def after_weeks(*columns, **more):
    state, verdicts = AlarmState(), ()
    for number, column in enumerate(columns):
        state, verdicts = AlarmPolicy().update(state, compare(Span({"x": BEFORE}), week(number, column, **more)))
    return verdicts[0]


def test_a_shift_alarms_when_it_lasts_for_two_of_three_weeks():
    assert after_weeks(MOVED).suspect and not after_weeks(MOVED).alarm
    assert after_weeks(MOVED, MOVED).alarm
    assert after_weeks(MOVED, SAME, MOVED).alarm
    assert not after_weeks(MOVED, SAME, SAME, MOVED).alarm
    assert not after_weeks(MOVED, MOVED, SAME).alarm


def test_windows_that_share_rows_are_one_window():
    """The same week, looked at on each of its days, is no evidence that anything lasts."""
    state = AlarmState()
    for day in range(7):
        span = Span({"x": MOVED}, 900, f"2026-01-{1 + day:02d}", f"2026-01-{8 + day:02d}")
        state, (verdict,) = AlarmPolicy().update(state, compare(Span({"x": BEFORE}), span))
        assert verdict.suspect and not verdict.alarm
    span = Span({"x": MOVED}, 900, "2026-01-08", "2026-01-15")
    assert AlarmPolicy().update(state, compare(Span({"x": BEFORE}), span))[1][0].alarm


def test_what_is_broken_alarms_at_once_and_what_is_not_complete_makes_nothing_suspect():
    assert after_weeks(SAME, broken=frozenset({"x"})).alarm
    assert not after_weeks(MOVED, complete=False).suspect


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=12), st.integers(0, 50), st.integers(0, 3))
def test_no_two_of_the_windows_that_count_share_a_row(spans, start, count):
    windows = tuple(Window(f"{a:03d}", f"{a + n:03d}", frozenset()) for a, n in spans)
    chosen = AlarmState(windows).disjoint(f"{start:03d}", count)
    ends = [f"{start:03d}", *(w.start for w in chosen)]
    assert len(chosen) <= count and all(w.end <= edge for w, edge in zip(chosen, ends, strict=False))


def test_distances_that_are_known_already_are_judged_by_the_same_policy():
    drift = compare(Span({"x": BEFORE}), Span({"x": MOVED})).shifts[0].drift
    assert not judge([drift])[0].alarm
    assert judge([drift], [{"x": True}, {"x": False}])[0].alarm
    assert not judge([drift], [{"x": True}, {"x": False}, {"x": False}])[0].alarm


def test_a_small_sample_is_compared_with_neighbouring_bins_and_fifteen_values_seen_once_are_no_categories():
    rng, seen, false = np.random.default_rng(5), 0, 0
    for n, m in ((30, 30), (1000, 30), (30, 1000)):
        for _ in range(8):
            before, after = rng.normal(10, 2, n), rng.normal(10, 2, m)
            gaps = np.where(rng.random(n) < 0.5, 0, rng.exponential(3, n))
            later = np.where(rng.random(m) < 0.5, 0, rng.exponential(3, m))
            made = compare_tables(pa.table({"x": before, "z": gaps}), pa.table({"x": after, "z": later}))
            false += sum(v.suspect for v in judge(made))
            (moved,) = judge(compare_tables(pa.table({"x": before}), pa.table({"x": after * 100})))
            seen += moved.suspect
    assert seen == 24 and false <= 2
