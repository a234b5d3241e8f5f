"""Metrics of models, and the paired comparison of two of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanok.core.metric_names import DEFAULT_METRIC as DEFAULT_METRIC
from hanok.core.metric_names import HIGHER_IS_BETTER as HIGHER_IS_BETTER
from hanok.core.metric_names import METRICS as METRICS

Floats = NDArray[np.float64]
CLIP = 1e-15


def chosen_metric(task: str, metric: str) -> str:
    """The metric to judge by; "auto" is log loss for classes and RMSE for numbers. Raises DeclarationError."""
    from hanok.core.errors import DeclarationError

    name = DEFAULT_METRIC[task] if metric == "auto" else metric
    if name not in METRICS[task]:
        raise DeclarationError(f"metric {name!r} does not fit a {task} model; use one of {', '.join(METRICS[task])}")
    return name


def auc(y: Floats, score: Floats) -> float:
    """Area under the ROC curve: P(score of a positive > of a negative) + half the ties (Hanley & McNeil 1982)."""
    positives = int(y.sum())
    negatives = len(y) - positives
    if not positives or not negatives:
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    return float((mean_rank[inverse][y == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def row_losses(task: str, metric: str, y: Floats, score: Floats) -> Floats:
    """Per-row loss whose mean orders models as `metric` does; AUC and R2, which are not means, fall back to the
    proper loss of their task (log loss, squared error)."""
    if task == "regression":
        return np.abs(y - score) if metric == "mae" else (y - score) ** 2
    if task == "binary":
        p = np.clip(score, CLIP, 1 - CLIP)
        if metric == "brier":
            return (p - y) ** 2
        if metric == "accuracy":
            return ((p >= 0.5) != (y == 1)).astype(float)
        return -(y * np.log(p) + (1 - y) * np.log(1 - p))
    if metric == "accuracy":
        return (score.argmax(axis=1) != y).astype(float)
    picked = score[np.arange(len(y)), y.astype(int)] / np.maximum(score.sum(axis=1), CLIP)
    return -np.log(np.clip(picked, CLIP, 1.0))


def evaluate(task: str, y: Floats, score: Floats) -> dict[str, float]:
    """All metrics of a task. `y`: 0/1, class numbers or values; `score`: P(1), (n, classes) probabilities or values."""
    if not len(y):
        return {}
    if task == "regression":
        squared = float(np.mean((y - score) ** 2))
        spread = float(np.var(y))
        return {
            "rmse": squared**0.5,
            "mae": float(np.mean(np.abs(y - score))),
            "r2": 1 - squared / spread if spread > 0 else float("nan"),
        }
    result = {
        "log_loss": float(row_losses(task, "log_loss", y, score).mean()),
        "accuracy": 1 - float(row_losses(task, "accuracy", y, score).mean()),
    }
    if task == "binary":
        result |= {"auc": auc(y, score), "brier": float(np.mean((score - y) ** 2))}
    return result


def best_constant(task: str, y: Floats, classes: int = 2) -> Floats:
    """The answers of the best constant in hindsight: the mean of the label, or the shares of the classes. Its metrics
    say how hard these rows are, whatever the model."""
    if task == "multiclass":
        return np.tile(np.bincount(y.astype(int), minlength=classes) / max(1, len(y)), (len(y), 1))
    return np.full(len(y), float(y.mean()) if len(y) else 0.0)


@dataclass(frozen=True, slots=True)
class Gain:
    """Mean gain of a challenger over a champion in per-row loss (positive: better), and its bounds: with the confidence
    asked for it is above `low`, and with the same confidence it is below `high`."""

    mean: float
    low: float
    high: float
    rows: int
    blocks: int = 0


def paired_gain(champion: Floats, challenger: Floats, *, confidence: float, seed: int, draws: int = 1000) -> Gain:
    """Percentile bootstrap of the mean paired difference (Efron & Tibshirani 1993, ch. 13): rows are resampled whole,
    so what both models find hard cancels out. The bounds are one-sided."""
    difference = champion - challenger
    n = len(difference)
    if not n:
        return Gain(0.0, float("-inf"), float("inf"), 0)
    random = np.random.default_rng(seed)
    means = np.concatenate(
        [
            difference[random.integers(0, n, size=(chunk, n))].mean(axis=1)
            for chunk in [max(1, min(draws, 2_000_000 // n))] * -(-draws // max(1, min(draws, 2_000_000 // n)))
        ]
    )[:draws]
    low, high = np.quantile(means, [1 - confidence, confidence])
    return Gain(float(difference.mean()), float(low), float(high), n)


BLOCKS_MIN = 3


def blocked_gain(champion: Floats, challenger: Floats, blocks: NDArray[np.int64], *, confidence: float) -> Gain:
    """The mean paired difference with one-sided bounds that count blocks of time, not rows: the rows of one stormy day
    err together, and a thousand of them say little about the next day.

    Student's t over block sums, with the cluster-robust variance of a mean (Cameron & Miller 2015, eq. 11, CR1).
    With fewer than three blocks nothing is known: the bounds are infinite.
    """
    difference = champion - challenger
    names, place = np.unique(blocks, return_inverse=True)
    mean, count = float(difference.mean()) if len(difference) else 0.0, len(names)
    if count < BLOCKS_MIN:
        return Gain(mean, float("-inf"), float("inf"), len(difference), count)
    residual = np.bincount(place, weights=difference - mean)
    error = float(np.sqrt(count / (count - 1) * (residual**2).sum())) / len(difference)
    reach = t_quantile(confidence, count - 1) * error
    return Gain(mean, mean - reach, mean + reach, len(difference), count)


def jackknifed_gain(
    measure: Callable[[NDArray[np.bool_]], float], blocks: NDArray[np.int64], *, confidence: float
) -> Gain:
    """The gain in a metric that is no mean over rows (AUC, R2), with one-sided bounds that count blocks of time.

    `measure` gives the gain on the rows of a mask. The bounds are Student's t over the pseudo-values of the
    delete-one-block jackknife (Efron & Tibshirani 1993, section 11.3).
    """
    names = np.unique(blocks)
    whole, count = measure(np.ones(len(blocks), bool)), len(names)
    if count < BLOCKS_MIN:
        return Gain(whole, float("-inf"), float("inf"), len(blocks), count)
    without = np.array([measure(blocks != name) for name in names])
    pseudo = count * whole - (count - 1) * without
    mean, error = float(pseudo.mean()), float(pseudo.std(ddof=1) / np.sqrt(count))
    reach = t_quantile(confidence, count - 1) * error
    return Gain(whole, mean - reach, mean + reach, len(blocks), count)


def t_quantile(p: float, freedom: int) -> float:
    """The p-quantile of Student's t, 0.5 < p < 1, by bisection of its distribution (the finite sums of Abramowitz &
    Stegun 26.7.3 and 26.7.4)."""
    low, high = 0.0, 1.0
    while _t_within(high, freedom) < 2 * p - 1:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_within(middle, freedom) < 2 * p - 1 else (low, middle)
    return high


def _t_within(t: float, freedom: int) -> float:
    """P(|T| <= t) for a whole number of degrees of freedom."""
    angle = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    total, term = 0.0, cosine if freedom % 2 else 1.0
    for k in range(freedom // 2):
        total += term
        term *= cosine**2 * ((2 * k + 2) / (2 * k + 3) if freedom % 2 else (2 * k + 1) / (2 * k + 2))
    return 2 / math.pi * (angle + sine * total) if freedom % 2 else sine * total
