"""From the object that a user's training code returns to a package that is safe to serve.

The choice is proven: the package must answer as the object does on rows of the training set, including rows with
nulls and with categories never seen, or it is not used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

from hanok.compute.frames import Frame
from hanok.compute.runtimes import Package
from hanok.core.errors import ConversionFailed

PROOF_ROWS = 500
TOLERANCE = 1e-4


def convert(model: Any, frame: Frame) -> Package:
    """A Package is passed through; LightGBM becomes its text, linear scikit-learn models arrays, other scikit-learn
    estimators and pipelines ONNX. Raises ConversionFailed with what to do."""
    if isinstance(model, Package):
        return model
    tried = []
    for attempt in (_lightgbm, _linear, _onnx):
        try:
            package = attempt(model, frame)
        except ConversionFailed as error:
            tried.append(error.message)
            continue
        if package is not None:
            return _proven(package, model, frame)
    why = f" ({'; '.join(tried)})" if tried else ""
    raise ConversionFailed(
        f"train() returned a {type(model).__module__}.{type(model).__qualname__}, which cannot be turned into a format "
        f"that is safe to serve{why}. Return a LightGBM model, a scikit-learn estimator or pipeline, or a hk.Package"
    )


def _lightgbm(model: Any, frame: Frame) -> Package | None:
    booster = getattr(model, "booster_", None) if type(model).__module__.startswith("lightgbm") else None
    if type(model).__module__.startswith("lightgbm") and type(model).__name__ == "Booster":
        booster = model
    if booster is None:
        return None
    if booster.num_feature() != frame.signature.width:
        raise ConversionFailed(
            f"the booster was trained on {booster.num_feature()} columns, the frame has {frame.signature.width}"
        )
    gains = booster.feature_importance(importance_type="gain")
    shares = frame.signature.by_input(gains / (float(gains.sum()) or 1.0))
    return Package(
        "lightgbm", frame.signature, {"model.txt": booster.model_to_string().encode()}, {"importance": shares}
    )


def _linear(model: Any, frame: Frame) -> Package | None:
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
    return Package("linear", frame.signature, {"linear.json": content}, {"importance": shares, "refuses_nulls": True})


def _onnx(model: Any, frame: Frame) -> Package | None:
    if not hasattr(model, "predict"):
        return None
    try:
        from skl2onnx import to_onnx
        from skl2onnx.common.data_types import FloatTensorType, StringTensorType
    except ImportError:
        raise ConversionFailed("converting it needs skl2onnx: pip install 'hanok[onnx]'") from None
    by_column = hasattr(model, "feature_names_in_")
    if by_column and (text := [c.name for c in frame.signature.inputs if c.terms]):
        raise ConversionFailed(f"{text[0]!r} is free text, which a pipeline cannot take as it is: fit it on frame.X")
    if by_column:
        kinds: list[tuple[str, Any]] = [
            (c.name, StringTensorType([None, 1]) if c.datatype == "BYTES" else FloatTensorType([None, 1]))
            for c in frame.signature.inputs
        ]
    else:
        kinds = [("matrix", FloatTensorType([None, frame.signature.width]))]
    options = {"zipmap": False} if frame.task != "regression" else None
    try:
        graph = to_onnx(model, initial_types=kinds, options={id(model): options} if options else None)
    except Exception as error:
        raise ConversionFailed(f"ONNX conversion failed: {str(error).splitlines()[0][:200]}") from error
    return Package("onnx", frame.signature, {"model.onnx": graph.SerializeToString()})


def _proven(package: Package, model: Any, frame: Frame) -> Package:
    """Compare package and object on a seeded sample of rows; note the largest difference."""
    random = np.random.default_rng(0)
    sample = frame.take(np.sort(random.choice(frame.rows, min(PROOF_ROWS, frame.rows), replace=False)))
    if package.notes.get("refuses_nulls"):
        sample = sample.take(np.flatnonzero(np.isfinite(sample.X).all(axis=1)))
    expected = _original(model, sample)
    got = package.load().score(sample.X)
    difference = float(np.max(np.abs(expected - got))) if expected.size else 0.0
    scale = max(1.0, float(np.max(np.abs(expected)))) if expected.size else 1.0
    if not difference <= TOLERANCE * scale:
        raise ConversionFailed(
            f"the converted model answers differently (by up to {difference:.3g}) from the {type(model).__name__} "
            "it was made from: it is not registered"
        )
    notes = {**package.notes, "parity": {"rows": sample.rows, "largest_difference": difference}}
    return Package(package.runtime, package.signature, package.files, notes)


def _original(model: Any, sample: Frame) -> np.ndarray:
    data: Any = sample.to_pandas() if hasattr(model, "feature_names_in_") else sample.X
    if sample.task == "regression":
        return np.asarray(model.predict(data), float).reshape(sample.rows)
    if type(model).__name__ == "Booster":
        return np.asarray(model.predict(data), float)
    probabilities = np.asarray(model.predict_proba(data), float)
    return probabilities[:, 1] if sample.task == "binary" else probabilities
