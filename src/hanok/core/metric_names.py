"""The metrics that a model of each task can be judged by, and which way is better."""

from __future__ import annotations

HIGHER_IS_BETTER = {"auc": True, "accuracy": True, "r2": True}
DEFAULT_METRIC = {"binary": "log_loss", "multiclass": "log_loss", "regression": "rmse"}
METRICS = {
    "binary": ("log_loss", "auc", "brier", "accuracy"),
    "multiclass": ("log_loss", "accuracy"),
    "regression": ("rmse", "mae", "r2"),
}
ANY_TASK = tuple(dict.fromkeys(name for names in METRICS.values() for name in names))
SERVICE = ("error_rate", "p99")  # of the service, not of the answers


def better(metric: str) -> str:
    """The sign that stands between a better value of this metric and a worse one."""
    return ">" if HIGHER_IS_BETTER.get(metric) else "<"
