"""A pipeline whose last step is a forest: its steps run by ONNX, the forest by LightGBM's library."""

from __future__ import annotations

from hanok.compute.runtimes.encoded import Prepared, Scores
from hanok.compute.runtimes.lightgbm import LightGBM
from hanok.compute.runtimes.onnx import Onnx, OnnxColumns
from hanok.core.serving import Signature


class Chained:
    """`width` is that of the matrix between the two."""

    def __init__(
        self, steps: bytes, text: bytes, signature: Signature, width: int, *, by_column: bool, float32: bool
    ) -> None:
        self._steps: Onnx | OnnxColumns = (OnnxColumns if by_column else Onnx)(steps, signature)
        self._forest = LightGBM(text, width, float32=float32)

    def score(self, rows: Prepared) -> Scores:
        return self._forest.score(self._steps.transform(rows))  # type: ignore[arg-type]
