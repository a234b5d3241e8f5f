"""What each input does to a score: contributions that sum up to it, from a base that no input moves.

- Trees: TreeSHAP (Lundberg et al. 2020, Nature Machine Intelligence 2, algorithm 2), by LightGBM's own library.
- Linear models: weight times value, exact by definition.
- Anything else: Shapley values (Strumbelj and Kononenko 2014) estimated over some orders of the inputs, each order with
  its reverse, against one typical row. They sum up exactly; which input has how much of it is an estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanok.compute.frames import Columns, Matrix
from hanok.core.errors import Invalid
from hanok.core.serving import Cell, Signature

ORDERS = 8  # an even number: half of them are the others reversed
SCORED_MAX = 200_000
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Contributions:
    """`values` are (rows, inputs) and `base` (rows,): their sum is the score in `unit`. `of` is the class that is meant
    in each row, an index; `rows_scored` is what it cost: so many rows were scored for it beside the answers."""

    base: Floats
    values: Floats
    of: NDArray[np.int64]
    unit: str
    method: str
    rows_scored: int = 0


def by_input(signature: Signature, values: Floats) -> Floats:
    """Contributions of the columns of the matrix (rows, width) as those of the inputs (rows, inputs)."""
    place = {c.name: i for i, c in enumerate(signature.inputs)}
    found = np.zeros((len(values), len(signature.inputs)))
    for index, owner in enumerate(signature.owners):
        found[:, place[owner.name]] += values[:, index]
    return found


def native(signature: Signature, model: object, matrix: Matrix, classes: NDArray[np.int64]) -> Contributions | None:
    """Those of a model that knows them itself; None for one that does not."""
    tell: Callable[[Matrix], tuple[Floats, Floats, str] | None] | None = getattr(model, "contributions", None)
    told = tell(matrix) if tell is not None else None
    if told is None:
        return None
    base, values, method = told  # (rows, outputs), (rows, outputs, width)
    chosen = classes if base.shape[1] > 1 else np.zeros(len(matrix), np.int64)
    rows = np.arange(len(matrix))
    unit = {"binary": "log-odds", "multiclass": "score of the class before softmax"}.get(signature.task, "value")
    return Contributions(base[rows, chosen], by_input(signature, values[rows, chosen]), classes, unit, method)


def permuted(
    signature: Signature,
    score: Callable[[Columns], Floats],
    columns: Mapping[str, Sequence[Cell]],
    typical: Mapping[str, Cell],
    classes: NDArray[np.int64],
) -> Contributions:
    """Estimated by switching the inputs of a typical row to those of the row, one after the other, in several orders.
    Raises Invalid for more rows than that is done for."""
    names = [c.name for c in signature.inputs]
    rows, width = len(classes), len(names)
    steps = ORDERS * (width + 1)
    if rows * steps > SCORED_MAX:
        raise Invalid(
            f"explaining a row of this model takes {steps} scores, and {rows} rows are asked about: ask about "
            f"{max(1, SCORED_MAX // steps)} at most"
        )
    random = np.random.default_rng(0)
    half = [random.permutation(width) for _ in range(ORDERS // 2)]
    orders = np.array([*half, *(order[::-1] for order in half)])
    ranks = np.argsort(orders, axis=1)  # when each input is switched
    switched = ranks[:, None, :] < np.arange(width + 1)[None, :, None]  # (orders, steps, inputs)
    on = np.tile(switched.reshape(steps, width), (rows, 1))
    mixed: dict[str, list[Cell]] = {}
    for index, name in enumerate(names):
        own = [columns[name][row] for row in range(rows) for _ in range(steps)]
        mixed[name] = [value if switch else typical.get(name) for value, switch in zip(own, on[:, index], strict=True)]
    found = score(mixed)
    if found.ndim == 2:
        found = found[np.arange(len(found)), np.repeat(classes, steps)]
    found = found.reshape(rows, ORDERS, width + 1)
    gains = np.diff(found, axis=2)  # (rows, orders, place in the order)
    values = np.take_along_axis(gains, np.broadcast_to(ranks, (rows, *ranks.shape)), axis=2).mean(axis=1)
    unit = "value" if signature.task == "regression" else "probability"
    method = f"Shapley values over {ORDERS} orders of the inputs, against a typical row"
    return Contributions(found[:, 0, 0], values, classes, unit, method, rows * steps)
