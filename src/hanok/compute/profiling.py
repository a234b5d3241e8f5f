"""Exploring a table: what its columns are like, how each relates to the target, and what looks wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hanok.compute.drift import BINS, Drift, Reference, bin_counts, compare, placed, reference
from hanok.compute.metrics import DEFAULT_METRIC
from hanok.compute.state_drift import reference_of, weighted
from hanok.compute.states import NUMERIC, ColumnState, TableState
from hanok.compute.unlike import counted_on
from hanok.compute.values import column_type, flattened
from hanok.core.errors import BadData

CLASSES_MAX = 20
LEAK = 0.9
GAP_FACTOR = 20
DUPLICATE_COLUMNS_MAX = 200


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """`relation`: how much of the target's uncertainty this column alone takes away, 0 to 1 (None without a target);
    `shares` are those of `labels`: bins of a number, values of a text, the last one null."""

    name: str
    type: str
    missing: float
    distinct: int
    minimum: float | None
    median: float | None
    maximum: float | None
    mean: float | None
    labels: tuple[str, ...]
    shares: tuple[float, ...]
    relation: float | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TimeCoverage:
    """`largest_gap_s` between neighbouring instants; `usual_gap_s` is their median."""

    column: str
    first: str
    last: str
    largest_gap_s: float
    usual_gap_s: float
    gap_after: str


@dataclass(frozen=True, slots=True)
class Problem:
    """What is to be predicted, how it is judged, and what always answering the same would score."""

    target: str
    task: str
    metric: str
    baseline: float
    baseline_says: str
    classes: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """The exploration of one table; `warnings` are in the order in which to look at them."""

    rows: int
    columns: tuple[ColumnProfile, ...]
    duplicates: int | None
    times: tuple[TimeCoverage, ...]
    problem: Problem | None
    warnings: tuple[str, ...]
    state: TableState = field(repr=False, default_factory=TableState)


def explore(rows: pa.Table, target: str = "") -> Profile:
    """Profile a table. Raises BadData when it has no columns or no such target."""
    if not rows.num_columns:
        raise BadData("the table has no columns; there is nothing to profile")
    rows = flattened(rows)
    _targetable(rows, target)
    state = TableState.of(rows)
    flat = list(state.columns)
    problem = problem_of(rows, state.columns[target]) if target and rows.num_rows else None
    known = rows.filter(pc.is_valid(rows.column(target))) if problem else rows
    answer = _answer(known.column(target), problem) if problem else None
    references = {n: reference(n, _plain(rows.column(n))) for n in flat if _comparable(rows.column(n).type)}
    columns = []
    for name in flat:
        relation = None
        if answer is not None and name != target and name in references:
            relation = explained(placed(references[name], _plain(known.column(name))), answer)
        columns.append(_column(state.columns[name], references.get(name), relation))
    duplicates = _duplicates(rows)
    times = tuple(c for n in flat if (c := _coverage(n, rows.column(n), state.columns[n])) is not None)
    made = tuple(columns)
    return Profile(
        rows.num_rows,
        made,
        duplicates,
        times,
        problem,
        _warnings(rows.num_rows, made, duplicates, times, problem),
        state,
    )


def _targetable(rows: pa.Table, target: str) -> None:
    """Raises BadData for a target that is not there, or of a type that no model predicts."""
    if not target:
        return
    if target not in rows.column_names:
        raise BadData(f"there is no column {target!r}; there are {', '.join(rows.column_names[:20])}")
    kind = rows.schema.field(target).type
    if pa.types.is_nested(kind) or column_type(kind) == "TIMESTAMP":
        raise BadData(f"{target!r} is {kind}: a target is a number, a text or true and false; name another column")


def of_state(state: TableState, *, days: Sequence[str] = ()) -> Profile:
    """The profile that statistics alone can give: no duplicates, no relation to a target. `days` are the partitions
    that hold rows, for the gaps between them."""
    columns = tuple(_column(c, reference_of(c), None) for c in state.columns.values())
    times = tuple(
        TimeCoverage(c.name, _instant(c.minimum), _instant(c.maximum), 0.0, 0.0, "")
        for c in state.columns.values()
        if c.type == "TIMESTAMP" and c.finite
    )
    whole = sorted(np.datetime64(d, "D") for d in days if len(d) == len("2013-02-08"))
    gaps = [f"no rows from {a + 1} to {b - 1}" for a, b in pairwise(whole) if b - a > np.timedelta64(1, "D")]
    warnings = (*_warnings(state.rows, columns, None, times, None), *gaps)
    return Profile(state.rows, columns, None, times, None, warnings, state)


def problem_of(rows: pa.Table, target: ColumnState) -> Problem | None:
    """The task from the target's type and number of values; None when it holds fewer than two values."""
    values = target.distinct_count
    if values < 2:
        return None
    column = rows.column(target.name).drop_null()
    if values == 2 or target.type in ("STRING", "BOOL") or (target.type == "INT" and values <= CLASSES_MAX):
        task = "binary" if values == 2 else "multiclass"
        total = target.present
        said = (lambda v: "true" if v else "false") if target.type == "BOOL" else str
        shares = [(said(v), n / total) for v, n in target.frequent.top(CLASSES_MAX)]
        p = np.array([s for _, s in shares])
        entropy = float(-(p * np.log(p)).sum())
        return Problem(
            target.name, task, DEFAULT_METRIC[task], entropy, "the shares of the classes, every time", tuple(shares)
        )
    numbers = column.cast(pa.float64(), safe=False).to_numpy()
    return Problem(
        target.name, "regression", DEFAULT_METRIC["regression"], float(np.nanstd(numbers)), "the mean, every time"
    )


def _answer(column: pa.ChunkedArray, problem: Problem) -> NDArray[np.float64]:
    """The target as class numbers, or as values."""
    if problem.task == "regression":
        return column.cast(pa.float64(), safe=False).to_numpy()
    return column.combine_chunks().dictionary_encode().indices.to_numpy().astype(float)


def explained(bins: NDArray[np.int64], answer: NDArray[np.float64]) -> float:
    """The share of the target that the bins of one column explain, corrected for their number.

    Classes: mutual information over the target's entropy (Theil's uncertainty coefficient), less its bias of
    (cells - 1)(classes - 1) / 2n (Miller 1955). Numbers: the correlation ratio, adjusted like R squared.
    """
    n = len(bins)
    _, place = np.unique(bins, return_inverse=True)
    cells = int(place.max()) + 1 if n else 0
    if cells < 2 or n <= cells:
        return 0.0
    if np.array_equal(answer, answer.astype(int)) and len(np.unique(answer)) <= max(CLASSES_MAX, 2):
        classes = int(answer.max()) + 1
        joint = np.bincount(place * classes + answer.astype(int), minlength=cells * classes).reshape(cells, classes)
        p = joint / n
        px, py = p.sum(axis=1, keepdims=True), p.sum(axis=0, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            information = float(np.nansum(np.where(p > 0, p * np.log(p / (px * py)), 0.0)))
            entropy = float(-np.nansum(np.where(py > 0, py * np.log(py), 0.0)))
        if entropy <= 0:
            return 0.0
        used = int((py > 0).sum())
        return max(0.0, min(1.0, (information - (cells - 1) * (used - 1) / (2 * n)) / entropy))
    sizes = np.bincount(place)
    means = np.bincount(place, answer) / sizes
    total = float(((answer - answer.mean()) ** 2).sum())
    if not total:
        return 0.0
    within = float(((answer - means[place]) ** 2).sum())
    return max(0.0, 1 - within / (n - cells) / (total / (n - 1)))


def _column(c: ColumnState, ref: Reference | None, relation: float | None) -> ColumnProfile:
    numeric = c.type in NUMERIC and c.finite > 0 and c.type != "TIMESTAMP"
    labels, shares = _histogram(c) or _shape(ref)
    return ColumnProfile(
        c.name,
        c.type,
        c.nulls / c.rows if c.rows else 0.0,
        c.distinct_count,
        float(c.minimum) if numeric else None,
        float(c.quantiles.quantiles([0.5])[0]) if numeric else None,
        float(c.maximum) if numeric else None,
        c.moments.mean if numeric else None,
        labels,
        shares,
        relation,
        _notes(c, relation),
    )


def _histogram(c: ColumnState) -> tuple[tuple[str, ...], tuple[float, ...]] | None:
    """Bins of equal width and one for null, for numbers of many values: quantile bins would all look alike."""
    if c.type not in ("INT", "FLOAT") or c.distinct_count <= BINS or not c.minimum < c.maximum:
        return None
    edges = np.linspace(float(c.minimum), float(c.maximum), BINS + 1)
    values, counts = weighted(c)
    found, _ = np.histogram(values, edges, weights=counts)
    shares = [*(found * (c.finite / max(1.0, found.sum()))), c.rows - c.finite]
    words = [f"{a:.4g} to {b:.4g}" for a, b in pairwise(edges)]
    return (*words, "null"), tuple(float(n) / c.rows for n in shares)


def _shape(ref: Reference | None) -> tuple[tuple[str, ...], tuple[float, ...]]:
    if ref is None or not sum(ref.counts):
        return (), ()
    total = sum(ref.counts)
    if ref.numeric:
        ends = ["-inf", *(f"{e:.4g}" for e in ref.edges), "inf"]
        words = [f"{p:.4g}" for p in ref.points] + [f"{a} to {b}" for a, b in pairwise(ends)]
    else:
        words = [*map(str, ref.points), "other values"]
    return (*words, "null"), tuple(n / total for n in ref.counts)


def _notes(c: ColumnState, relation: float | None) -> tuple[str, ...]:
    notes = []
    if not c.present:
        notes.append("always null")
    elif c.distinct_count == 1 and c.values > 1:
        notes.append("constant")
    if relation is not None and relation > LEAK:
        notes.append("suspected leak: it all but is the target")
    if c.type in ("STRING", "INT") and c.present > 20 and c.distinct_count >= 0.98 * c.values:
        notes.append("different in (almost) every row: an identifier?")
    if 0.5 < (c.nulls / c.rows if c.rows else 0) < 1:
        notes.append("mostly missing")
    if c.nan or c.positive_infinities or c.negative_infinities:
        notes.append(f"{c.nan} NaN, {c.positive_infinities + c.negative_infinities} infinite")
    if c.invalid_utf8:
        notes.append(f"{c.invalid_utf8} texts are not valid UTF-8")
    if c.type == "INT" and c.finite and max(abs(c.minimum), abs(c.maximum)) > 1 << 53:
        notes.append("beyond 2^53: not exact as a float")
    if c.type in ("INT", "FLOAT") and c.finite and 0.3 < c.zeros / c.finite < 1:
        notes.append(f"{c.zeros / c.finite:.0%} zeros")
    return tuple(notes)


def _coverage(name: str, column: pa.ChunkedArray, c: ColumnState) -> TimeCoverage | None:
    if c.type != "TIMESTAMP" or not c.finite:
        return None
    stamps = np.unique(column.drop_null().cast(pa.timestamp("us"), safe=False).cast(pa.int64()).to_numpy())
    gaps = np.diff(stamps)
    worst = int(np.argmax(gaps)) if len(gaps) else 0

    return TimeCoverage(
        name,
        _instant(stamps[0]),
        _instant(stamps[-1]),
        float(gaps[worst]) / 1e6 if len(gaps) else 0.0,
        float(np.median(gaps)) / 1e6 if len(gaps) else 0.0,
        _instant(stamps[worst]),
    )


def _instant(us: Any) -> str:
    return str(np.datetime64(int(us), "us").astype("datetime64[s]"))


def _duplicates(rows: pa.Table) -> int | None:
    """Rows that are equal to an earlier one in every column; None for nested or very many columns."""
    if rows.num_columns > DUPLICATE_COLUMNS_MAX or any(pa.types.is_nested(f.type) for f in rows.schema):
        return None
    groups = rows.group_by(rows.column_names, use_threads=False).aggregate([([], "count_all")])
    return int(rows.num_rows - groups.num_rows)


def _warnings(
    rows: int,
    columns: Sequence[ColumnProfile],
    duplicates: int | None,
    times: Sequence[TimeCoverage],
    problem: Problem | None,
) -> tuple[str, ...]:
    found = [] if rows else ["the table has no rows"]
    found += [f"{c.name}: {note}" for c in columns for note in c.notes if note.startswith("suspected leak")]
    if duplicates:
        found.append(f"{duplicates} rows ({duplicates / rows:.1%}) repeat an earlier one")
    if problem and problem.classes and (rarest := problem.classes[-1])[1] < 0.05:
        found.append(f"class {rarest[0]!r} of {problem.target} is rare: {rarest[1]:.1%} of the rows")
    for t in times:
        if t.usual_gap_s and t.largest_gap_s > GAP_FACTOR * t.usual_gap_s:
            found.append(f"{t.column}: nothing for {t.largest_gap_s / 3600:.1f} hours after {t.gap_after}")
    found += [
        f"{c.name}: {note}"
        for c in columns
        for note in c.notes
        if not note.startswith("suspected") and "zeros" not in note
    ]
    return tuple(found)


def _comparable(kind: pa.DataType) -> bool:
    return not pa.types.is_nested(kind) and column_type(kind) != "NULL"


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """In a type that bins understand."""
    kind = column.type
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return column.cast(pa.timestamp("us"), safe=False).cast(pa.timestamp("us", "UTC"))
    if column_type(kind) in ("INT", "FLOAT", "BOOL"):
        return column.cast(pa.float64(), safe=False)
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:  # bytes that are no text
        return pa.chunked_array([pa.array([None if v is None else repr(v) for v in column.to_pylist()], pa.string())])


def compare_tables(before: pa.Table, after: pa.Table) -> list[Drift]:
    """Drift of every column that both tables have in a comparable type. Times and row numbers are left out: they always
    move on. `hanok.compute.unlike` says what is left out."""
    before, after = flattened(before), flattened(after)
    found = []
    for name in before.column_names:
        if name not in after.column_names or not _comparable(before.schema.field(name).type):
            continue
        kind = column_type(before.schema.field(name).type)
        other = column_type(after.schema.field(name).type)
        if kind == "TIMESTAMP" or (kind != other and {kind, other} != {"INT", "FLOAT"}):
            continue
        if counted_on(before.column(name), after.column(name)):
            continue
        was, now = _plain(before.column(name)), _plain(after.column(name))
        if kind != other:
            was, now = was.cast(pa.float64(), safe=False), now.cast(pa.float64(), safe=False)
        ref = reference(name, was)
        found.append(compare(ref, bin_counts(ref, now)))
    return found
