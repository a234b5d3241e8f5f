"""Rollout: beside the champion first, then by growing shares, with a guard that looks at both on every row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hanok.compute.metrics import METRICS, blocked_gain, evaluate, row_losses
from hanok.core.declare import Rollout
from hanok.core.durations import duration, shortest
from hanok.core.errors import DeclarationError
from hanok.core.serving import Arm

_RULE = re.compile(r"\s*(\w+)\s*([<>])\s*(champion|[0-9.]+\s*(?:ms|s)?)\s*")
ROWS_MIN = 100
CONFIDENCE = 0.95
DOUBT = 0.8  # behind with this confidence, a challenger is not alone yet: its last stage goes on


@dataclass(frozen=True, slots=True)
class Stage:
    """The challenger's share of answers (0: shadow, 100: the former champion is the shadow) and how long it lasts."""

    share: int
    hold: timedelta


@dataclass(frozen=True, slots=True)
class Rule:
    """`metric > champion` or `metric > number` (milliseconds for p99)."""

    metric: str
    operator: str
    bound: float | None
    text: str


def stages(rollout: Rollout) -> tuple[Stage, ...]:
    """All stages before the challenger is alone."""
    found = [Stage(0, rollout.shadow)] if rollout.shadow else []
    found += [Stage(share, rollout.hold) for share in rollout.canary if share < 100]
    return (*found, Stage(100, rollout.bake)) if rollout.bake else tuple(found)


def block(rollout: Rollout) -> timedelta:
    """The length of time whose rows are taken to err together: that of a stage, a day at most."""
    return min(rollout.hold, timedelta(days=1))


def arms(champion: int, challenger: int, stage: Stage) -> tuple[Arm, ...]:
    if stage.share == 100:
        return Arm(challenger, "primary", 100), Arm(champion, "shadow", 0)
    if stage.share == 0:
        return Arm(champion, "primary", 100), Arm(challenger, "shadow", 0)
    return Arm(champion, "primary", 100 - stage.share), Arm(challenger, "canary", stage.share)


def rules(texts: Sequence[str], task: str) -> list[Rule]:
    """Parse the `rollback_if` of a declaration. Raises DeclarationError."""
    parsed = []
    for text in texts:
        match = _RULE.fullmatch(text)
        known = (*METRICS[task], "error_rate", "p99")
        if match is None or match[1] not in known:
            raise DeclarationError(
                f"rollback_if {text!r} is not understood: write 'METRIC > champion' or 'METRIC > number' with one of "
                f"{', '.join(known)}"
            )
        bound = None
        if match[3] == "champion" and match[1] in ("error_rate", "p99"):
            raise DeclarationError(
                f"rollback_if {text!r}: {match[1]} is compared with a number, like '{match[1]} > 0.01'"
            )
        if match[3] != "champion":
            bound = (
                duration(match[3]) / timedelta(milliseconds=1) if match[3].strip().endswith("s") else float(match[3])
            )
        parsed.append(Rule(match[1], match[2], bound, text))
    return parsed


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a rollout is stopped."""

    rule: str
    reason: str
    facts: dict[str, Any]


def guard(
    rules_: Sequence[Rule],
    task: str,
    outcomes: pa.Table,
    predictions: pa.Table,
    champion: int,
    challenger: int,
    *,
    block: timedelta = timedelta(days=1),
    confidence: float = CONFIDENCE,
) -> Evidence | None:
    """The first rule that the challenger breaks, on rows that both versions scored.

    Against the champion the paired loss has to be higher with the given confidence. That counts blocks of time, not
    rows, and needs three of them: rows of one bad day err together, and one bad day condemns no model.
    """
    for rule in rules_:
        if rule.metric in METRICS[task] and rule.bound is None:
            found = _paired(rule, task, outcomes, champion, challenger, block, confidence)
        elif rule.metric in ("error_rate", "p99"):
            found = _service(rule, predictions, challenger)
        else:
            found = _absolute(rule, task, outcomes, challenger)
        if found is not None:
            return found
    return None


def _paired(
    rule: Rule, task: str, outcomes: pa.Table, champion: int, challenger: int, block: timedelta, confidence: float
) -> Evidence | None:
    if not outcomes.num_rows:
        return None
    first, second = (_by_row(outcomes, version) for version in (champion, challenger))
    shared = sorted(set(first) & set(second))
    if len(shared) < ROWS_MIN:
        return None
    a, b = (outcomes.take(pa.array([side[row] for row in shared])) for side in (first, second))
    y = a.column("label").to_numpy()
    theirs, mine = (row_losses(task, rule.metric, y, _scores(task, side)) for side in (a, b))
    blocks = a.column("at").cast(pa.int64()).to_numpy() // (block // timedelta(microseconds=1))
    gain = blocked_gain(theirs, mine, blocks, confidence=confidence)
    if gain.high >= 0:
        return None
    return Evidence(
        rule.text,
        f"per-row loss of version {challenger} is higher than that of version {champion} by {-gain.mean:.4f} "
        f"(at least {-gain.high:.4f} with {confidence:.0%} confidence) on {gain.rows} rows of {gain.blocks} "
        f"{'days' if block == timedelta(days=1) else f'blocks of {shortest(block)}'} that both scored",
        {"rows": gain.rows, "blocks": gain.blocks, "gain": gain.mean, "low": gain.low, "high": gain.high},
    )


def _absolute(rule: Rule, task: str, outcomes: pa.Table, challenger: int) -> Evidence | None:
    """The challenger's own metric against a number, on all rows it scored."""
    mine = outcomes.filter(pc.equal(outcomes.column("version"), challenger)) if outcomes.num_rows else outcomes
    if mine.num_rows < ROWS_MIN:
        return None
    value = evaluate(task, mine.column("label").to_numpy(), _scores(task, mine))[rule.metric]
    assert rule.bound is not None
    if (value > rule.bound) != (rule.operator == ">"):
        return None
    said = f"{rule.metric} of version {challenger} is {value:.4g} on {mine.num_rows} rows"
    return Evidence(rule.text, said, {"value": value, "rows": mine.num_rows})


def _by_row(outcomes: pa.Table, version: int) -> dict[str, int]:
    """Place of a version's answer by the row it is for."""
    pairs = zip(outcomes.column("row_id").to_pylist(), outcomes.column("version").to_pylist(), strict=True)
    return {row: i for i, (row, v) in enumerate(pairs) if v == version}


def _scores(task: str, rows: pa.Table) -> Any:
    if task == "multiclass":
        return np.array(rows.column("scores").to_pylist(), float)
    return rows.column("score").to_numpy()


def _service(rule: Rule, predictions: pa.Table, challenger: int) -> Evidence | None:
    if not predictions.num_rows:
        return None
    mine = predictions.filter(pc.equal(predictions.column("version"), challenger))
    if mine.num_rows < ROWS_MIN:
        return None
    if rule.metric == "error_rate":
        value = float(np.mean([bool(e) for e in mine.column("error").to_pylist()]))
    else:
        timed = mine.column("microseconds").drop_null().to_numpy()
        if len(timed) < ROWS_MIN:
            return None
        value = float(np.quantile(timed, 0.99) / 1000)
    assert rule.bound is not None
    if (value > rule.bound) != (rule.operator == ">"):
        return None
    return Evidence(
        rule.text, f"{rule.metric} of version {challenger} is {value:g}", {"value": value, "rows": mine.num_rows}
    )
