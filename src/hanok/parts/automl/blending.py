"""Choosing members and weights by their answers to rows that they were not fitted on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hanok.compute.feature_steps import Floats
from hanok.compute.metrics import row_losses
from hanok.compute.runtimes.ensemble import tempered

ROUNDS = 30
POOL_MAX = 16
LIGHT = 0.03  # of the weight: a member below it is left out
TEMPERATURES = np.exp(np.linspace(np.log(0.5), np.log(2.0), 29))
GAIN_MIN = 1e-3  # of the loss: what a temperature has to save


def selected(task: str, metric: str, y: Floats, answers: Sequence[Floats], *, most: int = 8) -> list[tuple[int, float]]:
    """Places and weights (their sum is 1), the heaviest first: members are added one at a time, the same one more than
    once, as each helps the mean of all most (Caruana et al. 2004)."""
    alone = [_loss(task, metric, y, a) for a in answers]
    pool = [int(i) for i in np.argsort(alone, kind="stable")[:POOL_MAX]]
    counts = {pool[0]: 1}
    total, best = answers[pool[0]].copy(), alone[pool[0]]
    kept = dict(counts)
    for size in range(2, ROUNDS + 1):
        allowed = pool if len(counts) < most else list(counts)
        losses = [_loss(task, metric, y, (total + answers[i]) / size) for i in allowed]
        place = int(np.argmin(losses))
        counts[allowed[place]] = counts.get(allowed[place], 0) + 1
        total = total + answers[allowed[place]]
        if losses[place] < best:
            best, kept = losses[place], dict(counts)
    whole = sum(kept.values())
    heavy = {i: n for i, n in kept.items() if n / whole >= LIGHT}
    whole = sum(heavy.values())
    return sorted(((i, n / whole) for i, n in heavy.items()), key=lambda pair: (-pair[1], pair[0]))


def _loss(task: str, metric: str, y: Floats, score: Floats) -> float:
    return float(row_losses(task, metric, y, score).mean())


def mixed(answers: Sequence[Floats], chosen: Sequence[tuple[int, float]]) -> Floats:
    return np.asarray(sum(weight * answers[i] for i, weight in chosen))


def temperature(task: str, y: Floats, score: Floats) -> float:
    """By which the probabilities lose least; 1 where none saves a thousandth of the log loss."""
    if task == "regression":
        return 1.0
    losses = [_loss(task, "log_loss", y, tempered(score, float(t))) for t in TEMPERATURES]
    best = int(np.argmin(losses))
    plain = _loss(task, "log_loss", y, score)
    return float(TEMPERATURES[best]) if losses[best] < plain * (1 - GAIN_MIN) else 1.0
