"""Running models from safe formats: no pickle, and none of the training libraries.

A package is a manifest (JSON) and files. `load` gives a Runtime from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from hanok.compute.runtimes.class_order import NOTE, in_order
from hanok.compute.runtimes.encoded import ByColumn, ColumnModel, Encoded, MatrixModel, Scored, Scores
from hanok.core.errors import Unsafe
from hanok.core.serving import Signature

__all__ = ["Encoded", "Package", "Runtime", "Scored", "Scores", "load"]


class Runtime(Protocol):
    """Takes a record batch of raw named columns and gives named outputs, those of `Signature.outputs`.

    A model of one float matrix and one score is the special case: `Encoded` adapts it.
    """

    def run(self, rows: pa.RecordBatch) -> Mapping[str, pa.Array]: ...


@dataclass(frozen=True, slots=True)
class Package:
    """A servable model before it is stored: `files` by name, and what is said about them in the manifest."""

    runtime: str
    signature: Signature
    files: Mapping[str, bytes]
    notes: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> Scored:
        return load(self.runtime, self.signature, self.files.__getitem__, self.notes)


def load(
    runtime: str, signature: Signature, read: Callable[[str], bytes], notes: Mapping[str, Any] | None = None
) -> Scored:
    """`read` gives the bytes of a file of the package. Raises Unsafe for a runtime that is not on the list, Corrupt for
    a model that takes another number of columns than its signature says."""
    said = notes or {}
    scored: Any = _scored(runtime, signature, read, said)
    if places := said.get(NOTE):
        scored = _InOrder(scored, tuple(map(int, places)))
    by_column = said.get("takes") == "columns"
    adapter: Callable[..., Scored] = ByColumn if by_column else Encoded
    return adapter(
        scored,
        signature,
        refuses_nulls=bool(said.get("refuses_nulls")),
        refuses_unseen=bool(said.get("refuses_unseen")),
    )


class _InOrder:
    """A model that has the classes in another order than its signature."""

    def __init__(self, model: Any, places: tuple[int, ...]) -> None:
        self._model, self._places = model, places

    def score(self, rows: Any) -> Scores:
        return in_order(self._model.score(rows), self._places)

    def contributions(self, rows: Any) -> tuple[Scores, Scores, str] | None:
        told = getattr(self._model, "contributions", lambda _: None)(rows)
        if told is None:
            return None
        base, values, method = told
        places = list(self._places)
        if base.shape[1] != len(places):
            turned = 1.0 if places == [0, 1] else -1.0
            return turned * base, turned * values, method
        return base[:, places], values[:, places], method


def _scored(
    runtime: str, signature: Signature, read: Callable[[str], bytes], notes: Mapping[str, Any]
) -> MatrixModel | ColumnModel:
    by_column, float32 = notes.get("takes") == "columns", bool(notes.get("float32"))
    if runtime == "lightgbm":
        from hanok.compute.runtimes.lightgbm import LightGBM

        return LightGBM(read("model.txt"), signature.width, float32=float32)
    if runtime == "linear":
        from hanok.compute.runtimes.linear import Linear

        return Linear(read("linear.json"))
    if runtime == "ensemble":
        from hanok.compute.runtimes.ensemble import Ensemble

        return Ensemble(read, signature)
    if runtime == "onnx":
        from hanok.compute.runtimes.onnx import Onnx, OnnxColumns

        return (OnnxColumns if by_column else Onnx)(read("model.onnx"), signature)
    if runtime == "onnx+lightgbm":
        from hanok.compute.runtimes.chained import Chained

        width = int(notes["steps_width"])
        return Chained(read("steps.onnx"), read("model.txt"), signature, width, by_column=by_column, float32=float32)
    raise Unsafe(
        f"runtime {runtime!r} is not one that loads without running foreign code "
        "(lightgbm, linear, ensemble, onnx, onnx+lightgbm)"
    )
