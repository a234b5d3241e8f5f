"""Linear and logistic models as a few arrays: impute, scale, one-hot, dot."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray


def expand(matrix: NDArray[np.float64], shape: dict[str, Any]) -> NDArray[np.float64]:
    """The design matrix: for a number its scaled value (null: the mean, so 0) and a null flag, for a category one
    column for each kept level. `shape` has `numeric` (index, mean, scale) and `categorical` (index, levels)."""
    parts = []
    for index, mean, scale in shape["numeric"]:
        column = matrix[:, index]
        null = ~np.isfinite(column)
        parts.append(np.where(null, 0.0, (column - mean) / scale))
        parts.append(null.astype(float))
    for index, levels in shape["categorical"]:
        parts += [(matrix[:, index] == level).astype(float) for level in levels]
    return np.column_stack(parts) if parts else np.zeros((len(matrix), 0))


class Linear:
    """`linear.json`: shape, coefficients (outputs, columns), intercepts, link (identity, logistic or softmax)."""

    def __init__(self, content: bytes) -> None:
        body = orjson.loads(content)
        self._shape, self._link = body["shape"], body["link"]
        self._coefficients = np.array(body["coefficients"], float)
        self._intercepts = np.array(body["intercepts"], float)

    def contributions(self, matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
        """Weight times value, of which the score before its link is the sum: base (rows, outputs), values (rows,
        outputs, width)."""
        owners = [index for index, _, _ in self._shape["numeric"] for _ in range(2)]
        owners += [index for index, levels in self._shape["categorical"] for _ in levels]
        parts = expand(matrix, self._shape)[:, None, :] * self._coefficients[None, :, :]
        values = np.zeros((*parts.shape[:2], matrix.shape[1]))
        for column, owner in enumerate(owners):
            values[:, :, owner] += parts[:, :, column]
        return np.tile(self._intercepts, (len(matrix), 1)), values, "weight times value"

    def score(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        # row by row sums, not a matrix product: BLAS gives other bits for other numbers of rows
        design = np.ascontiguousarray(expand(matrix, self._shape))
        sums = [np.add.reduce(design * weights, axis=1) for weights in self._coefficients]
        raw = np.column_stack(sums) + self._intercepts
        if self._link == "identity":
            return raw[:, 0]
        if self._link == "logistic":
            with np.errstate(over="ignore"):
                return 1 / (1 + np.exp(-raw[:, 0]))
        raw -= raw.max(axis=1, keepdims=True)
        exp = np.exp(raw)
        return exp / exp.sum(axis=1, keepdims=True)
