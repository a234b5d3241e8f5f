"""The parity gate: a package answers as the object it was made from, also where conversions go wrong.

Rows of the training set do not prove trees near their thresholds, nor what is done with nulls and with text that was
never seen: those rows are made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from hanok.compute.frames import Columns, Frame
from hanok.compute.runtimes import Package, Scored, Scores
from hanok.compute.runtimes.class_order import NOTE, check_said, gives_maps, may_be_either, named, places_of
from hanok.compute.runtimes.originals import is_onnx, original, own_labels, said
from hanok.core.errors import ConversionFailed, SignatureMismatch
from hanok.core.serving import Signature

PROOF_ROWS = 500
HARD_ROWS = 100
THRESHOLDS_MAX = 200
TOLERANCE = 1e-4
UNSEEN = "text that was never seen in training"
NEAR_ZERO = 1e-35  # LightGBM takes what is nearer to 0 as 0
_GLUED = (
    "{0}é {1}",
    "é{0}, {1}",
    "결제{0} {1}",
    "{0}\u0301 {1}",
    "{0}\u00a0{1}",
    "{0}½ É{1}",
    "{0}_{1}",
    "{0}\u200d{1}",
)
Thresholds: TypeAlias = Sequence[tuple[int, float]]  # (column of the matrix, threshold)


def proven(package: Package, thresholds: Thresholds, model: Any, frame: Frame) -> Package:
    """The package, with what was compared in its notes. Raises ConversionFailed when it answers otherwise."""
    random = np.random.default_rng(0)
    sample = frame.take(np.sort(random.choice(frame.rows, min(PROOF_ROWS, frame.rows), replace=False)))
    table = sample.to_arrow()
    names = _names(package.signature, model, sample)
    judge = _Judge(_in_order(package, model, names), model, names)
    if _without_nulls(table).num_rows < table.num_rows and (judge.refuses_nulls or judge.original(table) is None):
        judge.refuses_nulls, table = True, _without_nulls(table)
    if table.num_rows and judge.original(table) is None:
        raise ConversionFailed(f"{judge.why}: fit it on frame.X, or on frame.to_pandas()")
    judge.compare(table, "rows")
    judge.compare_labels(table)
    if not judge.refuses_nulls:
        judge.try_nulls(_with_nulls(table, random), has_nulls=_without_nulls(frame.to_arrow()).num_rows < frame.rows)
    judge.try_unseen(_with_unseen(table, package.signature.inputs))
    judge.try_words(_with_other_letters(table, package.signature.inputs))
    judge.compare(_at_thresholds(table, package, thresholds, random), "threshold_rows")
    return judge.verdict()


def _names(signature: Signature, model: Any, sample: Frame) -> dict[str, str]:
    """Which class each of the model's own labels is. Labels that can be names and numbers are what fits the data."""
    classes, labels = signature.classes, own_labels(model)
    if signature.task == "regression" or not labels:
        return {}
    numbers_first = False
    if sample.label and may_be_either(labels, classes):
        told = said(model, signature, sample.to_arrow()) or []
        by_number = sum(t == str(int(y)) for t, y in zip(told, sample.y, strict=False))
        numbers_first = by_number >= sum(t == classes[int(y)] for t, y in zip(told, sample.y, strict=False))
    return named(labels, classes, numbers_first=numbers_first)


def _in_order(package: Package, model: Any, names: Mapping[str, str]) -> Package:
    """The package, with a note where the model has the classes in another order than the signature."""
    if not names:
        return package
    classes, labels = package.signature.classes, own_labels(model)
    if is_onnx(model) and gives_maps(model):
        if named(labels, classes) != names:
            raise ConversionFailed("its maps have numbers of classes that are names of other classes: leave ZipMap out")
        return package
    places = places_of(labels, names, classes)
    if places == list(range(len(classes))):
        return package
    return replace(package, notes={**package.notes, NOTE: places})


class _Judge:
    def __init__(self, package: Package, model: Any, names: Mapping[str, str]) -> None:
        self._package, self._model, self._names = package, model, names
        self._loaded: Scored = package.load()
        self.refuses_nulls = bool(package.notes.get("refuses_nulls"))
        self.refuses_unseen = False
        self.why = ""
        self._difference, self._compared = 0.0, dict[str, int]()

    def original(self, table: pa.Table) -> Scores | None:
        """What the object answers; None, with `why`, when it refuses."""
        try:
            return original(self._model, self._package.signature, table, self._names)
        except Exception as error:  # noqa: BLE001 (what a user's object raises is its answer to these rows)
            self.why = f"the {type(self._model).__name__} does not take these rows: {str(error)[:200]}"
            return None

    def difference(self, table: pa.Table) -> float:
        """The largest difference; infinite where only one of the two answers."""
        expected = self.original(table)
        try:
            got = self._loaded.score(self._loaded.encode(_columns(table)))
        except SignatureMismatch:
            return 0.0 if expected is None else np.inf
        if expected is None or expected.shape != got.shape:
            return np.inf
        if not expected.size:
            return 0.0
        scale = max(1.0, float(np.nanmax(np.abs(expected), initial=0.0)))
        apart = np.where(np.isnan(expected) & np.isnan(got), 0.0, np.abs(expected - got))
        return float(np.nan_to_num(apart, nan=np.inf).max()) / scale

    def compare(self, table: pa.Table | None, what: str) -> None:
        if table is None or not table.num_rows:
            return
        found = self.difference(table)
        if not found <= TOLERANCE:
            raise ConversionFailed(
                f"the converted model answers differently (by up to {found:.3g}) from the "
                f"{type(self._model).__name__} it was made from, on {what.replace('_', ' ')}: it is not registered"
            )
        self._compared[what] = table.num_rows
        self._difference = max(self._difference, found)

    def compare_labels(self, table: pa.Table) -> None:
        """The classes are in the order of the labels that the object itself gives to rows."""
        signature = self._package.signature
        if signature.task == "regression" or not table.num_rows:
            return
        told = said(self._model, signature, table)
        if told is None:
            return
        names = self._names or {
            str(i): c for i, c in enumerate(signature.classes) if not set(told) <= {*signature.classes}
        }
        scores = self._loaded.score(self._loaded.encode(_columns(table)))
        try:
            check_said([names.get(t, t) for t in told], signature.classes, scores)
        except ConversionFailed as error:
            raise ConversionFailed(f"of the {type(self._model).__name__} it was made from: {error.message}") from None

    def try_nulls(self, table: pa.Table, *, has_nulls: bool) -> None:
        """Nulls that the object refuses, the package refuses; so it does where they differ and training had none."""
        if self.original(table) is None or (not has_nulls and not self.difference(table) <= TOLERANCE):
            self.refuses_nulls = True
        else:
            self.compare(table, "null_rows")

    def try_unseen(self, table: pa.Table | None) -> None:
        if table is None or not table.num_rows:
            return
        if self._package.notes.get("takes") == "columns":
            if self.original(table) is None:
                self.refuses_unseen = True
            else:
                self.compare(table, "unseen_rows")
        elif not self.refuses_nulls:  # a matrix has NaN for both
            self.compare(table, "unseen_rows")

    def try_words(self, table: pa.Table | None) -> None:
        """Words of other alphabets, where the model reads texts itself."""
        if table is None or self._package.notes.get("takes") != "columns" or self.original(table) is None:
            return
        if not self.difference(table) <= TOLERANCE:
            raise ConversionFailed(
                f"the converted {type(self._model).__name__} splits texts with letters outside English, or with "
                "capitals, into other words: use the token_pattern of scikit-learn, or count words before training"
            )
        self.compare(table, "text_rows")

    def verdict(self) -> Package:
        notes = {**self._package.notes, "parity": {**self._compared, "largest_difference": self._difference}}
        notes |= {"refuses_nulls": True} if self.refuses_nulls else {}
        notes |= {"refuses_unseen": True} if self.refuses_unseen else {}
        return replace(self._package, notes=notes)


# -- rows ------------------------------------------------------------------------------------------------------------


def _columns(table: pa.Table) -> Columns:
    return {name: table.column(name) for name in table.column_names}


def _without_nulls(table: pa.Table) -> pa.Table:
    keep = np.ones(table.num_rows, bool)
    for column in table.columns:
        null = column.is_null(nan_is_null=True) if pa.types.is_floating(column.type) else column.is_null()
        keep &= ~null.to_numpy()
    return table.filter(pa.array(keep))


def _with_nulls(table: pa.Table, random: np.random.Generator) -> pa.Table:
    """Rows with a null in one column each."""
    rows = table.slice(0, HARD_ROWS)
    if not rows.num_rows or not rows.num_columns:
        return rows
    place = np.arange(rows.num_rows) % rows.num_columns
    random.shuffle(place)
    columns = []
    for index, column in enumerate(rows.columns):
        values = column.to_pylist()
        nulled = [None if place[row] == index else value for row, value in enumerate(values)]
        columns.append(pa.array(nulled, column.type))
    return pa.table(columns, names=rows.column_names)


def _with_unseen(table: pa.Table, inputs: Sequence[Any]) -> pa.Table | None:
    """Rows with a category that was never seen, in one column after the other."""
    names = [c.name for c in inputs if c.datatype == "BYTES"]
    if not names:
        return None
    parts = []
    for name in names:
        rows = table.slice(0, max(1, HARD_ROWS // len(names)))
        index = rows.column_names.index(name)
        kind = rows.column(name).type
        parts.append(rows.set_column(index, name, pa.array([UNSEEN] * rows.num_rows, kind)))
    return pa.concat_tables(parts)


def _with_other_letters(table: pa.Table, inputs: Sequence[Any]) -> pa.Table | None:
    """Rows whose texts have letters of other alphabets, marks and capitals beside the words that they had."""
    names = [c.name for c in inputs if c.datatype == "BYTES"]
    if not names or not table.num_rows:
        return None
    rows = table.slice(0, HARD_ROWS)
    for name in names:
        index, made = rows.column_names.index(name), list[str]()
        for place, text in enumerate(rows.column(name).to_pylist()):
            words = (text or UNSEEN).split() or [UNSEEN]
            pairs = (_GLUED[(place + i) % len(_GLUED)].format(a, b) for i, (a, b) in enumerate(pairwise([*words, "É"])))
            made.append(" ".join(pairs).upper() if place % 4 == 3 else " ".join(pairs))
        rows = rows.set_column(index, name, pa.array(made, rows.column(name).type))
    return rows


def _at_thresholds(
    table: pa.Table, package: Package, thresholds: Thresholds, random: np.random.Generator
) -> pa.Table | None:
    """Rows at the thresholds of trees and beside them: a conversion that rounds goes wrong there."""
    inputs = package.signature.inputs
    columns = [i for i, c in enumerate(package.signature.owners)]
    usable = [(f, t) for f, t in thresholds if f < len(columns) and package.signature.owners[f].datatype != "BYTES"]
    if not usable or not table.num_rows or len(columns) != len(inputs):
        return None
    chosen = random.choice(len(usable), min(THRESHOLDS_MAX, len(usable)), replace=False)
    rows = table.take(pa.array(random.integers(0, table.num_rows, 3 * len(chosen))))
    cells = {n: rows.column(n).to_pylist() for n in rows.column_names}
    for place, pick in enumerate(chosen):
        feature, threshold = usable[pick]
        near = (threshold, np.nextafter(threshold, np.inf), np.nextafter(threshold, -np.inf))
        for offset, value in enumerate(near):
            cells[inputs[feature].name][3 * place + offset] = float(value) if abs(value) > NEAR_ZERO else 0.0
    kinds = {n: pa.float64() if c.datatype != "BYTES" else rows.column(n).type for n, c in _by_name(inputs).items()}
    return pa.table({n: pa.array(cells[n], kinds[n]) for n in rows.column_names})


def _by_name(inputs: Sequence[Any]) -> dict[str, Any]:
    return {c.name: c for c in inputs}
