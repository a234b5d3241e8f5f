"""Linear and logistic models as a few arrays: impute, scale, one-hot, dot."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from hanok.compute import portable


def expand(matrix: NDArray[np.float64], shape: dict[str, Any]) -> NDArray[np.float64]:
    """The design matrix: for a number its scaled value (null: the mean, so 0) and a null flag, for a category one
    column for each kept level. `shape` has `numeric` (index, mean, scale) and `categorical` (index, levels)."""
    return Design(shape).of(matrix)


class Design:
    """`expand` for one shape, made ready once."""

    def __init__(self, shape: dict[str, Any]) -> None:
        numeric, categorical = shape["numeric"], shape["categorical"]
        self._numeric = np.array([n[0] for n in numeric], np.int64)
        self._mean, self._scale = (np.array([n[i] for n in numeric], float) for i in (1, 2))
        self._columns = np.array([c for c, levels in categorical for _ in levels], np.int64)
        self._levels = np.array([level for _, levels in categorical for level in levels], float)

    def of(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        numbers = matrix[:, self._numeric]
        null = ~np.isfinite(numbers)
        both = 2 * len(self._numeric)
        out = np.empty((len(matrix), both + len(self._columns)))
        with np.errstate(invalid="ignore"):
            out[:, 0:both:2] = np.where(null, 0.0, (numbers - self._mean) / self._scale)
        out[:, 1:both:2] = null
        out[:, both:] = matrix[:, self._columns] == self._levels
        return out


class Linear:
    """`linear.json`: shape, coefficients (outputs, columns), intercepts, link (identity, logistic or softmax)."""

    def __init__(self, content: bytes) -> None:
        body = orjson.loads(content)
        self._shape, self._link = body["shape"], body["link"]
        self._design = Design(self._shape)
        self._coefficients = np.array(body["coefficients"], float)
        self._bound = float(body.get("bound", 0.0))
        self._intercepts = np.array(body["intercepts"], float)

    def contributions(self, matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
        """Weight times value, of which the score before its link is the sum: base (rows, outputs), values (rows,
        outputs, width)."""
        owners = [index for index, _, _ in self._shape["numeric"] for _ in range(2)]
        owners += [index for index, levels in self._shape["categorical"] for _ in levels]
        parts = self._expanded(matrix)[:, None, :] * self._coefficients[None, :, :]
        values = np.zeros((*parts.shape[:2], matrix.shape[1]))
        for column, owner in enumerate(owners):
            values[:, :, owner] += parts[:, :, column]
        return np.tile(self._intercepts, (len(matrix), 1)), values, "weight times value"

    def _expanded(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        design = self._design.of(matrix)
        return np.clip(design, -self._bound, self._bound) if self._bound else design

    def _linked(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """The score of one sum for each row."""
        if self._link == "identity":
            return raw
        if self._link == "logistic":
            return portable.logistic(raw)
        return np.ones((len(raw), 1))  # softmax of one class

    def score(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        # row by row sums, not a matrix product: BLAS gives other bits for other numbers of rows
        design = self._expanded(matrix)
        if len(self._coefficients) == 1:
            return self._linked(np.add.reduce(design * self._coefficients[0], axis=1) + self._intercepts[0])
        sums = [np.add.reduce(design * weights, axis=1) for weights in self._coefficients]
        raw = np.column_stack(sums) + self._intercepts
        if self._link in ("identity", "logistic"):
            return self._linked(raw[:, 0])
        return portable.softmax(raw)
