"""The adapters of models: named columns become what the model takes, and its scores are checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hanok.compute.frames import Columns, Matrix, encode
from hanok.compute.runtimes.explain import Contributions, native
from hanok.core.errors import ScoringFailed, SignatureMismatch
from hanok.core.serving import Signature

Scores = NDArray[np.float64]
Raw: TypeAlias = NDArray[np.object_]  # (rows, inputs): float with NaN for null, or text with None for null
Prepared: TypeAlias = NDArray[np.generic]  # rows as a model takes them; those of several requests can be concatenated


class Scored(Protocol):
    """A loaded model: `encode` named columns, then `score` the rows."""

    def encode(self, columns: Columns) -> Prepared: ...

    def score(self, rows: Prepared) -> Scores: ...

    def contributions(self, rows: Prepared, classes: NDArray[np.int64]) -> Contributions | None:
        """What each input does to the score of the class; None for a model that does not know it by itself."""
        ...

    def run(self, rows: pa.RecordBatch) -> Mapping[str, pa.Array]: ...


class MatrixModel(Protocol):
    """Scores a float64 matrix (rows, signature.width): P(class 1) or values (rows,), P of classes (rows, classes)."""

    def score(self, matrix: Matrix) -> Scores: ...


class ColumnModel(Protocol):
    """Scores raw cells (rows, inputs), text as text."""

    def score(self, rows: Raw) -> Scores: ...


class Encoded:
    """A `Runtime` of a matrix model: named columns become the matrix of its signature, scores its named outputs."""

    def __init__(
        self, model: MatrixModel, signature: Signature, *, refuses_nulls: bool = False, refuses_unseen: bool = False
    ) -> None:
        self._model, self._signature = model, signature
        self._refuses_nulls = refuses_nulls or refuses_unseen  # both are NaN in a matrix

    def run(self, rows: pa.RecordBatch) -> Mapping[str, pa.Array]:
        """Raises SignatureMismatch for columns that do not fit, ScoringFailed for scores that do not."""
        columns = {name: rows.column(name) for name in rows.schema.names}
        return outputs(self._signature, self.score(self.encode(columns)))

    def encode(self, columns: Columns) -> Matrix:
        """The matrix of raw columns. Raises SignatureMismatch, also for a null that the model was not made for."""
        matrix = encode(self._signature, columns)
        self._check_nulls(matrix)
        return matrix

    def score(self, rows: Prepared) -> Scores:
        """Raises SignatureMismatch for a matrix of another width, ScoringFailed for scores of another shape."""
        if rows.ndim != 2 or rows.shape[1] != self._signature.width:
            shape = " x ".join(map(str, rows.shape))
            raise SignatureMismatch(f"the model takes {self._signature.width} columns of numbers, not {shape}")
        return checked(self._signature, self._model.score(np.asarray(rows, np.float64)), len(rows))

    def contributions(self, rows: Prepared, classes: NDArray[np.int64]) -> Contributions | None:
        return native(self._signature, self._model, np.asarray(rows, np.float64), classes)

    def _check_nulls(self, matrix: Matrix) -> None:
        if self._refuses_nulls and (missing := np.flatnonzero(np.isnan(matrix).any(axis=0))).size:
            raise _no_null(self._signature.owners[missing[0]].name, ", or text never seen in training,")


class ByColumn:
    """A `Runtime` of a model that takes the inputs as they are, one by one: text stays text."""

    def __init__(
        self, model: ColumnModel, signature: Signature, *, refuses_nulls: bool = False, refuses_unseen: bool = False
    ) -> None:
        self._model, self._signature = model, signature
        self._refuses_nulls, self._refuses_unseen = refuses_nulls, refuses_unseen

    def run(self, rows: pa.RecordBatch) -> Mapping[str, pa.Array]:
        """Raises SignatureMismatch for columns that do not fit, ScoringFailed for scores that do not."""
        columns = {name: rows.column(name) for name in rows.schema.names}
        return outputs(self._signature, self.score(self.encode(columns)))

    def encode(self, columns: Columns) -> Raw:
        """Raises SignatureMismatch as `encode` of a matrix does, also for a null that the model was not made for."""
        matrix = encode(self._signature, columns)  # says all that is wrong with a column
        cells = np.empty((len(matrix), len(self._signature.inputs)), object)
        place = 0
        for index, column in enumerate(self._signature.inputs):
            if column.datatype == "BYTES":
                values = columns[column.name]
                if isinstance(values, pa.Array | pa.ChunkedArray):
                    values = values.cast(pa.string()).to_pylist()
                cells[:, index] = list(values)
                null = np.array([v is None for v in cells[:, index]], bool)
            else:
                cells[:, index] = matrix[:, place]
                null = np.isnan(matrix[:, place])
            if self._refuses_nulls and null.any():
                raise _no_null(column.name, "")
            if self._refuses_unseen and column.categories:
                unseen = np.isnan(matrix[:, place]) & ~null
                if unseen.any():
                    text = repr(cells[np.flatnonzero(unseen)[0], index])[:80]
                    raise SignatureMismatch(
                        f"input {column.name!r} is {text}, which was not seen in training, and this model takes known "
                        "text only: train it with a step that ignores the unknown, like "
                        "OneHotEncoder(handle_unknown='ignore')"
                    )
            place += len(column.matrix_columns)
        return cells

    def score(self, rows: Prepared) -> Scores:
        """Raises SignatureMismatch for rows of another width, ScoringFailed for scores of another shape."""
        if rows.ndim != 2 or rows.shape[1] != len(self._signature.inputs):
            raise SignatureMismatch(f"the model takes {len(self._signature.inputs)} inputs, not {rows.shape}")
        return checked(self._signature, self._model.score(np.asarray(rows, object)), len(rows))

    def contributions(self, rows: Prepared, classes: NDArray[np.int64]) -> Contributions | None:
        return None


def checked(signature: Signature, scores: Scores, rows: int) -> Scores:
    """Raises ScoringFailed for scores of another shape than the signature says."""
    scores = np.asarray(scores, np.float64)
    expected = (rows, len(signature.classes)) if signature.task == "multiclass" else (rows,)
    if scores.shape != expected:
        raise ScoringFailed(f"the model gave scores of the shape {scores.shape}; its signature says {expected}")
    return scores


def _no_null(name: str, or_what: str) -> SignatureMismatch:
    return SignatureMismatch(
        f"input {name!r} is null{or_what} and this model takes no missing values: "
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
