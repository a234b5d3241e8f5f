"""ONNX models, with onnxruntime (extra hanok[onnx])."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanok.compute.runtimes.class_order import by_class
from hanok.compute.runtimes.encoded import Raw, Scores
from hanok.compute.runtimes.onnx_file import check
from hanok.core.errors import ConversionFailed, Corrupt, MissingExtra, ScoringFailed, SignatureMismatch
from hanok.core.serving import Signature

_NUMBERS: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}


class _Session:
    """A graph with what it takes and gives."""

    def __init__(self, content: bytes, signature: Signature, width: int | None) -> None:
        check(content, width)
        try:
            import onnxruntime
        except ImportError:
            raise MissingExtra(
                "this model is ONNX and onnxruntime is not installed: pip install 'hanok[onnx]'"
            ) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise Corrupt(f"this ONNX file cannot be loaded: {str(error).splitlines()[0][:200]}") from error
        self.signature = signature
        self.inputs = [(i.name, i.type) for i in self._session.get_inputs()]
        self._outputs = self._session.get_outputs()

    def matrix(self, feed: dict[str, NDArray[np.generic]], rows: int) -> NDArray[np.float64]:
        """What the steps of a pipeline before its last one give."""
        found = np.asarray(self._session.run([self._outputs[0].name], feed)[0], np.float64)
        return found.reshape(rows, -1)

    def run(self, feed: dict[str, NDArray[np.generic]], rows: int) -> Scores:
        if not rows:
            wide = (len(self.signature.classes),) if self.signature.task == "multiclass" else ()
            return np.empty((0, *wide))
        found = self._session.run([_scores_of(self._outputs, self.signature)], feed)[0]
        if isinstance(found, list):  # one map of class and probability for each row
            try:
                found = by_class(found, self.signature.classes)
            except ConversionFailed as error:
                raise ScoringFailed(f"the maps of this ONNX model do not fit its signature: {error.message}") from None
        scores = np.asarray(found, np.float64)
        if scores.ndim == 2 and scores.shape[1] == 1:
            scores = scores[:, 0]
        if self.signature.task == "binary" and scores.ndim == 2 and scores.shape[1] == 2:
            return scores[:, 1]
        if scores.ndim == 1 and self.signature.task == "multiclass":
            raise ScoringFailed("this ONNX model gives one number a row; probabilities of the classes are needed")
        return scores


def _scores_of(outputs: Any, signature: Signature) -> str:
    """The name of the output that holds scores: probabilities come after labels."""
    floats = [o for o in outputs if o.type in ("tensor(float)", "tensor(double)") or o.type.startswith("seq(map(")]
    if not floats:
        raise Corrupt("this ONNX model has no output of floating-point numbers")
    return str((floats[0] if signature.task == "regression" else floats[-1]).name)


class Onnx:
    """A graph of one matrix, whatever it is called; of packages of earlier versions also one of an input a column."""

    def __init__(self, content: bytes, signature: Signature) -> None:
        self._graph = _Session(content, signature, signature.width)
        self._by_column = len(self._graph.inputs) > 1 or (
            len(signature.inputs) == 1 == signature.width and self._graph.inputs[0][0] == signature.inputs[0].name
        )

    def score(self, matrix: NDArray[np.float64]) -> Scores:
        return self._graph.run(self._feed(matrix), len(matrix))

    def transform(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._graph.matrix(self._feed(matrix), len(matrix))

    def _feed(self, matrix: NDArray[np.float64]) -> dict[str, NDArray[np.generic]]:
        if self._by_column:
            return self._columns(matrix)
        name, kind = self._graph.inputs[0]
        return {name: _numbers(matrix, name, kind)}

    def _columns(self, matrix: NDArray[np.float64]) -> dict[str, NDArray[np.generic]]:
        feed: dict[str, NDArray[np.generic]] = {}
        for index, (name, kind) in enumerate(self._graph.inputs):
            column = matrix[:, index : index + 1]
            if kind == "tensor(string)":
                levels = np.array([*self._graph.signature.inputs[index].categories, ""], object)
                feed[name] = levels[np.where(np.isnan(column), len(levels) - 1, column).astype(int)]
            else:
                feed[name] = column.astype(np.float32)
        return feed


class OnnxColumns:
    """A graph of one input for each input of the signature, by its name. Text goes in as it came, null as ""."""

    def __init__(self, content: bytes, signature: Signature) -> None:
        self._graph = _Session(content, signature, None)
        place = {c.name: i for i, c in enumerate(signature.inputs)}
        odd = [name for name, _ in self._graph.inputs if name not in place]
        if odd:
            raise Corrupt(f"this ONNX model takes {odd[0]!r}, which is no input of its signature")
        self._inputs = [(name, kind, place[name]) for name, kind in self._graph.inputs]

    def score(self, rows: Raw) -> Scores:
        return self._graph.run(self._feed(rows), len(rows))

    def transform(self, rows: Raw) -> NDArray[np.float64]:
        return self._graph.matrix(self._feed(rows), len(rows))

    def _feed(self, rows: Raw) -> dict[str, NDArray[np.generic]]:
        feed: dict[str, NDArray[np.generic]] = {}
        for name, kind, place in self._inputs:
            column = rows[:, place : place + 1]
            if kind == "tensor(string)":
                feed[name] = np.array([["" if v is None else v] for v in column[:, 0]], object).reshape(-1, 1)
            else:
                feed[name] = _numbers(column.astype(np.float64), name, kind)
        return feed


def _numbers(values: NDArray[np.float64], name: str, kind: str) -> NDArray[np.generic]:
    """Raises SignatureMismatch for a null where the graph takes whole numbers or truth values."""
    dtype = _NUMBERS.get(kind, np.float32)
    if not issubclass(dtype, np.floating) and np.isnan(values).any():
        raise SignatureMismatch(f"input {name!r} is null, and this ONNX model takes no missing value there")
    with np.errstate(over="ignore"):
        return values.astype(dtype)
