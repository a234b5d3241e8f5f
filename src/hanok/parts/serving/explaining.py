"""Why an answer is what it is: the contributions of its inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from hanok.compute.frames import Columns
from hanok.compute.runtimes.encoded import Scores
from hanok.compute.runtimes.explain import SCORED_MAX, Contributions, permuted
from hanok.core.errors import Invalid
from hanok.core.serving import Cell
from hanok.parts.serving.packages import Loaded

ROWS_MAX = 5_000  # of a model that tells by itself: TreeSHAP takes far longer than a score
Typical = Callable[[str, int], Mapping[str, Cell] | None]


@dataclass(frozen=True, slots=True)
class Explanation:
    """`base` and the contributions sum up to the score in `unit`; `of` is the class that is explained. `rows_scored`
    says what it cost beside the answer itself."""

    base: float
    contributions: Mapping[str, float]
    of: str
    unit: str
    method: str
    rows_scored: int


def explained(loaded: Loaded, columns: Columns, typical: Callable[[], Mapping[str, Cell] | None]) -> list[Explanation]:
    """Of each row. `typical` is asked for a typical row where the model cannot tell by itself. Raises Invalid,
    SignatureMismatch, ScoringFailed."""
    signature = loaded.signature
    names = [c.name for c in signature.inputs]
    given = {n: _listed(columns[n]) for n in names if n in columns}
    prepared = loaded.runtime.encode(given)
    scores = loaded.runtime.score(prepared)
    classes = _classes(scores)
    found = loaded.runtime.contributions(prepared, classes)
    if found is None:
        row = typical()
        if row is None:
            raise Invalid(
                "this model cannot say by itself what its inputs do, and no typical row is known to compare with: "
                "it was trained elsewhere, and has answered nothing yet"
            )
        found = permuted(signature, loaded.score, given, row, classes)
    each = found.rows_scored // max(1, len(classes))
    return [
        Explanation(
            float(found.base[row]),
            {n: float(v) for n, v in zip(names, found.values[row], strict=True)},
            signature.classes[int(found.of[row])] if signature.classes else "",
            found.unit,
            found.method,
            each,
        )
        for row in range(len(classes))
    ]


def check_explainable(
    loaded: Loaded, columns: Columns, rows: int, typical: Callable[[], Mapping[str, Cell] | None]
) -> None:
    """Raises Invalid for what `explained` would refuse, at the price of one row: before an answer is logged."""
    if not rows:
        return
    first = explained(loaded, {n: _listed(column)[:1] for n, column in columns.items()}, typical)[0]
    most = max(1, SCORED_MAX // first.rows_scored) if first.rows_scored else ROWS_MAX
    if rows > most:
        raise Invalid(f"{rows} rows are to be explained, and of this model {most} are at once: ask about fewer")


def _listed(column: pa.Array | pa.ChunkedArray | Sequence[Cell]) -> Sequence[Cell]:
    found: Sequence[Cell] = column.to_pylist() if isinstance(column, pa.Array | pa.ChunkedArray) else column
    return found


def _classes(scores: Scores) -> np.ndarray:
    """The class that is explained in each row: of two classes the second, of several the one that is answered."""
    return scores.argmax(axis=1) if scores.ndim == 2 else np.ones(len(scores), np.int64)


__all__ = ["Contributions", "Explanation", "Typical", "check_explainable", "explained"]
