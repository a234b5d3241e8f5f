"""Noticing that a scikit-learn estimator or LightGBM has been fitted: reversible patches of `fit` and `train`.

Only the outermost fit is told of: a pipeline's steps and a search's candidates belong to it. What a patch does itself
never stops a training: its errors go to `failed`.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ALSO = ("Pipeline", "GridSearchCV", "RandomizedSearchCV")
_patched = "_hanok_original"


@dataclass(frozen=True, slots=True)
class Fitted:
    """What was fitted, and on what. `curves` are (metric, step, value)."""

    model: Any
    data: Any
    label: Any
    params: Mapping[str, Any]
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Sequence[tuple[str, int, float]] = ()
    importances: Mapping[str, float] = field(default_factory=dict)


Told = Callable[[Fitted], None]


class _Depth:
    """How deep in fits we are. While one is under way, fits of other threads count as inside it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._outer: int | None = None

    def enter(self) -> bool:
        """Whether this is the outermost fit."""
        with self._lock:
            if self._outer is not None:
                return False
            self._outer = threading.get_ident()
            return True

    def leave(self) -> None:
        with self._lock:
            self._outer = None


class Hooks:
    """`sklearn` and `lightgbm` patch what is installed; `undo` puts everything back."""

    def __init__(self, told: Told, failed: Callable[[Exception], None]) -> None:
        self._told, self._failed, self._depth = told, failed, _Depth()
        self._undo: list[Callable[[], None]] = []

    def sklearn(self) -> bool:
        """Every estimator with `fit` and `predict`. False when scikit-learn is not installed."""
        try:
            from sklearn.utils import all_estimators
        except ImportError:
            return False
        for name, kind in all_estimators():
            if hasattr(kind, "predict") or name in ALSO:
                owner = next(base for base in kind.__mro__ if "fit" in vars(base))
                self._wrap(owner, "fit", _sklearn_fitted)
        return True

    def lightgbm(self) -> bool:
        """LightGBM's estimators and `lightgbm.train`. False when it is not installed."""
        try:
            import lightgbm
        except ImportError:
            return False
        for kind in (lightgbm.LGBMClassifier, lightgbm.LGBMRegressor, lightgbm.LGBMRanker):
            self._wrap(kind, "fit", _sklearn_fitted)
        self._wrap(lightgbm, "train", _booster_fitted)
        return True

    def undo(self) -> None:
        for restore in reversed(self._undo):
            restore()
        self._undo.clear()

    def _wrap(self, owner: Any, name: str, describe: Callable[..., Fitted]) -> None:
        original = vars(owner)[name]
        if hasattr(original, _patched):
            return

        @functools.wraps(original)
        def fitting(*args: Any, **kwargs: Any) -> Any:
            if not self._depth.enter():
                return original(*args, **kwargs)
            try:
                result = original(*args, **kwargs)
                try:
                    self._told(describe(result, args, kwargs))
                except Exception as error:  # noqa: BLE001 (a patch ends here: the user's training goes on)
                    self._failed(error)
                return result
            finally:
                self._depth.leave()

        setattr(fitting, _patched, original)
        setattr(owner, name, fitting)
        self._undo.append(functools.partial(setattr, owner, name, original))


def _sklearn_fitted(result: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Fitted:
    model = args[0]
    data = args[1] if len(args) > 1 else kwargs.get("X")
    label = args[2] if len(args) > 2 else kwargs.get("y")
    searched = getattr(model, "best_estimator_", None)
    params = dict(model.get_params(deep=True))
    metrics: dict[str, float] = {}
    if searched is not None:
        params |= {f"best_{key}": value for key, value in model.best_params_.items()}
        metrics["best_cv_score"] = float(model.best_score_)
    final = searched if searched is not None else model
    if label is not None and hasattr(final, "score"):
        metrics["training_score"] = float(final.score(data, label))
    if label is not None and hasattr(final, "predict_proba"):
        from sklearn.metrics import log_loss

        metrics["training_log_loss"] = float(log_loss(label, final.predict_proba(data), labels=final.classes_))
    return Fitted(final, data, label, params, metrics, _curves(final), _importances(final, data))


def _booster_fitted(booster: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Fitted:
    names = ("params", "train_set", "num_boost_round")
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    train_set = given.get("train_set")
    data, label = getattr(train_set, "data", None), getattr(train_set, "label", None)
    params = {**dict(given.get("params") or {}), "num_boost_round": given.get("num_boost_round", 100)}
    if booster.best_iteration > 0:
        params["best_iteration"] = booster.best_iteration
    metrics = {
        f"{part}-{name}": float(value) for part, found in booster.best_score.items() for name, value in found.items()
    }
    gains = booster.feature_importance(importance_type="gain")
    importances = dict(zip(booster.feature_name(), map(float, gains), strict=True))
    return Fitted(booster, data, label, params, metrics, (), importances)


def _curves(model: Any) -> list[tuple[str, int, float]]:
    """The evaluations of each boosting round, where there were evaluation sets."""
    found = getattr(model, "evals_result_", None) or {}
    return [
        (f"{part}-{name}", step, float(value))
        for part, series in found.items()
        for name, points in series.items()
        for step, value in enumerate(points)
    ]


def _importances(model: Any, data: Any) -> dict[str, float]:
    import numpy as np

    if hasattr(model, "feature_importances_"):
        weights = np.asarray(model.feature_importances_, float)
    elif hasattr(model, "coef_"):
        weights = np.abs(np.atleast_2d(np.asarray(model.coef_, float))).sum(axis=0)
    else:
        return {}
    names: Any = getattr(model, "feature_names_in_", None)
    if names is None:
        names = getattr(data, "columns", None)
    if names is None or len(names) != len(weights):
        names = [f"x{i}" for i in range(len(weights))]
    return dict(zip(map(str, names), map(float, weights), strict=True))
