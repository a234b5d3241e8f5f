"""The LightGBM candidates, trained deterministically with threads fixed by the number of rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from hanok.compute.frames import Frame
from hanok.compute.runtimes import Package
from hanok.core.training import Number

if TYPE_CHECKING:
    from optuna import Trial

MANY_ROWS = 100_000  # below it a second thread costs more than it gives
ROUNDS_MAX = 200
PATIENCE = 25
GAIN_MAX = 3e38  # as which the gains of very large labels count, which are infinite in 32 bits
DEFAULTS: dict[str, Number] = {"learning_rate": 0.08, "num_leaves": 31, "min_data_in_leaf": 40}


def fit_boosting(
    frame: Frame, parameters: Mapping[str, Number], *, seed: int, rounds: int, valid: Frame | None = None
) -> tuple[Package, int]:
    """A booster after `rounds` rounds, or stopped early on `valid`; and how many rounds it kept."""
    import lightgbm as lgb

    categorical = [i for i, c in enumerate(frame.signature.owners) if c.datatype == "BYTES" and not c.terms]
    train = lgb.Dataset(frame.X, frame.y, categorical_feature=categorical, free_raw_data=True)
    settings = (
        _objective(frame)
        | dict(parameters)
        | {
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 2 if frame.rows >= MANY_ROWS else 1,
            "verbosity": -1,
            "max_cat_to_onehot": 8,
            "cat_smooth": 20,
        }
    )
    callbacks = [lgb.early_stopping(PATIENCE, verbose=False)] if valid is not None else []
    booster = lgb.train(
        settings,
        train,
        num_boost_round=rounds,
        valid_sets=[lgb.Dataset(valid.X, valid.y, reference=train)] if valid is not None else None,
        callbacks=callbacks,
    )
    kept = booster.best_iteration if valid is not None and booster.best_iteration > 0 else booster.num_trees()
    if frame.task == "multiclass" and valid is None:
        kept = booster.current_iteration()
    text = booster.model_to_string(num_iteration=kept)
    gains = np.nan_to_num(booster.feature_importance(importance_type="gain", iteration=kept), posinf=GAIN_MAX)
    shares = frame.signature.by_input(gains / (float(gains.sum()) or 1.0))
    return Package("lightgbm", frame.signature, {"model.txt": text.encode()}, {"importance": shares}), int(kept)


def _objective(frame: Frame) -> dict[str, str | int]:
    if frame.task == "regression":
        return {"objective": "regression", "metric": "l2"}
    if frame.task == "binary":
        return {"objective": "binary", "metric": "binary_logloss"}
    return {"objective": "multiclass", "num_class": len(frame.signature.classes), "metric": "multi_logloss"}


def suggest(trial: Trial) -> dict[str, Number]:
    """The tuned space; `trial` is Optuna's."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.06, 0.3, log=True),
        "num_leaves": trial.suggest_int("num_leaves", 7, 127, log=True),
        "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 10, 300, log=True),
        "feature_fraction": trial.suggest_float("feature_fraction", 0.5, 1.0),
        "bagging_fraction": trial.suggest_float("bagging_fraction", 0.6, 1.0),
        "bagging_freq": 1,
        "lambda_l2": trial.suggest_float("lambda_l2", 1e-3, 30.0, log=True),
    }
