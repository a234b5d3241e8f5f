"""A day has moved when it lies farther out than days of training did, and not because Sundays are other days."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanok.compute.alarms import DAYS, AlarmState
from hanok.compute.day_blocks import DAY_US, DayBlocks, Days, day_blocks
from hanok.compute.drift import Reference, bin_counts, compare, reference
from hanok.compute.psi import distances, pooled
from hanok.compute.shift import Span
from hanok.compute.shift import compare as compare_spans

SUNDAYS = 7


def of_days(days, rows=300, seed=0, sunday=0.0, moved=0.0):
    """Values of so many days, and the instant of each; every seventh day has another mean."""
    rng = np.random.default_rng(seed)
    day = np.repeat(np.arange(days), rows)
    return rng.normal(size=len(day)) + sunday * (day % SUNDAYS == 6) + moved, day * DAY_US + 60_000_000


def column(values):
    return pa.chunked_array([pa.array(values)])


def trained(days=60, **more):
    values, at = of_days(days, **more)
    return reference("x", column(values), (), Days.of(at))


def verdicts(ref, *days):
    """The verdict of each day in turn."""
    state, found = AlarmState(), []
    for number, values in enumerate(days):
        span = Span({"x": column(values)}, len(values), f"{number:03d}", f"{number + 1:03d}")
        before = Span({"x": ref.of_days(1, len(values))})
        state, (verdict,) = DAYS.update(state, compare_spans(before, span))
        found.append(verdict)
    return found


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 9), min_size=9, max_size=9), min_size=2, max_size=5), st.integers(1, 40))
def test_distances_of_many_are_those_of_each(samples, times):
    """Against `drift.compare`, which is held to published values: small samples beside large ones."""
    before = np.arange(9) * 10.0 + 5
    after = [np.array(s, float) * (times if i else 1) for i, s in enumerate(samples) if sum(s)]
    each = [compare(Reference("x", True, (), (), tuple(before)), one) for one in after]
    psi, floor = distances(*pooled(np.tile(before, (len(after), 1)), np.reshape(after, (-1, 9))))
    assert psi == pytest.approx([d.psi for d in each]) and floor == pytest.approx([d.psi_noise_floor for d in each])


def test_a_small_sample_keeps_bins_to_compare():
    """By hand: 20 rows, of which 2 are expected in each of ten bins, are compared in four bins of neighbours."""
    a, b = pooled(np.full((1, 10), 100.0), np.array([[0, 0, 0, 0, 4, 4, 4, 4, 2, 2]], float))
    assert a[a > 0].tolist() == [300, 200, 300, 200] and b[a > 0].tolist() == [0, 4, 12, 4]
    a, b = pooled(np.full((1, 10), 100.0), np.full((1, 10), 9.0))
    assert a[a > 0].tolist() == [100] * 10


@pytest.mark.parametrize(("length", "rows"), [(1, 60), (1, 90), (2, 30)])
def test_days_of_few_rows_differ_as_they_do(length, rows):
    """Each day of training has another mean; later days of the same kind have not moved."""
    rng = np.random.default_rng(3)
    made = lambda rows: rng.normal(rng.normal(0, 0.5), 1, rows)  # noqa: E731
    values = np.concatenate([made(rows) for _ in range(62)])
    ref = reference("x", column(values), (), Days.of(np.repeat(np.arange(62), rows) * DAY_US))
    run = next(r for r in ref.days if r.days == length)
    assert run.inflation > 1.2 and run.usual > 0.05
    later = [np.concatenate([made(300 // length) for _ in range(length)]) for _ in range(60)]
    found = [compare(ref.of_days(length, 300), bin_counts(ref, column(x))) for x in later]
    assert sum(d.p_value < 0.01 and d.effect > 0.1 for d in found) <= 6


def test_a_column_that_never_differed_is_known_and_runs_whose_bins_were_all_one_are_not():
    at = np.repeat(np.arange(62), 60) * DAY_US
    constant = reference("x", column(np.ones(len(at))), (), Days.of(at))
    assert [(r.usual, r.inflation) for r in constant.days] == [(0.0, 1.0)] * len(constant.days)
    steady, moved = (
        compare(constant.of_days(1, 300), bin_counts(constant, column(np.full(300, x)))) for x in (1.0, 2.0)
    )
    assert steady.effect == 0 and moved.effect > 1 and moved.p_value < 1e-6
    earlier = replace(constant, days=(DayBlocks(1, 60, 0.0, 0.0, 0.0, 0.0), *constant.days[1:])).as_dict()
    assert Reference.from_dict(earlier).of_days(1, 300) is None and Reference.from_dict(earlier).of_days(2, 300)


def test_independent_rows_have_no_variance_of_days():
    (one, *_) = trained().days
    assert one.days == 1 and one.blocks == 58  # the first and the last may be cut off
    assert one.inflation == pytest.approx(1, abs=0.15)  # PSI over its noise floor, of equal distributions
    assert abs(one.usual) < 0.02


def test_a_season_of_the_week_is_usual():
    ref = trained(sunday=1.5)
    assert ref.days[0].limit > 0.3 and next(r for r in ref.days if r.days == 7).limit < 0.05
    quiet = verdicts(ref, *(of_days(1, seed=s, moved=1.5 * (s % 7 == 6))[0] for s in range(70, 91)))
    assert not any(v.suspect for v in quiet)


def test_a_jump_alarms_on_its_first_day_and_a_small_shift_when_it_lasts():
    ref = trained(rows=1500)
    assert [v.alarm for v in verdicts(ref, of_days(1, 1500, seed=90, moved=2.0)[0])] == [True]
    small = verdicts(ref, *(of_days(1, 1500, seed=s, moved=0.45)[0] for s in (91, 92)))
    assert [(v.suspect, v.alarm, v.sudden) for v in small] == [(True, False, False), (True, True, False)]


def test_one_bad_day_of_training_is_not_what_is_usual():
    values, at = of_days(60, 500)
    values[at // DAY_US == 20] += 5
    ref = reference("x", column(values), (), Days.of(at))
    assert verdicts(ref, of_days(1, 500, seed=95, moved=5.0)[0])[0].suspect


def test_too_few_or_too_short_days_say_nothing():
    assert trained(days=10).days == () and trained(days=60, rows=1).days == ()
    assert reference("x", column([1.0, 2.0]), (), Days.of(np.zeros(0, np.int64))).days == ()
    apart = Days.of(np.array([0, 10**17, 10**18]))  # days that lie far apart take no room
    assert apart.count == 400 and day_blocks(np.zeros(3, int), 2, apart) == ()
    assert {r.days for r in trained(days=60, rows=30).days} == {2, 3, 7, 14, 28}


def test_references_are_kept_and_earlier_ones_open():
    ref = trained()
    assert Reference.from_dict(ref.as_dict()) == ref and isinstance(ref.days[0], DayBlocks)
    earlier = {k: v for k, v in ref.as_dict().items() if k != "days"}
    assert Reference.from_dict(earlier).days == () and Reference.from_dict(earlier).of_days(1, 300) is None
    assert bin_counts(Reference.from_dict(earlier), column([0.0])).sum() == 1
