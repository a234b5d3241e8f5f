"""Features that know too much: a column that gives the label away by itself, rows that were known only afterwards."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanok.compute.frames import Frame
from hanok.compute.metrics import auc

ALONE_MIN = 0.995
SAMPLE = 5_000
ROWS_MIN = 100
BINS = 64
LATE_SHARE = 0.01
LATE_DAYS_MIN = 7
DAY_US = 86_400_000_000
HOUR_US = 3_600_000_000
LATE_SLACK_US = 60_000_000  # rows that come within a minute are on time: "at - 1s" says that a row does not see itself


@dataclass(frozen=True, slots=True)
class Leak:
    """`certain`: not a suspicion but a fact, so that a gate refuses what was trained with it."""

    kind: str
    column: str
    message: str
    certain: bool

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def alone(frame: Frame) -> list[Leak]:
    """Columns that predict the label almost perfectly by themselves, on rows that the rule was not learnt from: AUC,
    accuracy or R2 of the label's mean (or commonest class) by value or by one of 64 quantile bins."""
    rows = np.random.default_rng(0).permutation(frame.rows)[:SAMPLE]
    if len(rows) < ROWS_MIN:
        return []
    sample = frame.take(np.sort(rows))
    half = np.random.default_rng(1).random(sample.rows) < 0.5
    found, place = [], 0
    for column in sample.signature.inputs:
        if not column.terms:
            power = _power(sample.X[:, place], sample.y, half, sample.task, column.datatype == "BYTES")
            if power > ALONE_MIN:
                name = {"binary": "AUC", "multiclass": "accuracy", "regression": "R2"}[sample.task]
                message = f"{column.name} predicts the label by itself ({name} {power:.3f}): is it known before?"
                found.append(Leak("alone", column.name, message, False))
        place += len(column.matrix_columns)
    return found


def _power(x: NDArray[np.float64], y: NDArray[np.float64], half: NDArray[np.bool_], task: str, category: bool) -> float:
    codes = _codes(x, category)
    size = int(codes.max()) + 1
    if task == "multiclass":
        classes = int(y.max()) + 1
        counts = np.bincount(codes[half] * classes + y[half].astype(int), minlength=size * classes)
        guess = counts.reshape(size, classes).argmax(axis=1)
        usual = np.bincount(y[half].astype(int)).max() / half.sum()
        right = float((guess[codes[~half]] == y[~half]).mean())
        return right if usual < ALONE_MIN else 0.0
    rows = np.bincount(codes[half], minlength=size)
    middle = float(y[half].mean())
    means = (np.bincount(codes[half], weights=y[half], minlength=size) + middle) / (rows + 1)
    said, truth = means[codes[~half]], y[~half]
    if task == "binary":
        value = auc(truth, said)
        return value if np.isfinite(value) else 0.0
    if not category:  # bins blunt a number: a straight line may fit it
        known = np.isfinite(x)
        if known.sum() > ROWS_MIN and np.std(x[known]) > 0 and np.std(y[known]) > 0:
            straight = float(np.corrcoef(x[known], y[known])[0, 1] ** 2)
            return straight * float(known.mean())
    spread = float(((truth - middle) ** 2).sum())
    return 1 - float(((truth - said) ** 2).sum()) / spread if spread else 0.0


def _codes(x: NDArray[np.float64], category: bool) -> NDArray[np.int64]:
    """A number for each value, or for each of the quantile bins; nulls have their own."""
    known = np.isfinite(x)
    values = np.unique(x[known])
    if not category and len(values) > BINS:
        values = np.unique(np.quantile(x[known], np.arange(1, BINS) / BINS))
        return np.where(known, np.searchsorted(values, np.nan_to_num(x), side="right"), len(values) + 1)
    return np.where(known, np.searchsorted(values, np.nan_to_num(x)), len(values))


def known_late(table: str, at: NDArray[np.int64], arrived: NDArray[np.int64]) -> list[Leak]:
    """Rows of a table that arrived, day by day, after the instants at which they are predicted (microseconds): whatever
    they hold was not known then. A history that was imported at one time says nothing about when it was known."""
    late = arrived > at + LATE_SLACK_US
    if not len(at) or late.mean() <= LATE_SHARE or len(np.unique(arrived[late] // DAY_US)) < LATE_DAYS_MIN:
        return []
    hours = float(np.median(arrived[late] - at[late])) / HOUR_US
    message = (
        f"{late.mean():.0%} of the rows of {table} arrived after the instant they are predicted at ({hours:.1f} h in "
        "the median): their columns may hold what was not known then"
    )
    return [Leak("known late", table, message, True)]
