"""Which way a metric is better, read from its name."""

from __future__ import annotations

import re

_WORD = re.compile(r"[a-z]+[0-9]*|[0-9]+")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


HIGHER = _words(
    "acc accuracy auc aucpr auroc bleu f1 gain gini hits iou jaccard kappa lift map mcc ndcg precision r2 "
    "recall reward rouge score sensitivity specificity throughput"
)
LOWER = _words(
    "bce bits brier cer crossentropy deviance ece entropy err error errors fid hinge kl latency logloss "
    "loss mae mape mse msle nll perplexity pinball ppl rmse rmsle seconds smape wape wer"
)
# what says where or how a metric was taken, and nothing about its direction
_ASIDE = _words(
    "all average avg best cv epoch eval final holdout macro max mean median micro min std test train "
    "training val valid validation weighted"
)


def higher_is_better(metric: str) -> bool | None:
    """By the last telling word of the name (`val_log_loss`, `ndcg@10`, `f1_score_macro`); None where none tells."""
    words = _WORD.findall(metric.lower().replace("log_loss", "logloss").replace("log-loss", "logloss"))
    for word in reversed(words):
        if word in HIGHER or word.rstrip("0123456789") in HIGHER:
            return True
        if word in LOWER:
            return False
        if word not in _ASIDE and not word.isdecimal():
            return None
    return None


def held_out(metric: str) -> bool:
    """Whether the name says that it was measured on data that training did not see."""
    return any(word in metric.lower() for word in ("val", "test", "eval", "holdout", "cv"))


def telling_first(metric: str) -> tuple[bool, bool, bool, str]:
    """A key to sort names by: those that tell a direction first, of them the held-out ones; the system's own last."""
    return metric.startswith("system/"), higher_is_better(metric) is None, not held_out(metric), metric
