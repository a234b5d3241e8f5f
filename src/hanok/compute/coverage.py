"""How many rows find no value in a feature view, and which rows those are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

SHARE_MIN = 0.005
GROUP_ROWS_MIN = 200
GROUPS_MAX = 200
LIFT = 2.0
PART_MIN = 0.05


@dataclass(frozen=True, slots=True)
class Gap:
    """`share` of the rows that find nothing in `view`. When some values of one column hold many of those rows,
    `column` and `groups` name them (value, rows, share missing); `explains` is their part of all rows that miss."""

    view: str
    rows: int
    share: float
    column: str = ""
    groups: tuple[Mapping[str, Any], ...] = ()
    explains: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def gaps(rows: pa.Table, views: Mapping[str, Sequence[str]], among: Sequence[str]) -> list[Gap]:
    """Views (name to columns) that give nothing for more than 0.5 % of the rows; `among` are the text columns in which
    a pattern is looked for."""
    found = []
    for view, columns in views.items():
        missing = np.ones(rows.num_rows, bool)
        for column in columns:
            missing &= rows.column(column).is_null().to_numpy()
        if rows.num_rows and missing.mean() > SHARE_MIN:
            found.append(_explained(view, rows, missing, among))
    return found


def _explained(view: str, rows: pa.Table, missing: NDArray[np.bool_], among: Sequence[str]) -> Gap:
    best = Gap(view, rows.num_rows, float(missing.mean()))
    for column in among:
        values = rows.column(column).fill_null("(null)").combine_chunks().dictionary_encode()
        if not 1 < len(values.dictionary) <= GROUPS_MAX:
            continue
        codes = values.indices.to_numpy()
        size = np.bincount(codes, minlength=len(values.dictionary))
        lost = np.bincount(codes[missing], minlength=len(values.dictionary))
        share = lost / np.maximum(size, 1)
        odd = (size >= GROUP_ROWS_MIN) & (share >= LIFT * missing.mean()) & (lost >= PART_MIN * missing.sum())
        explains = float(lost[odd].sum() / missing.sum())
        spread = float(size[odd].sum() / len(codes))
        if explains - spread > best.explains - _spread(best):
            named = sorted(np.flatnonzero(odd), key=lambda i: -lost[i])
            groups = tuple(
                {"value": values.dictionary[int(i)].as_py(), "rows": int(size[i]), "missing": round(float(share[i]), 4)}
                for i in named
            )
            best = Gap(view, rows.num_rows, best.share, column, groups, explains)
    return best


def _spread(gap: Gap) -> float:
    return sum(g["rows"] for g in gap.groups) / max(1, gap.rows)


def unseen(column: pa.ChunkedArray, known: Sequence[str]) -> dict[str, int]:
    """Values of a text column that are not among `known`, and how often each occurs."""
    present = column.cast(pa.string()).drop_null()
    strange = present.filter(pc.invert(pc.is_in(present, pa.array(known, pa.string()))))
    return {c["values"]: c["counts"] for c in pc.value_counts(strange).to_pylist()}


def unusual(values: NDArray[np.float64], far: float = 8.0) -> NDArray[np.int64]:
    """Places of the values above the median by more than `far` robust standard deviations (1.4826 times the median
    absolute deviation, as in Rousseeuw & Croux 1993; at least a tenth of the median counts as one)."""
    middle = float(np.median(values))
    spread = max(1.4826 * float(np.median(np.abs(values - middle))), 0.1 * middle, 1e-9)
    return np.flatnonzero(values > middle + far * spread)
