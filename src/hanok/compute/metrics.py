"""Metrics of models, and the paired bootstrap between two of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
CLIP = 1e-15
HIGHER_IS_BETTER = {"auc": True, "accuracy": True, "r2": True}
DEFAULT_METRIC = {"binary": "log_loss", "multiclass": "log_loss", "regression": "rmse"}
METRICS = {
    "binary": ("log_loss", "auc", "brier", "accuracy"),
    "multiclass": ("log_loss", "accuracy"),
    "regression": ("rmse", "mae", "r2"),
}


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


@dataclass(frozen=True, slots=True)
class Gain:
    """Mean gain of a challenger over a champion in per-row loss (positive: better) with its interval."""

    mean: float
    low: float
    high: float
    rows: int


def paired_gain(champion: Floats, challenger: Floats, *, confidence: float, seed: int, draws: int = 1000) -> Gain:
    """Percentile bootstrap of the mean paired difference (Efron & Tibshirani 1993, ch. 13): rows are resampled whole,
    so what both models find hard cancels out."""
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
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Gain(float(difference.mean()), float(low), float(high), n)
