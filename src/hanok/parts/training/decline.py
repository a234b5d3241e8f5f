"""Whether a model has become worse than it was at its gate, for the rows that it was asked.

A hard month is no worse model. Two readings say how hard rows were: the best constant in hindsight on the same rows,
and the scores themselves (what the metric would be if each came true as often as it says). What either explains is no
decline. Losses of numbers scale with the numbers, so there the constant explains by its ratio.

With much traffic the last three days are looked at; with little, evidence adds up over one to eight weeks, and a
decline has to be certain: its lower bound, by a delete-one-block jackknife (Efron and Tibshirani 1993, section 11.3),
is above zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hanok.compute.metrics import Floats, best_constant, evaluate, jackknifed_gain
from hanok.core.durations import shortest
from hanok.core.metric_names import HIGHER_IS_BETTER
from hanok.parts.training import guards

WATCH = timedelta(days=3)
WATCH_ROWS_MIN = 300  # in three days; with fewer it is little traffic
WIDER = tuple(timedelta(days=d) for d in (7, 14, 28, 56))
ROWS_MIN = 12
BLOCKS = 20
CONFIDENCE = 0.95
CERTAIN = 0.9995  # of one look at little traffic: a year has a thousand of them
SCALED = ("mae", "rmse")  # metrics that grow with the numbers that are predicted


@dataclass(frozen=True, slots=True)
class Level:
    """A metric on some rows; that of the best constant in hindsight on the same rows; and what it would be if the
    scores were right. The last two say how hard the rows were."""

    value: float
    constant: float | None = None
    expected: float | None = None


@dataclass(frozen=True, slots=True)
class Decline:
    """What was watched over `span`, and whether it is worse than the reference beyond chance. `certain` is None where
    that was not looked at, because the point value is no decline."""

    recent: Level | None
    rows: int
    span: timedelta = WATCH
    certain: bool | None = None


def told_span(span: timedelta, until: datetime, now: datetime) -> str:
    """The time that was watched, in words."""
    days = shortest(span)
    return f"the last {days}" if until >= now else f"the {days} up to {until:%Y-%m-%d}"


def worse_by(metric: str, recent: Level, reference: Level) -> tuple[float, float]:
    """(by how much the metric is worse than the reference, how much of it the difficulty of the rows explains)."""
    sign = -1.0 if HIGHER_IS_BETTER.get(metric) else 1.0
    raw = sign * (recent.value - reference.value)
    explained = _by_constant(metric, recent, reference)
    if recent.expected is not None and np.isfinite(recent.expected):
        explained = max(explained, raw - sign * (recent.value - recent.expected))
    return raw, explained


def watch(
    task: str,
    metric: str,
    reference: Level | None,
    allowed: float,
    outcomes: Callable[[datetime], pa.Table],
    now: datetime,
) -> Decline:
    """The last three days, or, with little traffic, the shortest longer span on which a decline is certain.
    `outcomes(start)` are the labelled answers of the version since an instant."""
    recent = _watched(task, metric, reference, allowed, outcomes(now - WATCH), WATCH)
    if recent.rows >= WATCH_ROWS_MIN or reference is None:
        return recent
    everything = outcomes(now - WIDER[-1])
    at = everything.column("at").to_numpy() if everything.num_rows else np.empty(0, "datetime64[us]")
    for span in (WATCH, *WIDER):
        since = np.datetime64((now - span).replace(tzinfo=None), "us")
        found = _watched(task, metric, reference, allowed, everything.filter(pa.array(at >= since)), span)
        if found.certain:
            return found
        if found.rows >= WATCH_ROWS_MIN:
            break
    return recent


def _watched(
    task: str, metric: str, reference: Level | None, allowed: float, rows: pa.Table, span: timedelta
) -> Decline:
    rows = guards.answered_rows(task, rows)
    if not rows.num_rows:
        return Decline(None, 0, span)
    rows = rows.sort_by("at")
    y, scores = rows.column("label").to_numpy().astype(float), guards.scores(task, rows)
    level = level_of(task, metric, y, scores)
    found = Decline(level, len(y), span)
    if reference is None or len(y) < ROWS_MIN:
        return found
    raw, explained = worse_by(metric, level, reference)
    if not raw - explained > allowed:
        return found
    known = reference  # of a closure, for the type checker

    def worse(mask: NDArray[np.bool_]) -> float:
        part, easy = worse_by(metric, level_of(task, metric, y[mask], scores[mask]), known)
        return part - easy

    confidence = CONFIDENCE if span == WATCH and len(y) >= WATCH_ROWS_MIN else CERTAIN
    gain = jackknifed_gain(worse, _blocks(rows), confidence=confidence)
    return Decline(level, len(y), span, bool(gain.low > 0))


def level_of(task: str, metric: str, y: Floats, scores: Floats) -> Level:
    """The metric on these rows, and how hard they were."""
    constant = best_constant(task, y, scores.shape[1] if scores.ndim == 2 else 2)
    hard = evaluate(task, y, constant).get(metric)
    return Level(evaluate(task, y, scores)[metric], hard, _expected(task, metric, scores))


def _blocks(rows: pa.Table) -> NDArray[np.int64]:
    """Days where there are enough, else equal parts in the order of time."""
    days = np.unique(rows.column("at").to_numpy().astype("datetime64[D]"), return_inverse=True)[1]
    count = min(BLOCKS, rows.num_rows // 2)
    return days.ravel() if days.max() + 1 >= BLOCKS // 2 else np.arange(rows.num_rows) * count // rows.num_rows


def _by_constant(metric: str, recent: Level, reference: Level) -> float:
    """How much worse the best constant is on these rows. That of accuracy says how rare the rarer class is, not how
    hard the rows are: it explains nothing where the scores do."""
    if recent.constant is None or reference.constant is None:
        return 0.0
    if metric == "accuracy" and recent.expected is not None:
        return 0.0
    if metric in SCALED and reference.constant > 0:
        return reference.value * (recent.constant / reference.constant - 1)
    sign = -1.0 if HIGHER_IS_BETTER.get(metric) else 1.0
    return sign * (recent.constant - reference.constant)


def _expected(task: str, metric: str, scores: Floats) -> float | None:
    """The mean of the metric if each class came as often as the scores say; None for numbers."""
    if task == "regression":
        return None
    p = np.clip(np.column_stack([1 - scores, scores]) if scores.ndim == 1 else scores, 1e-15, 1)
    p = p / p.sum(axis=1, keepdims=True)
    if metric == "log_loss":
        return float(-(p * np.log(p)).sum(axis=1).mean())
    if metric == "accuracy":
        return float(p.max(axis=1).mean())
    if metric == "brier" and scores.ndim == 1:
        return float((p[:, 0] * p[:, 1]).mean())
    if metric == "auc" and scores.ndim == 1:
        return _expected_auc(scores, p[:, 1])
    return None


def _expected_auc(scores: Floats, p: Floats) -> float:
    """The share of pairs in order, each row a positive by p and a negative by 1 - p; ties count half."""
    _, place = np.unique(scores, return_inverse=True)
    positive, negative = np.bincount(place, p), np.bincount(place, 1 - p)
    below = np.cumsum(negative) - negative
    pairs = p.sum() * (1 - p).sum()
    return float((positive * (below + negative / 2)).sum() / pairs) if pairs > 0 else float("nan")
