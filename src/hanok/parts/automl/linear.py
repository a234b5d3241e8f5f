"""The linear candidate: regularised logistic or ridge regression, exported as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from hanok.compute.frames import Frame, Matrix
from hanok.compute.runtimes import Package
from hanok.compute.runtimes.linear import expand

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

LEVELS_MAX = 50
Shape = dict[str, Any]  # numeric: (column, mean, scale); categorical: (column, its levels)


def fit_linear(frame: Frame, strength: float) -> Package:
    """`strength` is the inverse of the regularisation, scikit-learn's C (alpha = 1 / strength for ridge)."""
    from sklearn.linear_model import LogisticRegression, Ridge

    shape = _shape(frame)
    design = expand(frame.X, shape)
    if frame.task == "regression":
        model = Ridge(alpha=1 / strength).fit(design, frame.y)
        coefficients, intercepts, link = np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_), "identity"
    else:
        model = LogisticRegression(C=strength, max_iter=200, tol=1e-3).fit(design, frame.y)
        coefficients, intercepts, link = model.coef_, model.intercept_, "logistic"
        if frame.task == "multiclass":
            coefficients, intercepts = _of_each_class(model, len(frame.signature.classes), frame.rows)
            link = "softmax"
    content = orjson.dumps(
        {
            "shape": shape,
            "coefficients": coefficients.tolist(),
            "intercepts": intercepts.tolist(),
            "link": link,
        }
    )
    return Package("linear", frame.signature, {"linear.json": content})


def _of_each_class(model: LogisticRegression, classes: int, rows: int) -> tuple[Matrix, Matrix]:
    """Coefficients and intercepts of every class, for probabilities of each. A class of which no row was there to
    learn from is as likely as one row in all: the largest of the other scores is never below 0."""
    seen, fitted, offsets = model.classes_.astype(int), model.coef_, model.intercept_
    if len(seen) == 2:
        fitted, offsets = np.vstack([0 * fitted, fitted]), np.append(0.0, offsets)
    coefficients, intercepts = np.zeros((classes, fitted.shape[1])), np.full(classes, -np.log(max(rows, 1)))
    coefficients[seen], intercepts[seen] = fitted, offsets
    return coefficients, intercepts


def _shape(frame: Frame) -> Shape:
    numeric: list[tuple[int, float, float]] = []
    categorical: list[tuple[int, list[float]]] = []
    for index, column in enumerate(frame.signature.owners):
        values = frame.X[:, index]
        finite = values[np.isfinite(values)]
        if column.datatype == "BYTES" and not column.terms:
            levels, counts = np.unique(finite, return_counts=True)
            kept = levels[np.argsort(-counts, kind="stable")][:LEVELS_MAX]
            categorical.append((index, [float(level) for level in kept]))
        else:
            mean, scale = (float(finite.mean()), float(finite.std())) if len(finite) else (0.0, 0.0)
            numeric.append((index, mean, scale or 1.0))
    return {"numeric": numeric, "categorical": categorical}


def importance(package: Package) -> dict[str, float]:
    """Share of each input in the absolute standardised coefficients."""
    body = orjson.loads(package.files["linear.json"])
    weight = np.abs(np.array(body["coefficients"])).sum(axis=0)
    shares, place = np.zeros(package.signature.width), 0
    for index, *_ in body["shape"]["numeric"]:
        shares[index] = weight[place]
        place += 2
    for index, levels in body["shape"]["categorical"]:
        shares[index] = weight[place : place + len(levels)].mean() if levels else 0.0
        place += len(levels)
    return package.signature.by_input(shares / (shares.sum() or 1.0))
