"""A hard month is no worse model; a worse model is one, in any month and with six rows a day."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanok.compute.metrics import auc
from hanok.parts.training.decline import ROWS_MIN, WATCH, Level, level_of, watch, worse_by

NOW = datetime(2026, 6, 1, tzinfo=UTC)
METRICS = {"log_loss": 0.03, "brier": 0.02, "auc": 0.05, "accuracy": 0.04}


def month(seed, rows, *, strength=1.2, base=-1.0, wrong=0.0):
    """Labels and scores of a binary model: logits spread by `strength` about `base`; `wrong` is the share of rows whose
    label has nothing to do with the score any more."""
    rng = np.random.default_rng(seed)
    score = 1 / (1 + np.exp(-(base + strength * rng.normal(size=rows))))
    label = (rng.random(rows) < score).astype(float)
    lost = rng.random(rows) < wrong
    return np.where(lost, rng.permutation(label), label), score


def watched(metric, label, score, *, rows_a_day, reference, allowed):
    count = len(label)
    at = [NOW - timedelta(days=(count - i - 0.5) / rows_a_day) for i in range(count)]
    table = pa.table({"at": pa.array(at, pa.timestamp("us", "UTC")), "label": label, "score": score})

    def outcomes(start):
        return table.filter(
            pa.compute.greater_equal(table.column("at"), pa.scalar(start, table.schema.field("at").type))
        )

    return watch("binary", metric, reference, allowed, outcomes, NOW)


def gate(metric):
    """Of 4,000 held-out rows, as a version keeps it: without what the scores expected."""
    found = level_of("binary", metric, *month(1, 4000))
    return Level(found.value, found.constant)


def declines(metric, months, rows_a_day=400):
    return watched(metric, *months, rows_a_day=rows_a_day, reference=gate(metric), allowed=METRICS[metric]).certain


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("seed", range(3))
def test_hard_months_are_no_decline_and_worse_models_are(metric, seed):
    hard_by_shares = month(seed, 1200, base=0.0)
    hard_by_inputs = month(seed, 1200, strength=0.5)
    decay = month(seed, 1200, wrong=0.6)
    both = month(seed, 1200, base=0.0, wrong=0.6)
    assert not declines(metric, month(seed, 1200))
    assert not declines(metric, hard_by_shares) and not declines(metric, hard_by_inputs)
    assert declines(metric, decay) and declines(metric, both)


def test_six_rows_a_day_whose_loss_quadruples_are_raised_within_a_week():
    rng = np.random.default_rng(3)
    score = np.where(rng.random(36) < 0.8, 0.12, 0.6)
    good = (rng.random(36) < score).astype(float)
    bad = np.where(score > 0.5, 0.0, (rng.random(36) < 0.9).astype(float))
    reference = Level(0.42, 0.6)
    loss = level_of("binary", "log_loss", bad, score).value
    assert 1.6 < loss < 2.2
    days = [
        watched("log_loss", bad[:n], score[:n], rows_a_day=6, reference=reference, allowed=0.04)
        for n in range(6, 37, 6)
    ]
    assert any(d.certain for d in days) and not days[0].certain
    fine = watched("log_loss", good, score, rows_a_day=6, reference=reference, allowed=0.04)
    assert not fine.certain


def test_little_traffic_raises_nothing_by_chance():
    """Two years of looks, two weeks apart, at a model that is as good as at its gate."""
    alarms, reference = 0, gate("log_loss")
    for seed in range(2):
        label, score = month(seed, 365 * 6)
        for day in range(60, 365, 14):
            part = slice(max(0, (day - 56) * 6), day * 6)
            found = watched("log_loss", label[part], score[part], rows_a_day=6, reference=reference, allowed=0.03)
            alarms += bool(found.certain)
    assert alarms == 0


def test_a_slow_decline_of_little_traffic_adds_up_over_weeks():
    label, score = month(5, 336, wrong=0.8)
    found = watched("log_loss", label, score, rows_a_day=6, reference=gate("log_loss"), allowed=0.03)
    assert found.certain and found.span > WATCH


def test_numbers_that_grow_make_no_worse_model_and_no_decline_hides_among_them():
    reference = Level(10.0, 30.0)
    assert worse_by("mae", Level(13.0, 39.0), reference) == (pytest.approx(3), pytest.approx(3))
    raw, explained = worse_by("mae", Level(16.0, 39.0), reference)
    assert raw - explained == pytest.approx(3)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_what_scores_expect_is_what_labels_drawn_from_them_give(seed):
    """Monte Carlo of the definition."""
    rng = np.random.default_rng(seed)
    score = np.round(rng.beta(1, 2, size=60), 2).clip(0.02, 0.98)
    drawn = (rng.random((400, 60)) < score).astype(float)
    found = level_of("binary", "auc", drawn[0], score).expected
    known = [a for y in drawn if np.isfinite(a := auc(y, score))]
    assert found == pytest.approx(np.mean(known), abs=0.02)


def test_too_few_rows_say_nothing():
    label, score = month(1, ROWS_MIN - 1, wrong=1.0)
    assert watched("log_loss", label, score, rows_a_day=6, reference=Level(0.1), allowed=0.0).certain is None
    empty = watch("binary", "log_loss", Level(0.1), 0.0, lambda _: pa.table({}), NOW)
    assert empty.recent is None and empty.rows == 0
