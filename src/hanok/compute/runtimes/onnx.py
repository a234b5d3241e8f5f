"""ONNX models, with onnxruntime (extra hanok[onnx])."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hanok.core.errors import MissingExtra
from hanok.core.serving import Signature


class Onnx:
    """A graph of one matrix input, or of one input for each column of the signature."""

    def __init__(self, content: bytes, signature: Signature) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise MissingExtra(
                "this model is ONNX and onnxruntime is not installed: pip install 'hanok[onnx]'"
            ) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._signature = signature
        self._inputs = [(i.name, i.type) for i in self._session.get_inputs()]
        self._outputs = [o.name for o in self._session.get_outputs()]

    def score(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        by_column = len(self._inputs) > 1 or self._inputs[0][0] != "matrix"
        feed = self._columns(matrix) if by_column else {"matrix": matrix.astype(np.float32)}
        results = self._session.run(None, feed)
        if self._signature.task == "regression":
            return np.asarray(results[0], float).reshape(len(matrix))
        probabilities = np.asarray(results[-1], float)
        return probabilities[:, 1] if self._signature.task == "binary" else probabilities

    def _columns(self, matrix: NDArray[np.float64]) -> dict[str, NDArray[np.generic]]:
        feed: dict[str, NDArray[np.generic]] = {}
        for index, (name, kind) in enumerate(self._inputs):
            column = matrix[:, index : index + 1]
            if kind == "tensor(string)":
                levels = np.array([*self._signature.inputs[index].categories, ""], object)
                feed[name] = levels[np.where(np.isnan(column), len(levels) - 1, column).astype(int)]
            else:
                feed[name] = column.astype(np.float32)
        return feed
