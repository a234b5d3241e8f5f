"""Whole columns of Arrow by the rule of `cells`: of each row its value as an input takes it, or why it is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hanok.core.errors import SignatureMismatch
from hanok.core.json import Json
from hanok.core.serving import Column
from hanok.wire.inference.cells import EXACT, Cell, Foreign, Given, exact

TYPED = b"hanok.typed"  # in a table's metadata: text in it is text, and stands for no number
CELLS = b"hanok.cells"  # in a column's metadata: each of its texts is the JSON of a value
_ARROW = {"FP64": pa.float64(), "INT64": pa.int64(), "BOOL": pa.bool_(), "BYTES": pa.string()}
_PLAIN = {"FP64": r"^-?[0-9]{1,15}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?$", "INT64": r"^-?[0-9]{1,15}$"}


@dataclass(frozen=True, slots=True)
class Read:
    """A column as an input takes it, and by row why its value is refused; such a row has no value that counts."""

    column: pa.ChunkedArray
    refused: Mapping[int, str]


def read_column(column: Column, values: pa.ChunkedArray, *, written: bool, spelled: bool = False) -> Read:
    """Values of any Arrow type for an input. `written` text comes from a file without types and may stand for a number,
    `spelled` text is the JSON of each value. Numbers stay in the type that they came in, but for decimals, which no log
    and no request holds."""
    written = written and not spelled and column.datatype != "BYTES" and pa.types.is_string(values.type)
    plain = np.zeros(len(values), bool) if spelled else _plainly(column.datatype, values, written)
    odd = np.flatnonzero(~plain)
    kept = values if _is_number(values.type) and column.datatype != "BYTES" else None
    if not len(odd):
        return Read(values.cast(_ARROW[column.datatype]) if kept is None else kept, {})
    looked = values.take(pa.array(odd)) if plain.any() else values
    cells = [None if v is None else json.loads(v) for v in looked.to_pylist()] if spelled else cells_of(looked)
    found, why = _each(column, cells, frozenset({column.name} if written else ()))
    refused = {int(odd[place]): said for place, said in why.items()}
    if kept is not None:
        return Read(kept, refused)
    kind = _ARROW[column.datatype]
    if refused and written and column.datatype == "INT64":  # as the log has had such a column: its rows are known by it
        found, kind = [None if v is None else float(v) for v in found], pa.float64()
    read = pa.array(found, kind)
    if plain.any():
        place = np.cumsum(~plain) - 1
        surely = pc.if_else(pa.array(plain), values, pa.scalar(None, values.type)).cast(kind)
        read = pc.if_else(pa.array(plain), surely, read.take(pa.array(np.maximum(place, 0))))
    return Read(read if isinstance(read, pa.ChunkedArray) else pa.chunked_array([read]), refused)


def _each(column: Column, cells: Sequence[Json], written: frozenset[str]) -> tuple[list[Cell], dict[int, str]]:
    try:
        return exact(column, Given({column.name: cells}, written=written)), {}
    except SignatureMismatch:
        pass
    found: list[Cell] = []
    refused: dict[int, str] = {}
    for row, cell in enumerate(cells):
        try:
            found += exact(column, Given({column.name: [cell]}, written=written))
        except SignatureMismatch as error:
            found.append(None)
            refused[row] = error.message
    return found, refused


def _is_number(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_null(kind))


def _plainly(datatype: str, values: pa.ChunkedArray, written: bool) -> NDArray[np.bool_]:
    """The values of which a look at all of them shows that they fit, without touching one; nulls among them."""
    kind, types = values.type, pa.types
    fits: pa.ChunkedArray | bool = False
    if types.is_null(kind):
        fits = True
    elif datatype == "BYTES":
        fits = _is_text(kind) and is_valid(values)
    elif written:
        fits = pc.match_substring_regex(values, _PLAIN[datatype]) if datatype in _PLAIN else False
    elif types.is_boolean(kind):
        fits = True
    elif types.is_integer(kind) and datatype != "BOOL":
        if datatype == "FP64" or kind.bit_width < 64:
            fits = True
        else:
            fits = pc.less_equal(values, pa.scalar(EXACT, kind))
            if types.is_int64(kind):
                fits = pc.and_(fits, pc.greater_equal(values, pa.scalar(-EXACT, kind)))
    elif (types.is_float64(kind) or types.is_float32(kind)) and datatype != "BOOL":
        numbers = values.fill_null(float("nan")).to_numpy(zero_copy_only=False)
        with np.errstate(invalid="ignore"):
            whole = (numbers == np.floor(numbers)) & (np.abs(numbers) <= EXACT)
        return np.isnan(numbers) | (np.isfinite(numbers) if datatype == "FP64" else whole)
    if isinstance(fits, bool):
        return np.full(len(values), fits)
    return fits.fill_null(True).to_numpy(zero_copy_only=False).astype(bool)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_valid(texts: pa.ChunkedArray) -> bool:
    """Whether every text is UTF-8: a file may say so of bytes that are none."""
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def cells_of(column: pa.ChunkedArray) -> list[Json]:
    """The values as a request would hold them: a NaN is none, a decimal is a number. What no request holds (times,
    bytes) is there to be refused where a model would see it."""
    column = _unwrapped(column)
    kind, types = column.type, pa.types
    if types.is_decimal(kind):
        return [None if v is None else _number(v) for v in column.to_pylist()]
    if types.is_floating(kind):  # pandas writes a missing value as NaN
        return [None if v is None or v != v else float(v) for v in column.to_pylist()]
    if types.is_integer(kind) or types.is_boolean(kind) or types.is_null(kind):
        plain: list[Json] = column.to_pylist()
        return plain
    if _is_text(kind) or types.is_nested(kind):
        try:
            found: list[Json] = column.to_pylist()
            return found
        except (ValueError, OverflowError, NotImplementedError):
            pass
    return [_one(value) for value in column]


def _unwrapped(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values beneath dictionaries, run lengths and extensions; UUIDs as text."""
    kind = column.type
    if isinstance(kind, pa.UuidType):
        return pa.chunked_array([pa.array([None if v is None else str(v) for v in column.to_pylist()], pa.string())])
    if pa.types.is_dictionary(kind):
        parts, kind = [c.dictionary.take(c.indices) for c in column.chunks], kind.value_type
    elif pa.types.is_run_end_encoded(kind):
        parts, kind = [pc.run_end_decode(c) for c in column.chunks], kind.value_type
    elif isinstance(kind, pa.BaseExtensionType):
        parts, kind = [c.storage for c in column.chunks], kind.storage_type
    else:
        return column
    return _unwrapped(pa.chunked_array(parts, kind))


def _number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def _one(value: pa.Scalar) -> Json:
    if not value.is_valid:
        return None
    try:
        held = value.as_py()
        if isinstance(held, str):
            return held
        return Foreign(str(value.type), repr(held) if isinstance(held, bytes) else str(held))
    except UnicodeDecodeError:
        text = value.as_buffer().to_pybytes().decode(errors="backslashreplace")
        return Foreign("bytes that are no UTF-8", text)
    except (ValueError, OverflowError):
        pass
    try:
        return Foreign(str(value.type), value.cast(pa.string()).as_py())
    except (pa.ArrowException, ValueError):
        return Foreign(str(value.type), "a value")
