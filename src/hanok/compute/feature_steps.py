"""Columns made of the columns of a model's matrix, by rules that training learnt and serving repeats.

A step takes the matrix and gives columns that stand after it. Row by row the bits are the same whatever the number of
rows: sums go over the last axis, never through a matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
CHUNK = 4_000_000  # numbers at once


@dataclass(frozen=True, slots=True)
class Step:
    """`table` (`column`): what each number of a category becomes, the last entry for null and the unknown; `topics`
    (`column` up to `last`): terms weighed by `idf` and turned onto the axes of `matrix`, a file (axes, terms)."""

    kind: str
    column: int
    last: int = 0
    table: tuple[float, ...] | Floats = ()
    idf: tuple[float, ...] | Floats = ()
    matrix: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """Steps, and the matrices that they name."""

    steps: tuple[Step, ...] = ()
    matrices: dict[str, Floats] = field(default_factory=dict)

    def extended(self, x: Floats) -> Floats:
        """The matrix with the columns of all steps after its own."""
        if not self.steps:
            return x
        return np.column_stack([x, *(self._column(step, x) for step in self.steps)])

    def _column(self, step: Step, x: Floats) -> Floats:
        if step.kind == "table":
            return looked_up(np.asarray(step.table, float), x[:, step.column])
        weighed = topic_weights(x[:, step.column : step.last], np.asarray(step.idf, float))
        return products(weighed, self.matrices[step.matrix])


def looked_up(table: Floats, codes: Floats) -> Floats:
    known = (codes >= 0) & (codes < len(table) - 1)  # NaN is neither
    return table[np.where(known, codes, len(table) - 1).astype(np.int64)]


def topic_weights(terms: Floats, idf: Floats) -> Floats:
    """tf-idf rows of length one; a null text has none of the terms."""
    weighed = np.nan_to_num(terms) * idf
    length = np.sqrt(np.add.reduce(weighed * weighed, axis=1))
    return weighed / np.where(length > 0, length, 1.0)[:, None]


def products(rows: Floats, weights: Floats) -> Floats:
    """`rows @ weights.T`, each row by itself."""
    rows, weights = np.ascontiguousarray(rows), np.ascontiguousarray(weights)
    out = np.empty((len(rows), len(weights)))
    chunk = max(1, CHUNK // max(1, weights.size))
    for at in range(0, len(rows), chunk):
        out[at : at + chunk] = np.add.reduce(rows[at : at + chunk, None, :] * weights[None, :, :], axis=2)
    return out
