"""Guards: a rule fires exactly when what it says holds on enough rows; what is not a number never decides."""

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanok.compute.metrics import blocked_gain, evaluate, jackknifed_gain
from hanok.core.clock import micros
from hanok.core.rules import parse_rules
from hanok.parts.training.guards import ROWS_MIN, Pair, blocks_of, guard, level
from tests.unit.parts.training.rig import DAY, START, outcomes

PAIR = Pair("binary", 1, 2)
NOTHING = pa.table({"version": pa.array([], pa.int64()), "error": [], "microseconds": [], "arm": []})


def scored(noise, *, days=6, rows=60, seed=0, nulls=0):
    """Both versions on the same rows: version 1 is good, version 2 errs by `noise` more."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(days * rows):
        label = float(random.random() < 0.5)
        for version, spread in ((1, 0.2), (2, 0.2 + noise)):
            score = float(np.clip(0.5 + (label - 0.5) * 0.6 + random.normal(0, spread), 0.01, 0.99))
            missing = version == 2 and number < nulls
            found.append((version, str(number), None if missing else score, label, START + (number // rows) * DAY))
    return outcomes(found)


def answers(version, *, errors=0, rows=200, microseconds=1000.0, arm="canary"):
    return pa.table(
        {
            "version": [version] * rows,
            "error": ["it broke"] * errors + [""] * (rows - errors),
            "microseconds": [microseconds] * rows,
            "arm": [arm] * rows,
        }
    )


@pytest.mark.parametrize("rule", ["log_loss > champion", "brier > champion", "auc < champion", "accuracy < champion"])
def test_a_challenger_that_is_worse_breaks_the_rule_and_one_that_is_better_does_not(rule):
    rules = parse_rules([rule], "binary")
    assert guard(rules, PAIR, scored(0.6), NOTHING).broken.rule == rule
    assert guard(rules, PAIR, scored(-0.15), NOTHING).broken is None
    assert guard(rules, PAIR, scored(0.6, days=2), NOTHING).broken is None  # two days condemn no model


@settings(max_examples=60)
@given(
    st.sampled_from(["log_loss", "auc", "brier", "accuracy"]),
    st.sampled_from([">", "<", ">=", "<="]),
    st.floats(0.05, 1.5),
    st.floats(0, 1),
)
def test_a_bound_is_broken_exactly_when_what_is_written_holds(metric, operator, bound, noise):
    rows = scored(noise, rows=40)
    mine = rows.filter(pa.compute.equal(rows.column("version"), 2))
    value = evaluate("binary", mine.column("label").to_numpy(), mine.column("score").to_numpy())[metric]
    holds = {">": value > bound, "<": value < bound, ">=": value >= bound, "<=": value <= bound}[operator]
    broken = guard(parse_rules([f"{metric} {operator} {bound!r}"], "binary"), PAIR, rows, NOTHING).broken
    assert (broken is not None) == holds


@pytest.mark.parametrize("rule", ["auc < champion", "auc < 0.5", "auc > 0.9"])
def test_a_metric_that_is_not_a_number_never_decides_and_is_said(rule):
    one_class = outcomes([(v, str(n), 0.9, 1.0, START + n // 60 * DAY) for n in range(360) for v in (1, 2)])
    look = guard(parse_rules([rule], "binary"), PAIR, one_class, NOTHING)
    assert look.broken is None
    assert look.undecided and "not defined" in look.undecided[0]


@settings(max_examples=30)
@given(st.integers(0, 300), st.sampled_from(["log_loss > champion", "auc < champion", "log_loss > 5"]))
def test_answers_without_a_score_are_no_loss(nulls, rule):
    rules, rows = parse_rules([rule], "binary"), scored(0.1, nulls=nulls)
    without = rows.filter(pa.compute.is_valid(rows.column("score")))
    assert guard(rules, PAIR, rows, NOTHING) == guard(rules, PAIR, without, NOTHING)


def test_errors_count_on_whatever_arm_and_the_time_of_a_shadow_does_not():
    rules = parse_rules(["error_rate > 1%"], "binary")
    for arm in ("shadow", "canary", "primary"):
        assert guard(rules, PAIR, outcomes([]), answers(2, errors=3, arm=arm)).broken is not None
    assert guard(rules, PAIR, outcomes([]), answers(2, errors=2)).broken is None
    assert guard(rules, PAIR, outcomes([]), answers(1, errors=99)).broken is None  # the champion's own
    assert guard(rules, PAIR, outcomes([]), answers(2, errors=50, rows=ROWS_MIN - 1)).broken is None
    slow = parse_rules(["p99 > 20ms"], "binary")
    assert guard(slow, PAIR, outcomes([]), answers(2, microseconds=21_000.0)).broken is not None
    assert guard(slow, PAIR, outcomes([]), answers(2, microseconds=20_000.0)).broken is None
    assert guard(slow, PAIR, outcomes([]), answers(2, microseconds=90_000.0, arm="shadow")).broken is None


def test_blocks_are_as_long_as_a_stage():
    rules, hours = parse_rules(["log_loss > champion"], "binary"), scored(0.6, days=1, rows=300)
    at = pa.array([START + timedelta(minutes=i) for i in range(hours.num_rows)], pa.timestamp("us", "UTC"))
    hours = hours.set_column(hours.column_names.index("at"), "at", at)
    assert guard(rules, PAIR, hours, NOTHING).broken is None
    assert guard(rules, Pair("binary", 1, 2, timedelta(hours=1)), hours, NOTHING).broken is not None


def test_the_jackknife_of_a_mean_is_the_interval_of_the_mean():
    """For a mean over equal blocks the pseudo-values are the block means: Student's t over them, by hand."""
    values = np.array([1.0, 2.0, 4.0, 7.0, 1.5, 2.5])
    blocks = np.array([0, 0, 1, 1, 2, 2])
    gain = jackknifed_gain(lambda mask: float(values[mask].mean()), blocks, confidence=0.95)
    means = np.array([1.5, 5.5, 2.0])
    assert gain.mean == pytest.approx(3.0)
    reach = 2.919986 * means.std(ddof=1) / 3**0.5  # t of two degrees of freedom at 0.95
    assert (gain.low, gain.high) == (pytest.approx(3 - reach, abs=1e-4), pytest.approx(3 + reach, abs=1e-4))


def test_an_equal_version_is_seldom_stopped_however_often_it_is_looked_at():
    """A week looked at every four hours, whole days good or bad. With the confidence of one look each time about every
    fifth of them was stopped; the whole rollout may err in 5 % (here of 80, so up to 10 %)."""
    random, hours, stopped = np.random.default_rng(11), np.arange(7 * 24), 0
    at = np.repeat(micros(START) + hours * 3_600_000_000, 6)
    pair = Pair("binary", 1, 2, began=START, planned=7)
    for _ in range(80):
        worse = np.repeat(random.normal(0, 1, 7), 24 * 6) + random.normal(0, 4, len(at))
        for hour in range(48, len(hours) + 1, 4):
            rows = hour * 6
            blocks = blocks_of(at[:rows], pair)
            taken = level(0.95, len(np.unique(blocks)), pair.planned)
            if blocked_gain(np.zeros(rows), worse[:rows], blocks, confidence=taken).high < 0:
                stopped += 1
                break
    assert stopped <= 0.1 * 80


@given(st.integers(0, 40), st.sampled_from([0.9, 0.95, 0.99]))
def test_the_doubt_of_all_looks_together_is_that_of_the_rollout(planned, confidence):
    spent = sum(1 - level(confidence, number, planned) for number in range(3, max(planned, 3) + 1))
    assert spent == pytest.approx(1 - confidence)
    assert all(level(confidence, n, planned) >= confidence for n in range(1, 60))


def test_the_last_block_counts_by_itself_once_it_has_half_the_rows_of_the_largest():
    hour, began = 3_600_000_000, micros(START)
    pair = Pair("binary", 1, 2, began=START + timedelta(hours=18), planned=7)
    late = began + 18 * hour
    for hours, number in ((1, 1), (24, 1), (30, 1), (36, 2), (48, 2), (59, 2), (60, 3)):
        assert len(np.unique(blocks_of(late + np.arange(hours) * hour, pair))) == number
