"""Running models from safe formats: no pickle, and none of the training libraries.

A package is a manifest (JSON) and files. `load` gives a Runtime from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hanok.core.errors import Unsafe
from hanok.core.serving import Signature

Scores = NDArray[np.float64]


class Runtime(Protocol):
    """Scores a float64 matrix (rows, signature.width): P(class 1) or values (rows,), P of classes (rows, classes)."""

    def score(self, matrix: NDArray[np.float64]) -> Scores: ...


@dataclass(frozen=True, slots=True)
class Package:
    """A servable model before it is stored: `files` by name, and what is said about them in the manifest."""

    runtime: str
    signature: Signature
    files: Mapping[str, bytes]
    notes: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> Runtime:
        return load(self.runtime, self.signature, self.files.__getitem__)


def load(runtime: str, signature: Signature, read: Callable[[str], bytes]) -> Runtime:
    """`read` gives the bytes of a file of the package. Raises Unsafe for a runtime that is not on the list."""
    if runtime == "lightgbm":
        from hanok.compute.runtimes.lightgbm import LightGBM

        return LightGBM(read("model.txt"), signature.width)
    if runtime == "linear":
        from hanok.compute.runtimes.linear import Linear

        return Linear(read("linear.json"))
    if runtime == "onnx":
        from hanok.compute.runtimes.onnx import Onnx

        return Onnx(read("model.onnx"), signature)
    raise Unsafe(f"runtime {runtime!r} is not one that loads without running foreign code (lightgbm, linear, onnx)")
