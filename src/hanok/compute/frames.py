"""A training set as models see it, and the encoding between named columns and the matrix of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hanok.compute.text import is_free_text, term_counts, vocabulary
from hanok.core.errors import NotTrainable, SignatureMismatch
from hanok.core.serving import Cell, Column, Signature

if TYPE_CHECKING:
    import pandas as pd

Matrix = NDArray[np.float64]
Columns = Mapping[str, "pa.Array | pa.ChunkedArray | Sequence[Cell]"]  # raw, as they came
CATEGORIES_MAX = 1000
PREDICT_AT = "_at"
GROUP = "_group"  # of a training set: the column whose rows of one value stay on one side of a split


def signature_of(rows: pa.Table, features: Sequence[str], task: str, label: str) -> Signature:
    """Column types, the categories seen, and the classes of the label, all in sorted order."""
    inputs = []
    for name in features:
        column = rows.column(name)
        if pa.types.is_string(column.type) and is_free_text(column):
            inputs.append(Column(name, "BYTES", terms=vocabulary(column)))
        elif pa.types.is_string(column.type):
            counts = pc.value_counts(column.drop_null()).to_pylist()
            frequent = sorted(counts, key=lambda c: (-c["counts"], c["values"]))[:CATEGORIES_MAX]
            inputs.append(Column(name, "BYTES", tuple(sorted(c["values"] for c in frequent))))
        elif pa.types.is_boolean(column.type):
            inputs.append(Column(name, "BOOL"))
        elif pa.types.is_integer(column.type):
            inputs.append(Column(name, "INT64"))
        elif pa.types.is_floating(column.type):
            inputs.append(Column(name, "FP64"))
        else:
            kind = f"a date or an instant (kept as {column.type})" if pa.types.is_temporal(column.type) else column.type
            raise NotTrainable(
                f"feature {name!r} is {kind}: models take numbers, booleans and text; "
                "derive hour, weekday or age from a time in the source first"
            )
    classes: tuple[str, ...] = ()
    if task != "regression":
        classes = tuple(sorted({_class_name(v) for v in pc.unique(rows.column(label).drop_null()).to_pylist()}))
    return Signature(tuple(inputs), task, classes)


def _class_name(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def encode(signature: Signature, columns: Columns) -> Matrix:
    """A float64 matrix (rows, `signature.width`): a category becomes its number, an unknown one and nulls NaN, free
    text one column for each term.

    `columns` maps each input to an Arrow column or a Python sequence; raises SignatureMismatch naming the input that is
    missing, of another type, or of another number of rows.
    """
    if (row := _one_row(signature, columns)) is not None:
        return row
    missing = [c.name for c in signature.inputs if c.name not in columns]
    if missing:
        raise SignatureMismatch(
            f"the model needs the input {missing[0]!r}"
            + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
            + f"; it takes {', '.join(c.name for c in signature.inputs)}"
        )
    encoded = [_encoded(c, columns[c.name]) for c in signature.inputs]
    lengths = {len(e) for e in encoded}
    if len(lengths) > 1:
        raise SignatureMismatch(f"the inputs have different numbers of rows: {sorted(lengths)}")
    return np.column_stack(encoded) if encoded else np.empty((0, 0))


def _one_row(signature: Signature, columns: Columns) -> Matrix | None:
    """The matrix of one row of plain values, as nearly every request has it; None where there is more to look into."""
    found: list[float | None] = []
    for column in signature.inputs:
        values = columns.get(column.name)
        if type(values) is not list or len(values) != 1:
            return None
        value: Cell = values[0]
        kind = type(value)
        if column.datatype == "BYTES":
            if kind is not str or column.terms:
                return None
            known = column.categories
            found.append(known.index(value) if value in known else None)
        elif kind in _NUMBER:
            found.append(value)  # type: ignore[arg-type]
        else:
            return None
    try:
        return np.array([found], np.float64)  # null becomes NaN
    except OverflowError:
        return None


def _encoded(column: Column, values: Any) -> Matrix:
    arrow = isinstance(values, pa.ChunkedArray | pa.Array)
    if column.terms:
        texts = _arrow_text(column, values).to_pylist() if arrow else values
        _check_text(column, texts)
        return term_counts(column.terms, texts)
    if column.datatype == "BYTES":
        if arrow:
            codes = pc.index_in(_arrow_text(column, values), pa.array(column.categories, pa.string()))
            return codes.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        _check_text(column, values)
        place = {name: float(i) for i, name in enumerate(column.categories)}
        return np.array([place.get(v, np.nan) for v in values], np.float64)
    if arrow:
        return _arrow_numbers(column, values)
    return _numbers(column, values)


_NUMBER = {int, float, bool, type(None)}


def _numbers(column: Column, values: Sequence[Cell]) -> Matrix:
    """Python numbers, booleans and nulls, one value for each row; nothing is parsed, flattened or rounded to inf."""
    try:
        if set(map(type, values)) <= _NUMBER:
            return np.array([np.nan if v is None else v for v in values], np.float64)
        numbers = [np.nan if v is None else v for v in values]
        if all(isinstance(v, int | float | np.number | np.bool_) for v in numbers):
            return np.array(numbers, np.float64)
    except OverflowError:
        raise SignatureMismatch(f"input {column.name!r} holds a number beyond the range of 64-bit floats") from None
    odd = next(v for v in values if type(v) not in _NUMBER)
    raise SignatureMismatch(f"input {column.name!r} is {column.datatype}: {_shown(odd)} is no number")


def _arrow_numbers(column: Column, values: pa.ChunkedArray) -> Matrix:
    kind = values.type
    if not (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_null(kind)
    ):
        raise SignatureMismatch(f"input {column.name!r} is {column.datatype}; a column of {kind} does not fit")
    return values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def _arrow_text(column: Column, values: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if not (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_null(kind)
    ):
        raise SignatureMismatch(f"input {column.name!r} is text (BYTES); a column of {kind} does not fit")
    return values.cast(pa.string())


def _check_text(column: Column, values: Sequence[Cell]) -> None:
    for value in values:
        if value is not None and not isinstance(value, str):
            raise SignatureMismatch(f"input {column.name!r} is text (BYTES), got {_shown(value)}")


def _shown(value: Any) -> str:
    """A value in a message, cut short: printing an integer of thousands of digits is refused by Python itself."""
    if isinstance(value, int) and value.bit_length() > 128:
        return "an integer of more than 38 digits"
    return repr(value)[:80]


@dataclass(frozen=True)
class Frame:
    """What a `def train(frame)` is given.

    `groups` numbers rows that stay on one side of every split; None: each may lie on either. What is judged lies more
    than `gap_us` microseconds after what is learnt from, unless it is chosen `at_random`, whatever the instants.
    `X` is the float64 matrix with categories as their numbers and free text as counts of its terms
    (`signature.width` columns), `y` the label: 0/1, class numbers or
    values. `to_pandas()` and `to_arrow()` give the features as they are, with names and text.
    """

    table: pa.Table
    signature: Signature
    label: str
    at: NDArray[np.int64]
    groups: NDArray[np.int64] | None = None
    gap_us: int = 0
    at_random: bool = False

    @classmethod
    def of(cls, rows: pa.Table, features: Sequence[str], task: str, label: str) -> Frame:
        """From a training set with a `_at` column. Rows without a label are left out. Raises NotTrainable."""
        labelled = rows.filter(pc.is_valid(rows.column(label)))
        if labelled.num_rows < 10:
            raise NotTrainable(f"only {labelled.num_rows} rows have a label; a model needs at least 10")
        signature = signature_of(labelled, features, task, label)
        if task == "binary" and len(signature.classes) != 2:
            raise NotTrainable(
                f"label {label!r} has {len(signature.classes)} classes ({', '.join(signature.classes[:5])}) "
                "and a binary model needs 2: declare task='multiclass', or take a window of time that holds both"
            )
        if task == "multiclass" and len(signature.classes) < 2:
            raise NotTrainable(f"label {label!r} has one class only; there is nothing to learn")
        at = labelled.column(PREDICT_AT).cast(pa.int64()).to_numpy()
        return cls(labelled.select([*features, label]), signature, label, at)

    @property
    def task(self) -> str:
        return self.signature.task

    @property
    def features(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.signature.inputs)

    @property
    def rows(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def X(self) -> Matrix:
        return encode(self.signature, {n: self.table.column(n) for n in self.features})

    @cached_property
    def y(self) -> NDArray[np.float64]:
        return labels(self.signature, self.table.column(self.label))

    def to_arrow(self) -> pa.Table:
        return self.table.select(list(self.features))

    def to_pandas(self) -> pd.DataFrame:
        """Needs pandas installed."""
        return self.to_arrow().to_pandas()

    def take(self, indices: NDArray[np.int64]) -> Frame:
        """The rows asked for, under the same signature."""
        groups = self.groups[indices] if self.groups is not None else None
        return replace(self, table=self.table.take(pa.array(indices)), at=self.at[indices], groups=groups)

    def _repr_html_(self) -> str:
        return f"<b>{self.rows} rows</b> of {len(self.features)} features for {self.task} label <i>{self.label}</i>"


def labels(signature: Signature, column: pa.ChunkedArray) -> NDArray[np.float64]:
    """The label as numbers: values for regression, else class numbers; NaN where null or of an unseen class."""
    if signature.task == "regression":
        return column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    place = {name: float(i) for i, name in enumerate(signature.classes)}
    column = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
    found = pc.unique(column)
    numbers = np.array([np.nan if v is None else place.get(_class_name(v), np.nan) for v in found.to_pylist()], float)
    return numbers[pc.index_in(column, found).to_numpy()]


def time_split(at: NDArray[np.int64], test_us: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the rows before and within the last `test_us` microseconds, each in order of time."""
    order = np.argsort(at, kind="stable")
    cut = at.max() - test_us
    return order[at[order] <= cut], order[at[order] > cut]
