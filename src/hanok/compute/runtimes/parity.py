"""The parity gate: a package answers as the object it was made from, also where conversions go wrong.

Rows of the training set do not prove trees near their thresholds, nor what is done with nulls and with text that was
never seen: those rows are made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from hanok.compute.frames import Columns, Frame, encode
from hanok.compute.runtimes import Package, Scored, Scores
from hanok.core.errors import ConversionFailed, SignatureMismatch

PROOF_ROWS = 500
HARD_ROWS = 100
THRESHOLDS_MAX = 200
TOLERANCE = 1e-4
UNSEEN = "text that was never seen in training"
Thresholds: TypeAlias = Sequence[tuple[int, float]]  # (column of the matrix, threshold)


def proven(package: Package, thresholds: Thresholds, model: Any, frame: Frame) -> Package:
    """The package, with what was compared in its notes. Raises ConversionFailed when it answers otherwise."""
    random = np.random.default_rng(0)
    sample = frame.take(np.sort(random.choice(frame.rows, min(PROOF_ROWS, frame.rows), replace=False)))
    table = sample.to_arrow()
    judge = _Judge(package, model)
    if _without_nulls(table).num_rows < table.num_rows and (judge.refuses_nulls or judge.original(table) is None):
        judge.refuses_nulls, table = True, _without_nulls(table)
    if table.num_rows and judge.original(table) is None:
        raise ConversionFailed(f"{judge.why}: fit it on frame.X, or on frame.to_pandas()")
    judge.compare(table, "rows")
    if not judge.refuses_nulls:
        judge.try_nulls(_with_nulls(table, random), has_nulls=_without_nulls(frame.to_arrow()).num_rows < frame.rows)
    judge.try_unseen(_with_unseen(table, package.signature.inputs))
    judge.compare(_at_thresholds(table, package, thresholds, random), "threshold_rows")
    return judge.verdict()


class _Judge:
    def __init__(self, package: Package, model: Any) -> None:
        self._package, self._model = package, model
        self._loaded: Scored = package.load()
        self.refuses_nulls = bool(package.notes.get("refuses_nulls"))
        self.refuses_unseen = False
        self.why = ""
        self._difference, self._compared = 0.0, dict[str, int]()

    def original(self, table: pa.Table) -> Scores | None:
        """What the object answers; None, with `why`, when it refuses."""
        try:
            return original(self._model, self._package, table)
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

    def verdict(self) -> Package:
        notes = {**self._package.notes, "parity": {**self._compared, "largest_difference": self._difference}}
        notes |= {"refuses_nulls": True} if self.refuses_nulls else {}
        notes |= {"refuses_unseen": True} if self.refuses_unseen else {}
        return replace(self._package, notes=notes)


def original(model: Any, package: Package, table: pa.Table) -> Scores:
    """What the object itself answers to rows."""
    signature = package.signature
    if type(model).__name__ == "ModelProto":  # it is served as it is
        return package.load().score(package.load().encode(_columns(table)))
    named = hasattr(model, "feature_names_in_")
    data: Any = table.to_pandas() if named else encode(signature, _columns(table))
    if type(model).__name__ == "Booster" and type(model).__module__.startswith("xgboost"):
        from xgboost import DMatrix

        data = DMatrix(data)
    if signature.task == "regression" or type(model).__name__ == "Booster":
        found = np.asarray(model.predict(data), float)
        return found if signature.task == "multiclass" else found.reshape(table.num_rows)
    probabilities = np.asarray(model.predict_proba(data), float)
    return probabilities[:, 1] if signature.task == "binary" else probabilities


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
            cells[inputs[feature].name][3 * place + offset] = float(value)
    kinds = {n: pa.float64() if c.datatype != "BYTES" else rows.column(n).type for n, c in _by_name(inputs).items()}
    return pa.table({n: pa.array(cells[n], kinds[n]) for n in rows.column_names})


def _by_name(inputs: Sequence[Any]) -> dict[str, Any]:
    return {c.name: c for c in inputs}
