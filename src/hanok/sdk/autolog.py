"""`hk.autolog()`: fits of scikit-learn and LightGBM become runs by themselves."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hanok.compute.runtimes.hooks import Fitted, Hooks
from hanok.core.errors import HanokError, MissingExtra
from hanok.parts.tracking import checks
from hanok.sdk.runs.run import Run, current, run

_installed: list[Autolog] = []


class Autolog:
    """What `hk.autolog()` has switched on; `undo` switches it off and leaves the libraries as they were."""

    def __init__(self, experiment: str, where: str | Path | None, models: bool) -> None:
        self._experiment, self._where, self._models = experiment, where, models
        self._warned = False
        self._hooks = Hooks(self._fitted, self._failed)
        found = [self._hooks.sklearn(), self._hooks.lightgbm()]
        if not any(found):
            raise MissingExtra("hk.autolog() needs scikit-learn or LightGBM: pip install 'hanok[automl]'")

    def undo(self) -> None:
        self._hooks.undo()
        if self in _installed:
            _installed.remove(self)

    def _fitted(self, fitted: Fitted) -> None:
        """Into the run whose `with` block we are in, else into one of its own."""
        inside = current()
        if inside is not None:
            self._log(inside, fitted)
            return
        with run(type(fitted.model).__name__, experiment=self._experiment, where=self._where) as made:
            self._log(made, fitted)

    def _log(self, into: Run, fitted: Fitted) -> None:
        into.param(_short(fitted.params))
        if fitted.metrics:
            into.log(fitted.metrics, step=0)
        for key, step, value in fitted.curves:
            into.log({key: value}, step=step)
        if fitted.importances:
            into.artifact(dict(fitted.importances), "feature_importances.json")
        if fitted.data is None:
            return
        into.dataset(fitted.data, "training data")
        if self._models:
            try:
                into.model(fitted.model, fitted.data, fitted.label)
            except HanokError as error:
                into.tag({"hanok.model": f"not kept: {error.message}"[:1000]})
                self._failed(error)

    def _failed(self, error: Exception) -> None:
        """Say so once; the training goes on."""
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"hk.autolog could not keep everything, training goes on: {type(error).__name__}: {error} "
                "(said once; later failures are silent)",
                stacklevel=2,
            )


def autolog(*, experiment: str = "", where: str | Path | None = None, models: bool = True) -> Autolog:
    """From now on each fit of a scikit-learn estimator or of LightGBM is logged: params, metrics, the data's digest,
    importances, and with `models` the model in a format that is safe to serve. Returns what undoes it.

    Inside a `with hk.run(...)` block it logs into that run. Code that did `from lightgbm import train` before keeps the
    unpatched function. Raises MissingExtra.
    """
    for earlier in list(_installed):
        earlier.undo()
    made = Autolog(experiment, where, models)
    _installed.append(made)
    return made


def _short(params: Mapping[str, Any]) -> dict[str, str]:
    texts = {key: str(value) for key, value in params.items() if value is not None}
    return {key: text[: checks.PARAM_VALUE_MAX] for key, text in texts.items()}
