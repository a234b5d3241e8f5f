"""The adapter of models that take one float matrix: it encodes, checks widths before native code, and checks scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hanok.compute.frames import Columns, Matrix, encode
from hanok.core.errors import ScoringFailed, SignatureMismatch
from hanok.core.serving import Signature

Scores = NDArray[np.float64]


class MatrixModel(Protocol):
    """Scores a float64 matrix (rows, signature.width): P(class 1) or values (rows,), P of classes (rows, classes)."""

    def score(self, matrix: Matrix) -> Scores: ...


class Encoded:
    """A `Runtime` of a matrix model: named columns become the matrix of its signature, scores its named outputs."""

    def __init__(self, model: MatrixModel, signature: Signature, *, refuses_nulls: bool = False) -> None:
        self._model, self._signature, self._refuses_nulls = model, signature, refuses_nulls

    def run(self, rows: pa.RecordBatch) -> Mapping[str, pa.Array]:
        """Raises SignatureMismatch for columns that do not fit, ScoringFailed for scores that do not."""
        columns = {name: rows.column(name) for name in rows.schema.names}
        return outputs(self._signature, self.score(self.encode(columns)))

    def encode(self, columns: Columns) -> Matrix:
        """The matrix of raw columns. Raises SignatureMismatch, also for a null that the model was not made for."""
        matrix = encode(self._signature, columns)
        self._check_nulls(matrix)
        return matrix

    def score(self, matrix: Matrix) -> Scores:
        """Raises SignatureMismatch for a matrix of another width, ScoringFailed for scores of another shape."""
        if matrix.ndim != 2 or matrix.shape[1] != self._signature.width:
            shape = " x ".join(map(str, matrix.shape))
            raise SignatureMismatch(f"the model takes {self._signature.width} columns of numbers, not {shape}")
        scores = np.asarray(self._model.score(matrix), np.float64)
        if scores.shape != (expected := self._shape(len(matrix))):
            raise ScoringFailed(f"the model gave scores of the shape {scores.shape}; its signature says {expected}")
        return scores

    def _shape(self, rows: int) -> tuple[int, ...]:
        return (rows, len(self._signature.classes)) if self._signature.task == "multiclass" else (rows,)

    def _check_nulls(self, matrix: Matrix) -> None:
        if self._refuses_nulls and (missing := np.flatnonzero(np.isnan(matrix).any(axis=0))).size:
            name = self._signature.owners[missing[0]].name
            raise SignatureMismatch(
                f"input {name!r} is null, or text never seen in training, and this model takes no missing values: "
                "impute it in the source, or train with a model that does"
            )


def outputs(signature: Signature, scores: Scores) -> dict[str, pa.Array]:
    """Scores as the named outputs that the signature says: `predict`, and `label` for classes."""
    if signature.task == "multiclass":
        lists = pa.FixedSizeListArray.from_arrays(pa.array(scores.ravel()), len(signature.classes))
        best = scores.argmax(axis=1)
        return {"predict": lists, "label": pa.array([signature.classes[i] for i in best], pa.string())}
    found: dict[str, pa.Array] = {"predict": pa.array(scores)}
    if signature.task == "binary":
        found["label"] = pa.array([signature.classes[int(s >= 0.5)] for s in scores], pa.string())
    return found
