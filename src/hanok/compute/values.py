"""The one table of type rules: a column of any Arrow type as INT, FLOAT, STRING, BOOL or TIMESTAMP.

What a type holds exactly is brought to it. What it cannot hold is not changed: the row is marked, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hanok.core.clock import utc
from hanok.core.errors import BadData

INSTANT = pa.timestamp("us", "UTC")
ARROW = {"INT": pa.int64(), "FLOAT": pa.float64(), "STRING": pa.string(), "BOOL": pa.bool_(), "TIMESTAMP": INSTANT}
EXACT = 1 << 53  # whole numbers up to here are exact as a float
FIRST_US, LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999  # years 1 to 9999
ZERO_FIRST = r"^[+-]?0[0-9xX]"
DIGITS_MAX, EXACT_DIGITS_MAX = 20, 310  # with the sign: of 64 bits, and of the largest float
LONG_WHOLE = r"^[+-]?[0-9]{16,}$"
ZONED = r"([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)$"
CLOCKED = r"^[^T ]+[T ].*" + ZONED
_WHOLE = re.compile(r"([+-]?\d+)(?:\.0*)?$", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d(:?\d\d(:?\d\d([.,]\d+)?)?)?\s*([Zz]|[+-]\d\d(:?\d\d)?)?)?$", re.ASCII)
_BOOLS = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}

Cell = str | int | float | bool | bytes | datetime | Decimal | None
Bad = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Brought:
    """A column in the type asked for. Rows in `bad` could not be held and are null; `reason` says why,
    `first` shows it, `remark` says what was changed and is no fault, like a fraction of a microsecond."""

    column: pa.ChunkedArray
    bad: Bad
    reason: str = ""
    first: str = ""
    remark: str = ""


def column_type(kind: pa.DataType) -> str:
    """INT, FLOAT, BOOL, TIMESTAMP, STRING, or NULL for a column without any type."""
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        kind = kind.value_type
    if isinstance(kind, pa.UuidType):
        return "STRING"
    if isinstance(kind, pa.Bool8Type):
        return "BOOL"
    if isinstance(kind, pa.BaseExtensionType):
        return column_type(kind.storage_type)
    if pa.types.is_boolean(kind):
        return "BOOL"
    if pa.types.is_integer(kind):
        return "INT"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_duration(kind):
        return "FLOAT"
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return "TIMESTAMP"
    return "NULL" if pa.types.is_null(kind) else "STRING"


def is_nested(kind: pa.DataType) -> bool:
    """Lists (views too), structs, maps, unions and intervals: more than one value a cell."""
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        kind = kind.value_type
    return bool(pa.types.is_nested(kind) or pa.types.is_union(kind) or pa.types.is_interval(kind))


def unwrapped(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values beneath dictionaries, extensions, run lengths and views; UUIDs as text, durations as seconds."""
    kind = column.type
    if pa.types.is_run_end_encoded(kind):
        column = pc.run_end_decode(column)
    elif pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    elif isinstance(kind, pa.Bool8Type):
        return pa.chunked_array([c.storage.cast(pa.bool_()) for c in column.chunks], pa.bool_())
    elif isinstance(kind, pa.UuidType):
        return pa.chunked_array([pa.array([None if v is None else str(v) for v in column.to_pylist()], pa.string())])
    elif isinstance(kind, pa.BaseExtensionType):
        column = pa.chunked_array([c.storage for c in column.chunks], kind.storage_type)
    elif pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.string())
    elif pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind) or pa.types.is_fixed_size_binary(kind):
        return column.cast(pa.binary())
    elif pa.types.is_float16(kind) or pa.types.is_float32(kind):
        return column.cast(pa.float64())
    elif pa.types.is_decimal32(kind) or pa.types.is_decimal64(kind):
        return column.cast(pa.decimal128(kind.precision, kind.scale))
    elif pa.types.is_duration(kind):
        ticks = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}[kind.unit]
        return pc.divide(column.cast(pa.int64()).cast(pa.float64(), safe=False), float(ticks))
    else:
        return column
    return unwrapped(column)


def unwrapped_columns(rows: pa.Table) -> pa.Table:
    """The table with every column in a type that kernels and SQL read alike; nested ones stay."""
    for i, field in enumerate(rows.schema):
        if is_nested(field.type):
            continue
        made = unwrapped(rows.column(i))
        if pa.types.is_decimal256(made.type):  # SQL has 38 digits
            made = made.cast(pa.float64(), safe=False)
        if made.type != field.type:
            rows = rows.set_column(i, field.name, made)
    return rows


def unviewed(rows: pa.Table) -> pa.Table:
    """The table with texts and bytes in one buffer: few kernels know Arrow's views."""
    for i, field in enumerate(rows.schema):
        if pa.types.is_string_view(field.type) or pa.types.is_binary_view(field.type):
            rows = rows.set_column(i, field.name, unwrapped(rows.column(i)))
    return rows


def flattened(rows: pa.Table) -> pa.Table:
    """`unwrapped_columns` with a column for each member of a struct, named `struct.member`. Raises BadData where
    another column has that name."""
    while any(pa.types.is_struct(f.type) for f in rows.schema):
        rows = rows.flatten()
    if twice := sorted({n for n in rows.column_names if rows.column_names.count(n) > 1}):
        raise BadData(f"the column {twice[0]!r} is there twice; rename one")
    return unwrapped_columns(rows)


def cells(rows: pa.Table) -> list[dict[str, Cell]]:
    """Each row by column; an instant that Python has no name for (nanoseconds, years beyond 9999) as text."""
    columns = [_listed(c) for c in rows.columns]
    return [dict(zip(rows.column_names, row, strict=True)) for row in zip(*columns, strict=True)]


def _listed(column: pa.ChunkedArray) -> list[Cell]:
    try:
        found: list[Cell] = column.to_pylist()
    except (ValueError, OverflowError):
        text = _cast(column, pa.string())
        found = [_as_py(v) for v in column] if text is None else text.column.to_pylist()
    return found


def plain(name: str, column: pa.ChunkedArray) -> Brought:
    """A column that no schema knows yet, in the type that holds its values: text where numbers would lose digits.

    Raises BadData for what no column can hold: nested values, bytes that are no text.
    """
    if is_nested(column.type):
        raise BadData(f"column {name!r} is {column.type}: nested columns are not supported; flatten it first")
    came, column = column.type, unwrapped(column)
    kind = column_type(column.type)
    if pa.types.is_decimal(column.type) and column.type.scale <= 0:
        kind = "INT"
    if kind == "NULL":
        return Brought(column.cast(pa.string()), _none(column))
    made = bring(column, kind)
    if kind == "INT" and made.bad.any():
        text = bring(column, "STRING")
        return Brought(text.column, text.bad, remark="is kept as text: as a 64-bit number it would lose digits")
    if kind == "STRING" and made.bad.any():
        raise BadData(f"column {name!r} is {came} and holds bytes that are no text: encode them first, or leave it out")
    if pa.types.is_duration(came):
        return Brought(made.column, made.bad, made.reason, remark="is a duration and kept in seconds")
    return made


def bring(column: pa.ChunkedArray, kind: str) -> Brought:
    """A column in the type of its schema."""
    column = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
    if column.type == ARROW[kind]:
        return _within_years(column) if kind == "TIMESTAMP" else Brought(column, _none(column))
    if is_nested(column.type):
        return _nothing(column, kind, f"is {column.type}, which one {kind} cannot hold")
    column = unwrapped(column)
    if column.type == ARROW[kind]:
        return Brought(column, _none(column))
    if pa.types.is_null(column.type):
        return Brought(column.cast(ARROW[kind]), _none(column))
    return {"INT": _int, "FLOAT": _float, "STRING": _text, "BOOL": _bool, "TIMESTAMP": _time}[kind](column)


def _int(column: pa.ChunkedArray) -> Brought:
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return _cast(column, pa.int64()) or _each(column, "INT", _whole_in_64_bits, "is beyond 64 bits")
    if pa.types.is_floating(kind):
        values = column.to_numpy(zero_copy_only=False)
        with np.errstate(invalid="ignore"):
            bad = ~np.isnan(values) & ((values != np.floor(values)) | (np.abs(values) > EXACT))
        if not bad.any():
            return Brought(column.cast(pa.int64()) if not np.isnan(values).any() else _ints(values), bad)
        return Brought(_ints(np.where(bad, np.nan, values)), bad, "is INT and this value is not", _shown(column, bad))
    if pa.types.is_decimal(kind):
        return _cast(column, pa.int64()) or _each(
            column, "INT", _whole_in_64_bits, "has a fraction, or more than 64 bits"
        )
    if pa.types.is_string(kind):
        if not _any(column, ZERO_FIRST) and (made := _cast(column, pa.int64())) is not None:
            return made
        return _each(column, "INT", _int_of_text, "is not, or has zeros in front that would be lost")
    return _nothing(column, "INT", f"is INT and a {kind} is none")


def _ints(values: NDArray[np.float64]) -> pa.ChunkedArray:
    null = np.isnan(values)
    return pa.chunked_array([pa.array(np.where(null, 0, values).astype(np.int64), mask=null)])


def _float(column: pa.ChunkedArray) -> Brought:
    kind = column.type
    if pa.types.is_floating(kind):
        return Brought(column.cast(pa.float64()), _none(column))
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        column = column.cast(pa.int64()) if pa.types.is_boolean(kind) else column
        return _cast(column, pa.float64()) or _each(column, "FLOAT", _exact_float, "has more digits than it holds")
    if pa.types.is_decimal(kind):
        if kind.scale <= 0:
            return _each(column, "FLOAT", _exact_float, "has more digits than it holds")
        made = column.cast(pa.string()).cast(pa.float64())  # the nearest float, which a cast by division is not
        rounded = kind.precision > 15 and any(
            f is not None and Decimal(repr(f)) != d for f, d in zip(made.to_pylist(), column.to_pylist(), strict=True)
        )
        return Brought(made, _none(column), remark=f"is {kind} and rounded to 64 bits" if rounded else "")
    if pa.types.is_string(kind):
        odd = _any(column, ZERO_FIRST) or _any(column, LONG_WHOLE)
        if not odd and (made_ := _cast(column, pa.float64())) is not None:
            return made_
        return _each(column, "FLOAT", _float_of_text, "is not, or has digits that would be lost")
    return _nothing(column, "FLOAT", f"is FLOAT and a {kind} is none")


def _bool(column: pa.ChunkedArray) -> Brought:
    kind = column.type
    if pa.types.is_boolean(kind):
        return Brought(column, _none(column))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _each(column, "BOOL", _truth_of_number, "is neither true nor false")
    if pa.types.is_string(kind):
        return _each(column, "BOOL", lambda v: _BOOLS.get(str(v).strip().lower()), "is neither true nor false")
    return _nothing(column, "BOOL", f"is BOOL and a {kind} is none")


def _text(column: pa.ChunkedArray) -> Brought:
    if pa.types.is_binary(column.type):
        return _each(column, "STRING", _utf8, "is no UTF-8 text")
    return _cast(column, pa.string()) or _nothing(column, "STRING", f"is STRING and a {column.type} is none")


def _time(column: pa.ChunkedArray) -> Brought:
    kind = column.type
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return _instants(column)
    if pa.types.is_string(kind):
        zoned = pc.sum(pc.match_substring_regex(column, CLOCKED)).as_py() or 0
        present = len(column) - column.null_count
        if zoned == present and (made := _cast(column, INSTANT)) is not None:
            return _within_years(made.column)
        if not zoned and (naive := _cast(column, pa.timestamp("us"))) is not None:
            return _within_years(_in_utc(naive.column))
        return _each(column, "TIMESTAMP", time_of_text, "is not")
    return _nothing(
        column, "TIMESTAMP", "is TIMESTAMP and a number is no time: write epoch numbers as 2024-01-31T12:00:00Z"
    )


def _instants(column: pa.ChunkedArray) -> Brought:
    kind = column.type
    zone = getattr(kind, "tz", None)
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        null = column.is_null().to_numpy(zero_copy_only=False)
        ticks = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        cut = "is cut to microseconds" if (ticks % 1000).any() else ""
        return Brought(pa.chunked_array([pa.array(ticks // 1000, mask=null).cast(INSTANT)]), _none(column), remark=cut)
    made = _cast(column, pa.timestamp("us", zone))
    if made is None:  # beyond what microseconds reach
        return _each(column, "TIMESTAMP", _instant_or_none, "is before year 1 or after 9999")
    return _within_years(made.column.cast(INSTANT) if zone else _in_utc(made.column))


def _within_years(column: pa.ChunkedArray) -> Brought:
    """A time that a calendar has: years 1 to 9999."""
    ticks = column.cast(pa.int64())
    ends = pc.min_max(ticks)
    low, high = ends["min"].as_py(), ends["max"].as_py()
    if low is None or (low >= FIRST_US and high <= LAST_US):
        return Brought(column, _none(column))
    good = pc.and_(pc.greater_equal(ticks, FIRST_US), pc.less_equal(ticks, LAST_US)).fill_null(True)
    bad = ~good.to_numpy(zero_copy_only=False)
    made = pc.if_else(good, column, pa.scalar(None, INSTANT))
    return Brought(
        made, bad, "is TIMESTAMP, of the years 1 to 9999, and this value is not", _shown(column.cast(pa.int64()), bad)
    )


def _in_utc(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.int64()).cast(INSTANT)


# -- one value -----------------------------------------------------------------------------------------------------


def _int_of_text(value: Cell) -> int | None:
    found = _WHOLE.match(str(value).strip())
    if found is None or re.match(ZERO_FIRST, found[1]) or len(found[1]) > DIGITS_MAX:
        return None
    return _whole_in_64_bits(int(found[1]))


def _whole_in_64_bits(value: Cell) -> int | None:
    if not isinstance(value, int | Decimal) or value != int(value):
        return None
    return int(value) if -(1 << 63) <= value < 1 << 63 else None


def _truth_of_number(value: Cell) -> bool | None:
    return None if value not in (0, 1) else value == 1


def _exact_float(value: Cell) -> float | None:
    if not isinstance(value, int | Decimal):
        return None
    return float(value) if int(float(value)) == value else None


def _float_of_text(value: Cell) -> float | None:
    text = str(value).strip()
    if re.match(ZERO_FIRST, text) or "_" in text or not text.isascii():
        return None
    if re.match(LONG_WHOLE, text) and len(text) > EXACT_DIGITS_MAX:
        return None
    try:
        return _exact_float(int(text)) if re.match(LONG_WHOLE, text) else float(text)
    except (ValueError, InvalidOperation):
        return None


def time_of_text(value: Cell) -> datetime | None:
    """An instant of ISO 8601 (a date at midnight; without a zone in UTC), or None."""
    text = str(value).strip()
    if _TIME.match(text) is None:
        return None
    try:
        return utc(datetime.fromisoformat(text[:11] + text[11:].replace(" ", "").replace(",", ".")))
    except (ValueError, OverflowError):
        return None


def _instant_or_none(value: Cell) -> datetime | None:
    return utc(value) if isinstance(value, datetime) else None


def _utf8(value: Cell) -> str | None:
    try:
        return value.decode() if isinstance(value, bytes) else None
    except UnicodeDecodeError:
        return None


# -- helpers -------------------------------------------------------------------------------------------------------


def _none(column: pa.ChunkedArray) -> Bad:
    return np.zeros(len(column), bool)


def _any(column: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(column, pattern)).as_py())


def _cast(column: pa.ChunkedArray, target: pa.DataType) -> Brought | None:
    """The column cast without loss, or None."""
    try:
        return Brought(column.cast(target), _none(column))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def _nothing(column: pa.ChunkedArray, kind: str, reason: str) -> Brought:
    bad = ~column.is_null().to_numpy(zero_copy_only=False)
    return Brought(
        pa.chunked_array([pa.nulls(len(column), ARROW[kind])]), bad, reason, _shown(column, bad) if bad.any() else ""
    )


def _each(column: pa.ChunkedArray, kind: str, read: Callable[[Cell], Cell], said: str) -> Brought:
    """Read value by value, each different value once."""
    codes = column.combine_chunks().dictionary_encode()
    codes = codes.combine_chunks() if isinstance(codes, pa.ChunkedArray) else codes
    try:
        values = codes.dictionary.to_pylist()
    except (ValueError, OverflowError):  # an instant that Python has no name for
        values = [_as_py(v) for v in codes.dictionary]
    taken = [None if v is None or v != v else read(v) for v in values]
    made = pa.array(taken, ARROW[kind]).take(codes.indices)
    missing = column.is_null(nan_is_null=pa.types.is_floating(column.type)).to_numpy(zero_copy_only=False)
    bad = made.is_null().to_numpy(zero_copy_only=False) & ~missing
    if not bad.any():
        return Brought(pa.chunked_array([made]), bad)
    return Brought(pa.chunked_array([made]), bad, f"is {kind} and this value {said}", _shown(column, bad))


def _as_py(value: pa.Scalar) -> Cell:
    try:
        made: Cell = value.as_py()
    except (ValueError, OverflowError):
        return ""
    return made


def _shown(column: pa.ChunkedArray, bad: Bad) -> str:
    try:
        return repr(column[int(np.flatnonzero(bad)[0])].as_py())[:60]
    except (ValueError, OverflowError):
        return "this value"
