"""Features that know too much: a column that gives the label away by itself, rows that were known only afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanok.compute.frames import Frame
from hanok.compute.metrics import auc
from hanok.core.serving import Column

ALONE_MIN = 0.995
SAMPLE = 5_000
ROWS_MIN = 100
BINS = 64
SURE = 0.999  # of the rows: what agrees in so many is the label
SIDE_MIN = 20  # rows on either side of what is said to agree
EXACT = 0.99995
DISTINCT_MIN = 20
MEAN_FITS, MEAN_SURE = 0.97, 0.9995
TELLING, STANDS_OUT = 0.6, 0.6  # skills, from 0 to 1
ORDERED = 0.9
MEASURE = {"binary": "AUC", "multiclass": "accuracy", "regression": "R2"}
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


def suspects(frame: Frame) -> list[Leak]:
    """Columns that know too much of the label, the certain ones first; what each rule means stands in
    docs/explain/automl.md. Small frames (fewer than 100 rows) tell nothing."""
    if frame.rows < ROWS_MIN:
        return []
    rows = np.sort(np.random.default_rng(0).permutation(frame.rows)[:SAMPLE])
    sample = frame.take(rows)
    half = np.random.default_rng(1).random(sample.rows) < 0.5
    found: list[Leak] = []
    powers: dict[str, float] = {}
    for column, x in _blocks(sample):
        if leak := _certain(column, x, sample):
            found.append(leak)
            continue
        power = _of_text(x, sample, half) if column.terms else _of_column(column, x[:, 0], sample, half)
        powers[column.name] = power
        if power > ALONE_MIN:
            shown = f"{MEASURE[sample.task]} {power:.3f}"
            message = f"{column.name} predicts the label by itself ({shown}): is it known before?"
            found.append(Leak("alone", column.name, message, False))
        elif leak := _doubtful(column, x, sample, half):
            found.append(leak)
    told = {leak.column for leak in found}
    if (most := _standing_out(powers, sample)) and most.column not in told:
        found.append(most)
    return sorted(found, key=lambda leak: not leak.certain)


def _blocks(frame: Frame) -> Iterator[tuple[Column, NDArray[np.float64]]]:
    """Each input with its columns of the matrix."""
    place = 0
    for column in frame.signature.inputs:
        width = len(column.matrix_columns)
        yield column, frame.X[:, place : place + width]
        place += width


# -- what is certain ---------------------------------------------------------------------------------------------


def _certain(column: Column, x: NDArray[np.float64], frame: Frame) -> Leak | None:
    """The label under another name, in other units, or its mean over rows with one's own among them; a column that is
    filled for one class alone; a word that only the rows of one class have."""
    if column.terms:
        return _telling_word(column, x, frame)
    values, known = x[:, 0], np.isfinite(x[:, 0])
    if frame.task == "regression":
        return _units(column, values, known, frame.y)
    null_class, agree = _agreement((~known).astype(int), frame.y)
    if min(known.sum(), (~known).sum()) >= SIDE_MIN and agree >= SURE:
        message = f"{column.name} is empty exactly where the label is {frame.signature.classes[null_class]} "
        return Leak("filled afterwards", column.name, f"{message}({agree:.1%} of {len(values)} rows)", True)
    levels, codes = np.unique(values[known], return_inverse=True)
    if known.sum() > SURE * len(known) and len(levels) == len(frame.signature.classes):
        agree, one_to_one = _one_to_one(codes.ravel(), frame.y[known].astype(int))
        if one_to_one and agree >= SURE:
            message = f"{column.name} is the label under another name: they agree in {agree:.1%} of {len(values)} rows"
            return Leak("copy", column.name, message, True)
    return _own_mean(column, values, known, frame.y) if frame.task == "binary" else None


def _units(column: Column, x: NDArray[np.float64], known: NDArray[np.bool_], y: NDArray[np.float64]) -> Leak | None:
    if column.datatype == "BYTES" or known.sum() < SURE * len(known) or len(np.unique(x[known])) < DISTINCT_MIN:
        return None
    ranks = [np.unique(v, return_inverse=True)[1].ravel().astype(float) for v in (x[known], y[known])]
    straight = max(abs(_correlation(x[known], y[known])), abs(_correlation(*ranks)))
    if straight >= EXACT:
        message = f"{column.name} is the label in other units: they order the rows alike (correlation {straight:.5f})"
        return Leak("copy", column.name, message, True)
    return _own_mean(column, x, known, y)


def _own_mean(column: Column, x: NDArray[np.float64], known: NDArray[np.bool_], y: NDArray[np.float64]) -> Leak | None:
    """Rows of one value have that value as their mean label: it was computed from them."""
    if column.datatype == "BYTES":
        return None
    levels, codes = np.unique(x[known], return_inverse=True)
    sizes = np.bincount(codes.ravel())
    many = sizes >= 2
    if many.sum() < DISTINCT_MIN or sizes[many].sum() < 0.5 * len(x):
        return None
    means = np.bincount(codes.ravel(), weights=y[known]) / sizes
    off = np.average((means[many] - levels[many]) ** 2, weights=sizes[many])
    spread = float(np.average((means[many] - y.mean()) ** 2, weights=sizes[many]))
    fits = 1 - off / spread if spread > 0 else 0.0
    if fits < MEAN_FITS:
        return None
    message = f"{column.name} is the mean label of the rows that share its value ({fits:.1%} of its variance)"
    return Leak("label aggregated", column.name, f"{message}: their own labels are in it", bool(fits >= MEAN_SURE))


def _telling_word(column: Column, x: NDArray[np.float64], frame: Frame) -> Leak | None:
    if frame.task == "regression":
        return None
    for place, term in enumerate(column.terms):
        there = np.nan_to_num(x[:, place]) > 0
        value, agree = _agreement(there.astype(int), frame.y)
        if min(there.sum(), (~there).sum()) >= SIDE_MIN and agree >= SURE:
            message = f"{column.name} has the word {term!r} exactly where the label is {frame.signature.classes[value]}"
            return Leak("word", column.name, f"{message} ({agree:.1%} of {len(there)} rows)", True)
    return None


def _agreement(flag: NDArray[np.int64], y: NDArray[np.float64]) -> tuple[int, float]:
    """The class that a flag tells best, and in how many of the rows flag and class are both there or both not."""
    classes = np.arange(int(y.max()) + 1)
    agree = [float(((y == c) == (flag == 1)).mean()) for c in classes]
    best = int(np.argmax(agree))
    return best, agree[best]


def _one_to_one(codes: NDArray[np.int64], y: NDArray[np.int64]) -> tuple[float, bool]:
    size = max(int(codes.max()), int(y.max())) + 1
    counts = np.zeros((size, size))
    np.add.at(counts, (codes, y), 1)
    best = counts.argmax(axis=1)
    return float(counts.max(axis=1).sum() / len(y)), len(set(best.tolist())) == size


def _correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return float(np.corrcoef(x, y)[0, 1]) if np.std(x) > 0 and np.std(y) > 0 else 0.0


# -- what is doubtful --------------------------------------------------------------------------------------------


def _doubtful(column: Column, x: NDArray[np.float64], frame: Frame, half: NDArray[np.bool_]) -> Leak | None:
    """Emptiness or one word that tells much of the label; a number that tells by its neighbours in order."""
    measure = MEASURE[frame.task]
    if column.terms:
        words = np.nan_to_num(x[:, :-1]) > 0
        often = np.flatnonzero((words.sum(axis=0) >= SIDE_MIN) & ((~words).sum(axis=0) >= SIDE_MIN))
        powers = {int(j): _skill(_power(words[:, j].astype(float), frame, half, True), frame) for j in often}
        best = max(powers, key=lambda j: powers[j], default=-1)
        if best >= 0 and powers[best] > TELLING:
            message = f"the word {column.terms[best]!r} in {column.name} alone tells much of the label"
            return Leak("word", column.name, f"{message}: was it written afterwards?", False)
        return None
    values = x[:, 0]
    null = ~np.isfinite(values)
    if min(null.sum(), (~null).sum()) >= SIDE_MIN:
        power = _power(null.astype(float), frame, half, True)
        if _skill(power, frame) > TELLING:
            message = f"whether {column.name} is empty tells much of the label ({measure} {power:.3f})"
            return Leak("filled afterwards", column.name, f"{message}: is it filled in afterwards?", False)
    if column.datatype != "BYTES" and len(np.unique(values)) > ORDERED * len(values):
        order = np.argsort(values, kind="stable")
        y = frame.y[order]
        beside = (np.append(y[1:], y[-2]) + np.append(y[1], y[:-1])) / 2
        by_bin = _power(values, frame, half, False)
        power = _told(frame.task, y, beside)
        if _skill(power, frame) > TELLING and _skill(by_bin, frame) < _skill(power, frame) - 0.1:
            message = f"rows that follow one another in {column.name} have one label ({measure} {power:.3f})"
            return Leak("order", column.name, f"{message}: it is like a number given out by the label", False)
    return None


def _told(task: str, y: NDArray[np.float64], said: NDArray[np.float64]) -> float:
    if task == "multiclass":
        return float((np.round(said) == y).mean())
    if task == "binary":
        value = auc(y, said)
        return value if np.isfinite(value) else 0.5
    spread = float(((y - y.mean()) ** 2).sum())
    return 1 - float(((y - said) ** 2).sum()) / spread if spread else 0.0


def _standing_out(powers: Mapping[str, float], frame: Frame) -> Leak | None:
    """A column that tells much, and twice as much as any other one."""
    order = sorted(powers, key=lambda n: -powers[n])
    if len(order) < 2:
        return None
    first, second = (_skill(powers[n], frame) for n in order[:2])
    if first < STANDS_OUT or second > first / 2:
        return None
    message = f"{order[0]} alone tells far more of the label than any other column ({MEASURE[frame.task]} "
    return Leak("stands out", order[0], f"{message}{powers[order[0]]:.3f}): is it known before?", False)


def _skill(power: float, frame: Frame) -> float:
    """A power from 0 (what a constant has) to 1."""
    if frame.task == "binary":
        return 2 * power - 1
    if frame.task == "multiclass":
        usual = np.bincount(frame.y.astype(int)).max() / frame.rows
        return float((power - usual) / (1 - usual)) if usual < 1 else 0.0
    return power


def _of_text(x: NDArray[np.float64], frame: Frame, half: NDArray[np.bool_]) -> float:
    """All words of a text together, as a sum of what each tells by itself (naive Bayes; the means for a number)."""
    words = np.nan_to_num(x[:, :-1]) > 0
    y, known = frame.y, words[half]
    if frame.task == "multiclass":
        classes = np.arange(int(y.max()) + 1)
        shares = [(known[y[half] == c].sum(axis=0) + 1) / ((y[half] == c).sum() + 2) for c in classes]
        log = np.column_stack([words[~half] @ np.log(s) + (~words[~half]) @ np.log(1 - s) for s in shares])
        return float((log.argmax(axis=1) == y[~half]).mean())
    high = y > np.median(y) if frame.task == "regression" else y == 1
    one, two = (
        (known[high[half] == side].sum(axis=0) + 1) / ((high[half] == side).sum() + 2) for side in (True, False)
    )
    said = words[~half] @ np.log(one / two) + (~words[~half]) @ np.log((1 - one) / (1 - two))
    if frame.task == "regression":
        return _correlation(said, y[~half]) ** 2
    return _told("binary", y[~half], said)


def _of_column(column: Column, x: NDArray[np.float64], frame: Frame, half: NDArray[np.bool_]) -> float:
    return _power(x, frame, half, column.datatype == "BYTES")


def _power(x: NDArray[np.float64], frame: Frame, half: NDArray[np.bool_], category: bool) -> float:
    """AUC, accuracy or R2 of the label's mean (or commonest class) by value, or by one of 64 quantile bins."""
    y, task = frame.y, frame.task
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
    straight = 0.0
    if not category:  # bins blunt a number: a straight line may fit it
        known = np.isfinite(x)
        if known.sum() > ROWS_MIN and np.std(x[known]) > 0 and np.std(y[known]) > 0:
            straight = float(np.corrcoef(x[known], y[known])[0, 1] ** 2) * float(known.mean())
    spread = float(((truth - middle) ** 2).sum())
    return max(straight, 1 - float(((truth - said) ** 2).sum()) / spread if spread else 0.0)


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
