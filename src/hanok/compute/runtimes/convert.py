"""From the object that a user's training code returns to a package that is safe to serve.

The choice is proven (`parity`): the package must answer as the object does on rows of the training set, and on rows
with nulls, with categories never seen and at the thresholds of trees, or it is not used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import orjson

from hanok.compute.frames import Frame
from hanok.compute.runtimes import Package
from hanok.compute.runtimes.foreign_trees import forest_of
from hanok.compute.runtimes.forest import thresholds
from hanok.compute.runtimes.onnx_file import check
from hanok.compute.runtimes.onnx_steps import graph_of
from hanok.compute.runtimes.parity import Thresholds, proven
from hanok.core.errors import ConversionFailed, Corrupt

Attempt = Callable[[Any, Frame], "tuple[Package, Thresholds] | None"]


def convert(model: Any, frame: Frame) -> Package:
    """A Package is passed through; LightGBM becomes its text, and so do the trees of HistGradientBoosting, XGBoost and
    CatBoost; linear scikit-learn models arrays; other scikit-learn estimators and pipelines ONNX. Raises
    ConversionFailed with what to do."""
    if isinstance(model, Package):
        return model
    tried: list[str] = []
    for attempt in ATTEMPTS:
        try:
            found = attempt(model, frame)
            if found is not None:
                return proven(*found, model, frame)
        except (ConversionFailed, Corrupt) as error:
            if error.message not in tried:
                tried.append(error.message)
    if needed := [said for said in tried if "pip install" in said]:
        raise ConversionFailed(f"{needed[0]} (the model is a {type(model).__module__}.{type(model).__qualname__})")
    why = f" ({'; '.join(tried)})" if tried else ""
    raise ConversionFailed(
        f"train() returned a {type(model).__module__}.{type(model).__qualname__}, which cannot be turned into a format "
        f"that is safe to serve{why}. Return a LightGBM model, a scikit-learn estimator or pipeline, or a hk.Package"
    )


def _lightgbm(model: Any, frame: Frame) -> tuple[Package, Thresholds] | None:
    booster = _booster(model)
    if booster is None:
        return None
    if booster.num_feature() != frame.signature.width:
        raise ConversionFailed(
            f"the booster was trained on {booster.num_feature()} columns, the frame has {frame.signature.width}"
        )
    gains = booster.feature_importance(importance_type="gain")
    shares = frame.signature.by_input(gains / (float(gains.sum()) or 1.0))
    text = booster.model_to_string().encode()
    return Package("lightgbm", frame.signature, {"model.txt": text}, {"importance": shares}), ()


def _booster(model: Any) -> Any:
    if not type(model).__module__.startswith("lightgbm"):
        return None
    return model if type(model).__name__ == "Booster" else getattr(model, "booster_", None)


def _forest(model: Any, frame: Frame) -> tuple[Package, Thresholds] | None:
    forest = forest_of(model)
    if forest is None:
        return None
    width = frame.signature.width
    notes: dict[str, Any] = {"importance": frame.signature.by_input(forest.gains(width)), "made_from": _kind(model)}
    notes |= {"float32": True} if forest.float32 else {}
    return Package("lightgbm", frame.signature, {"model.txt": forest.text(width)}, notes), thresholds(forest)


def _linear(model: Any, frame: Frame) -> tuple[Package, Thresholds] | None:
    if not type(model).__module__.startswith("sklearn.linear_model") or not hasattr(model, "coef_"):
        return None
    if frame.task != "regression" and not hasattr(model, "predict_proba"):
        raise ConversionFailed(f"{type(model).__name__} gives no probabilities")
    coefficients = np.atleast_2d(np.asarray(model.coef_, float))
    if coefficients.shape[1] != frame.signature.width:
        name = type(model).__name__
        raise ConversionFailed(f"{name} has {coefficients.shape[1]} inputs, not {frame.signature.width}")
    intercepts = np.broadcast_to(np.atleast_1d(np.asarray(model.intercept_, float)), (len(coefficients),))
    link = "identity" if frame.task == "regression" else "logistic" if frame.task == "binary" else "softmax"
    spread = np.zeros((len(coefficients), 2 * coefficients.shape[1]))
    spread[:, ::2] = coefficients
    content = orjson.dumps(
        {
            "shape": {"numeric": [(i, 0.0, 1.0) for i in range(frame.signature.width)], "categorical": []},
            "coefficients": spread.tolist(),
            "intercepts": intercepts.tolist(),
            "link": link,
        }
    )
    weight = np.abs(coefficients).sum(axis=0) * np.nan_to_num(np.nanstd(frame.X, axis=0))
    shares = frame.signature.by_input(weight / (weight.sum() or 1.0))
    notes = {"importance": shares, "refuses_nulls": True}
    return Package("linear", frame.signature, {"linear.json": content}, notes), ()


def _onnx_model(model: Any, frame: Frame) -> tuple[Package, Thresholds] | None:
    """An ONNX model as it is: of one matrix, or of one input for each feature."""
    if type(model).__name__ != "ModelProto":
        return None
    names = {c.name for c in frame.signature.inputs}
    constants = {i.name for i in model.graph.initializer}
    inputs = [i.name for i in model.graph.input if i.name not in constants]
    by_column = set(inputs) <= names and (len(inputs) > 1 or len(names) == 1)
    if not by_column and len(inputs) != 1:
        raise ConversionFailed(
            f"this ONNX model takes {', '.join(inputs[:5])}: name its inputs like the features, or give it one matrix"
        )
    notes = {"takes": "columns"} if by_column else {}
    content = model.SerializeToString()
    check(content, None if by_column else frame.signature.width)  # the gate runs it, and reads what it says of labels
    return Package("onnx", frame.signature, {"model.onnx": content}, notes), ()


def _chained(model: Any, frame: Frame) -> tuple[Package, Thresholds] | None:
    """A pipeline that ends in a forest."""
    if not type(model).__module__.startswith("sklearn.pipeline") or len(getattr(model, "steps", ())) < 2:
        return None
    last = model.steps[-1][1]
    booster = _booster(last)
    forest = None if booster is not None else forest_of(last)
    if booster is None and forest is None:
        return None
    width = booster.num_feature() if booster is not None else int(last.n_features_in_)
    text = booster.model_to_string().encode() if forest is None else forest.text(width)
    graph = graph_of(model[:-1], frame, double=True, by_column=_by_column(model, frame))
    notes: dict[str, Any] = {"steps_width": width, "made_from": _kind(last)} | _takes(_by_column(model, frame))
    notes |= {"float32": True} if forest is not None and forest.float32 else {}
    return Package("onnx+lightgbm", frame.signature, {"steps.onnx": graph, "model.txt": text}, notes), ()


def _onnx_double(model: Any, frame: Frame) -> tuple[Package, Thresholds] | None:
    return _onnx(model, frame, double=True)


def _onnx_single(model: Any, frame: Frame) -> tuple[Package, Thresholds] | None:
    return _onnx(model, frame, double=False)


def _onnx(model: Any, frame: Frame, *, double: bool) -> tuple[Package, Thresholds] | None:
    if not hasattr(model, "predict") or not type(model).__module__.startswith("sklearn"):
        return None
    by_column = _by_column(model, frame)
    options = {id(model): {"zipmap": False}} if frame.task != "regression" else None
    graph = graph_of(model, frame, double=double, by_column=by_column, options=options)
    notes = _takes(by_column) | ({} if double else {"single_precision": True})
    return Package("onnx", frame.signature, {"model.onnx": graph}, notes), ()


def _by_column(model: Any, frame: Frame) -> bool:
    """Whether it was fitted on named columns, not on `frame.X`."""
    return hasattr(model, "feature_names_in_")


def _takes(by_column: bool) -> dict[str, Any]:
    return {"takes": "columns"} if by_column else {}


def _kind(model: Any) -> str:
    return f"{type(model).__module__.partition('.')[0]} {type(model).__name__}"


ATTEMPTS: tuple[Attempt, ...] = (
    _lightgbm,
    _forest,
    _linear,
    _onnx_model,
    _chained,
    _onnx_double,
    _onnx_single,
)
