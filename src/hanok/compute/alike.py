"""Rows that belong together: copies of one another, and rows of one group by whose neighbours a label is guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hanok.compute.frames import Frame
from hanok.compute.metrics import auc
from hanok.compute.text import is_free_text
from hanok.core.serving import Column

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]
FINGERPRINT = 0.3  # of the distinct rows: so many values has a column by which a row is known
DISTINCT_MIN = 20
DIGITS = 4  # of a number that is compared
SAMPLE = 1_200
COLUMNS_MAX = 200
VALUES_MIN = 30  # of a column that could name groups
NEIGHBOURS = 3
GROUPS_MIN, GROUP_SIZE_MIN = 8, 2.0
CANDIDATES_MAX, LABEL_BETWEEN_MIN = 3, 0.1
MEASURED = 0.6  # of what equal values tell of the label: so much tell near ones, where it is a measure
SAME_MANY = 0.9  # of the values of a group: so many has another name of it
GAP_MIN, SEEN_MIN = 0.15, 0.3  # of the skill among known groups, and that skill: what is called a gap


def codes_of(column: pa.ChunkedArray) -> Codes:
    """A number for each distinct value; null has its own."""
    indices = pc.dictionary_encode(column, null_encoding="encode").combine_chunks().indices
    return np.asarray(indices.to_numpy(zero_copy_only=False), np.int64)


def spellings_of(group: pa.ChunkedArray, columns: Mapping[str, pa.ChunkedArray]) -> list[str]:
    """The columns whose every value belongs to one value of a group, and repeats as those of the group do: other names
    of it. A value that is null says nothing."""
    groups = codes_of(group)
    wanted = len(np.unique(groups))
    found = []
    for name, column in columns.items():
        known = column.is_valid().to_numpy(zero_copy_only=False)
        values = codes_of(column)[known]
        distinct, rows = len(np.unique(values)), len(values)
        if not SAME_MANY * wanted <= distinct <= wanted / SAME_MANY or rows < GROUP_SIZE_MIN * distinct:
            continue
        pairs = len(np.unique(values * (wanted + 1) + groups[known]))
        if pairs <= distinct * (2 - SAME_MANY):
            found.append(name)
    return found


def copies(features: pa.Table) -> Codes:
    """A number for each row, the same one for rows that are alike in every feature: numbers in four digits, text in
    any case. Where rows are told apart by no column (few levels each), rows that are alike are no copies, and each has
    a number of its own."""
    own = np.arange(features.num_rows, dtype=np.int64)
    if not features.num_columns or not features.num_rows:
        return own
    codes = [codes_of(_blunt(c)) for c in features.columns]
    mixed = np.zeros(features.num_rows, np.uint64)
    for column in codes:
        mixed = (mixed ^ (mixed >> np.uint64(29)) ^ column.astype(np.uint64)) * np.uint64(0xBF58476D1CE4E5B9)
    _, first, found = np.unique(mixed, return_index=True, return_inverse=True)
    widest = max(len(np.unique(column[first])) for column in codes)
    if len(first) < DISTINCT_MIN or widest < FINGERPRINT * len(first):
        return own
    return np.asarray(found.ravel(), np.int64)


def _blunt(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_floating(column.type):
        values = column.to_numpy()
        with np.errstate(all="ignore"):
            scale = 10.0 ** (DIGITS - 1 - np.floor(np.log10(np.where(values == 0, 1, np.abs(values)))))
            blunt = np.where(np.isfinite(values) & np.isfinite(scale), np.round(values * scale) / scale, values)
        return pa.chunked_array([pa.array(blunt, from_pandas=True)])
    if pa.types.is_string(column.type):
        return pc.utf8_lower(pc.utf8_trim_whitespace(column))
    return column


def joined(one: Codes, other: Codes) -> Codes:
    """Rows that are together in either are together."""
    now = np.unique(one, return_inverse=True)[1].ravel().astype(np.int64)
    while True:
        before = now
        for codes in (other, one):
            places = np.unique(codes, return_inverse=True)[1].ravel()
            least = np.full(int(places.max()) + 1, len(now), np.int64)
            np.minimum.at(least, places, now)
            now = least[places]
        if np.array_equal(before, now):
            return now


@dataclass(frozen=True, slots=True)
class Gap:
    """How well the label is guessed from the rows that are most alike: with and without those of the row's own group.
    `name` says of what: AUC, accuracy or R2."""

    name: str
    known: float
    unknown: float

    @property
    def wide(self) -> bool:
        low = 0.5 if self.name == "AUC" else 0.0
        return self.known - low > SEEN_MIN * (1 - low) and self.known - self.unknown > GAP_MIN * (1 - low)


def group_gap(matrix: Floats, categories: NDArray[np.bool_], y: Floats, task: str, groups: Codes) -> Gap | None:
    """The gap of a grouping, on some of the groups whole; None where there are too few groups, or of one row each.

    A row's neighbours are searched in the columns that vary more between groups than within, by which a model would
    know the group again."""
    names, sizes = np.unique(groups, return_counts=True)
    if len(names) < GROUPS_MIN or len(groups) / len(names) < GROUP_SIZE_MIN:
        return None
    order = np.random.default_rng(0).permutation(len(names))
    chosen = order[: max(GROUPS_MIN, int((np.cumsum(sizes[order]) <= SAMPLE).sum()))]
    rows = np.flatnonzero(np.isin(groups, names[chosen]))[: 2 * SAMPLE]
    at = np.unique(groups[rows], return_inverse=True)[1].ravel()
    distance = np.zeros((len(rows), len(rows)), np.float32)
    for j in range(matrix.shape[1]):
        x = _ranked(matrix[rows, j], bool(categories[j]))
        if (weight := _between(x, at)) > 0:
            apart = x[:, None] - x[None, :]
            distance += np.float32(weight) * ((apart != 0) if categories[j] else np.abs(apart)).astype(np.float32)
    np.fill_diagonal(distance, np.inf)
    known, name = _skill(distance, y[rows], task)
    distance[at[:, None] == at[None, :]] = np.inf
    return Gap(name, known, _skill(distance, y[rows], task)[0])


def _ranked(x: Floats, category: bool) -> NDArray[np.float32]:
    if category:
        return np.nan_to_num(x, nan=-1.0).astype(np.float32)
    middle = float(np.median(x[np.isfinite(x)])) if np.isfinite(x).any() else 0.0
    values, places = np.unique(np.where(np.isfinite(x), x, middle), return_inverse=True)
    return (places.ravel() / max(1, len(values) - 1)).astype(np.float32)


def _between(x: NDArray[np.float32], at: Codes) -> float:
    """The share of a column's variance that lies between the groups, less what chance gives (adjusted R2)."""
    total, sizes = float(x.var()), np.bincount(at)
    if total <= 0 or len(sizes) >= len(x):
        return 0.0
    means = np.bincount(at, weights=x) / np.maximum(sizes, 1)
    within = float(((x - means[at]) ** 2).mean())
    return max(0.0, 1 - within / total * (len(x) - 1) / (len(x) - len(sizes)))


def label_between(y: Floats, groups: Codes) -> float:
    """The share of the label's variance that lies between the groups, less what chance gives."""
    return _between(np.asarray(y, np.float32), np.unique(groups, return_inverse=True)[1].ravel())


def _skill(distance: NDArray[np.float32], y: Floats, task: str) -> tuple[float, str]:
    near = np.argpartition(distance, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    usable = np.isfinite(np.take_along_axis(distance, near, axis=1)).all(axis=1)
    if task == "multiclass":
        votes = np.zeros((len(y), int(y.max()) + 1))
        for k in range(NEIGHBOURS):
            votes[np.arange(len(y)), y[near[:, k]].astype(int)] += 1
        right = float((votes.argmax(axis=1) == y)[usable].mean()) if usable.any() else 0.0
        return right, "accuracy"
    said = y[near].mean(axis=1)[usable]
    truth = y[usable]
    if task == "binary":
        value = auc(truth, said)
        return (value if np.isfinite(value) else 0.5), "AUC"
    spread = float(((truth - truth.mean()) ** 2).sum()) if len(truth) else 0.0
    return (1 - float(((truth - said) ** 2).sum()) / spread if spread else 0.0), "R2"


def told_groupings(frame: Frame, candidates: Mapping[str, Codes]) -> list[tuple[str, Gap]]:
    """Those of the columns whose rows of one value know each other's label: a model that has seen some of them is asked
    for the others, and seems better than it is for a value that is new. The widest first."""
    between = {n: label_between(frame.y, c) for n, c in candidates.items() if not _measured(frame, n)}
    tested = [n for n in sorted(between, key=lambda n: -between[n]) if between[n] > LABEL_BETWEEN_MIN]
    names, category = (
        [c.name for c in frame.signature.owners],
        np.array([_is_category(c) for c in frame.signature.owners]),
    )
    found = []
    for name in tested[:CANDIDATES_MAX]:
        others = [j for j, owner in enumerate(names) if owner != name][:COLUMNS_MAX]
        gap = group_gap(frame.X[:, others], category[others], frame.y, frame.task, candidates[name]) if others else None
        if gap is not None and gap.wide:
            found.append((name, gap))
    return sorted(found, key=lambda pair: pair[1].unknown - pair[1].known)


def _measured(frame: Frame, name: str) -> bool:
    """Whether a column of numbers tells of the label by its size: near values tell the same as equal ones."""
    place = {c.name: j for j, c in enumerate(frame.signature.owners)}.get(name)
    if place is None or frame.signature.owners[place].datatype == "BYTES":
        return False
    x = frame.X[:, place]
    bins = np.searchsorted(np.nanquantile(x, np.arange(1, 20) / 20), np.nan_to_num(x, nan=np.inf)).astype(np.int64)
    return label_between(frame.y, bins) > MEASURED * label_between(frame.y, codes_of(frame.table.column(name)))


def _is_category(column: Column) -> bool:
    return column.datatype == "BYTES" and not column.terms


def repeating(columns: Mapping[str, pa.ChunkedArray], size_min: float = GROUP_SIZE_MIN) -> dict[str, Codes]:
    """The columns of text or whole numbers that could name what rows belong to: many values, each in several rows."""
    found = {}
    for name, column in columns.items():
        if (pa.types.is_string(column.type) or pa.types.is_integer(column.type)) and not is_free_text_column(column):
            codes = codes_of(column)
            values = int(codes.max()) + 1 if len(codes) else 0
            if VALUES_MIN <= values <= len(codes) / size_min:
                found[name] = codes
    return found


def is_free_text_column(column: pa.ChunkedArray) -> bool:
    return pa.types.is_string(column.type) and is_free_text(column)
