"""The guard of a rollout: it reads each rule against what both versions answered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hanok.compute.metrics import BLOCKS_MIN, Floats, Gain, blocked_gain, evaluate, jackknifed_gain, row_losses
from hanok.core.durations import shortest
from hanok.core.metric_names import HIGHER_IS_BETTER, SERVICE
from hanok.core.rules import Rule

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ROWS_MIN = 100
CONFIDENCE = 0.95
DOUBT = 0.8  # behind with this confidence, a challenger is not alone yet: its last stage goes on
NO_MEANS = ("auc", "r2")  # metrics that are not a mean over rows


@dataclass(frozen=True, slots=True)
class Pair:
    """The two versions of a rollout. `block` is the length of time whose rows are taken to err together; they are
    counted from `began`. `planned` is how many of them the rollout takes: the doubt that one look leaves is shared out
    over the looks at them. 0: there is one look."""

    task: str
    champion: int
    challenger: int
    block: timedelta = timedelta(days=1)
    began: datetime = EPOCH
    planned: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a rollout is stopped."""

    rule: str
    reason: str
    facts: Mapping[str, float | int | None]


@dataclass(frozen=True, slots=True)
class Look:
    """One look at all rules: the first that is broken, and those that could not be decided, with the reason. A rule
    that waits for rows is neither."""

    broken: Evidence | None = None
    undecided: tuple[str, ...] = field(default=())


def level(confidence: float, number: int, planned: int) -> float:
    """The confidence that a look at `number` blocks takes, so that an equal version is stopped at any look of a rollout
    of `planned` blocks with a probability of `1 - confidence` at most.

    Alpha spending of Pocock's type (Lan & DeMets 1983, section 3): a(t) = a ln(1 + (e - 1) t), where t is the share of
    the blocks from the third on; a look takes what its block adds, which the union bound makes safe. After the plan
    the last share is kept.
    """
    first, last = BLOCKS_MIN, max(planned, BLOCKS_MIN)
    if not planned:
        return confidence
    whole, at = last - first + 1, min(number, last) - first + 1

    def spent(blocks: int) -> float:
        return (1 - confidence) * math.log(1 + (math.e - 1) * blocks / whole)

    return 1 - (spent(at) - spent(at - 1)) if at > 0 else confidence


def blocks_of(at: NDArray[np.int64], pair: Pair) -> NDArray[np.int64]:
    """The block of each instant (microseconds), by number from the beginning of the rollout. The last one counts by
    itself once it has half as many rows as the largest; until then its rows are those of the one before: a block of
    an hour says little, and it is looked at all the time."""
    length = pair.block // timedelta(microseconds=1)
    number = (at - (pair.began - EPOCH) // timedelta(microseconds=1)) // length
    names, rows = np.unique(number, return_counts=True)
    if len(names) > 1 and 2 * rows[-1] < rows.max():
        number = np.where(number == names[-1], names[-2], number)
    return number


class _Undecided(Exception):
    """A metric is not a number on these rows: the rule neither passes nor fails."""


def guard(
    rules: Sequence[Rule], pair: Pair, outcomes: pa.Table, answers: pa.Table, *, confidence: float = CONFIDENCE
) -> Look:
    """Look at all rules on what was answered.

    Against the champion the metric has to be worse with the given confidence, on rows that both versions scored. That
    counts blocks of time, not rows, and needs three of them: rows of one bad day err together, and one bad day condemns
    no model. The confidence is that of the whole rollout, however often it is looked at (`level`). A metric that is not
    a number never decides.
    """
    undecided = []
    known = _labelled(pair.task, outcomes)
    for rule in rules:
        try:
            if rule.metric in SERVICE:
                found = _service(rule, answers, pair.challenger)
            elif rule.bound is None:
                found = _paired(rule, pair, known, confidence)
            else:
                found = _absolute(rule, pair, known)
        except _Undecided as reason:
            undecided.append(f"{rule.text}: {reason}")
            continue
        if found is not None:
            return Look(found, tuple(undecided))
    return Look(None, tuple(undecided))


def scores(task: str, rows: pa.Table) -> Floats:
    """The answers of rows: P(1), values, or the probabilities of the classes."""
    if task == "multiclass":
        return np.array(rows.column("scores").to_pylist(), float)
    return rows.column("score").cast(pa.float64()).to_numpy(zero_copy_only=False)


def answered_rows(task: str, rows: pa.Table) -> pa.Table:
    """Rows that hold an answer and a label. What failed has none: it counts as an error, not as a loss."""
    if not rows.num_rows:
        return rows
    usable = pc.and_(pc.is_finite(rows.column("score")), pc.is_finite(rows.column("label").cast(pa.float64())))
    kept = rows.filter(pc.fill_null(usable, False))
    if task == "multiclass" and kept.num_rows:
        lengths = pc.fill_null(pc.list_value_length(kept.column("scores")), 0)
        kept = kept.filter(pc.and_(pc.greater(lengths, 0), pc.equal(lengths, pc.max(lengths))))
    return kept


def _labelled(task: str, outcomes: pa.Table) -> pa.Table:
    return answered_rows(task, outcomes)


def _paired(rule: Rule, pair: Pair, outcomes: pa.Table, confidence: float) -> Evidence | None:
    if not outcomes.num_rows:
        return None
    first, second = (_by_row(outcomes, version) for version in (pair.champion, pair.challenger))
    shared = sorted(set(first) & set(second))
    if len(shared) < ROWS_MIN:
        return None
    a, b = (outcomes.take(pa.array([side[row] for row in shared])) for side in (first, second))
    blocks = blocks_of(a.column("at").cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy(), pair)
    taken = level(confidence, len(np.unique(blocks)), pair.planned)
    gain = _gain(rule.metric, pair.task, a, b, blocks, taken)
    if np.isnan(gain.mean):
        raise _Undecided(f"{rule.metric} is not defined on these {gain.rows} rows")
    if not gain.high < 0:
        return None
    what = "per-row loss" if rule.metric not in NO_MEANS else rule.metric
    side = "lower" if rule.downwards and rule.metric in NO_MEANS else "higher"
    return Evidence(
        rule.text,
        f"{what} of version {pair.challenger} is {side} than that of version {pair.champion} by {-gain.mean:.4f} "
        f"(at least {-gain.high:.4f} with {confidence:.0%} confidence{' over all looks' * bool(pair.planned)}) on "
        f"{gain.rows} rows of {gain.blocks} "
        f"{'days' if pair.block == timedelta(days=1) else f'blocks of {shortest(pair.block)}'} that both scored",
        {"rows": gain.rows, "blocks": gain.blocks, "gain": gain.mean, "low": gain.low, "high": gain.high},
    )


def _gain(metric: str, task: str, a: pa.Table, b: pa.Table, blocks: NDArray[np.int64], confidence: float) -> Gain:
    """How much better the second side is than the first; negative when it is worse."""
    y, theirs, mine = a.column("label").cast(pa.float64()).to_numpy(), scores(task, a), scores(task, b)
    if metric not in NO_MEANS:
        before, now = row_losses(task, metric, y, theirs), row_losses(task, metric, y, mine)
        return blocked_gain(before, now, blocks, confidence=confidence)
    sign = 1.0 if HIGHER_IS_BETTER.get(metric) else -1.0

    def measure(mask: NDArray[np.bool_]) -> float:
        now, before = (evaluate(task, y[mask], side[mask]).get(metric, np.nan) for side in (mine, theirs))
        return sign * (now - before)

    return jackknifed_gain(measure, blocks, confidence=confidence)


def _absolute(rule: Rule, pair: Pair, outcomes: pa.Table) -> Evidence | None:
    """The challenger's own metric against a number, on all rows it scored."""
    mine = outcomes.filter(pc.equal(outcomes.column("version"), pair.challenger)) if outcomes.num_rows else outcomes
    if mine.num_rows < ROWS_MIN:
        return None
    y = mine.column("label").cast(pa.float64()).to_numpy()
    value = evaluate(pair.task, y, scores(pair.task, mine))[rule.metric]
    return _against_bound(rule, pair.challenger, value, mine.num_rows)


def _service(rule: Rule, answers: pa.Table, challenger: int) -> Evidence | None:
    if not answers.num_rows:
        return None
    mine = answers.filter(pc.equal(answers.column("version"), challenger))
    if rule.metric == "error_rate":  # of all it was asked, beside the champion too
        failed = pc.not_equal(pc.fill_null(mine.column("error"), ""), "")
        rows = mine.column("rows").fill_null(1).to_numpy() if "rows" in mine.column_names else np.ones(mine.num_rows)
        if rows.sum() < ROWS_MIN:
            return None
        value = float((failed.to_numpy(zero_copy_only=False) * rows).sum() / rows.sum())
        return _against_bound(rule, challenger, value, int(rows.sum()))
    if "arm" in mine.column_names:  # a shadow answers nobody: its time is nobody's
        mine = mine.filter(pc.not_equal(mine.column("arm"), "shadow"))
    timed = mine.column("microseconds").drop_null().to_numpy()
    if len(timed) < ROWS_MIN:
        return None
    return _against_bound(rule, challenger, float(np.quantile(timed, 0.99) / 1000), len(timed))


def _against_bound(rule: Rule, challenger: int, value: float, rows: int) -> Evidence | None:
    if np.isnan(value):
        raise _Undecided(f"{rule.metric} of version {challenger} is not defined on {rows} rows")
    if not rule.broken_by(value):
        return None
    reason = f"{rule.metric} of version {challenger} is {value:.4g} on {rows} rows"
    return Evidence(rule.text, reason, {"value": value, "rows": rows})


def _by_row(outcomes: pa.Table, version: int) -> dict[str, int]:
    """Place of a version's answer by the row it is for."""
    pairs = zip(outcomes.column("row_id").to_pylist(), outcomes.column("version").to_pylist(), strict=True)
    return {row: i for i, (row, v) in enumerate(pairs) if v == version}
