"""Columns of source rows as both sides read them: instants, entities, numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hanok.compute.duck import arrow, connect, quoted
from hanok.compute.keys import key_type
from hanok.compute.windows import NO_NUMBER
from hanok.core.declare import FeatureView
from hanok.core.errors import DeclarationError
from hanok.core.fitting import check_view
from hanok.core.keys import KeyType, KeyValue, canonical
from hanok.core.tables import BOOKKEEPING

HUGE = 38  # digits of DuckDB's widest integer
ROOM = 1 << 62
UNTIL, EVER = "_hanok_until", 1 << 62  # of a row: when a later form of it was known, in microseconds


def micros_of(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Instants as microseconds, null where null. Text and dates are read as the join reads them."""
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.timestamp("us", column.type.tz), safe=False).cast(pa.int64())
    with connect({"rows": pa.table({"i": range(len(column)), "t": column})}) as duck:
        return arrow(duck, "SELECT epoch_us(CAST(t AS TIMESTAMPTZ)) AS t FROM rows ORDER BY i").column("t")


def entity_codes(texts: Sequence[pa.ChunkedArray]) -> NDArray[np.int64]:
    """A number for each distinct entity of one table, by the spellings of its keys; -1 where one of them is null."""
    return entity_codes_of(texts, [pc.unique(t).drop_null() for t in texts])


def entity_codes_of(texts: Sequence[pa.ChunkedArray], known: Sequence[pa.Array]) -> NDArray[np.int64]:
    """Like `entity_codes`, with the values of each key that are known; -1 for others. Equal known values give equal
    numbers in every table."""
    codes, many = np.zeros(len(texts[0]), np.int64), 1
    for text, values in zip(texts, known, strict=True):
        own = pc.index_in(text, values, skip_nulls=True).fill_null(-1).cast(pa.int64()).to_numpy()
        many *= max(1, len(values))
        mixed = codes * max(1, len(values)) + own if many < ROOM else _mixed(codes, own)
        codes = np.where((codes < 0) | (own < 0), -1, mixed)
    return codes


def _mixed(codes: NDArray[np.int64], own: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers of pairs that are too many to be numbered in a row: 62 mixed bits, equal for other pairs once in 4e18."""
    bits = codes.astype(np.uint64) * np.uint64(0x9E37_79B9_7F4A_7C15) + own.astype(np.uint64)
    for by, shift in ((0xBF58_476D_1CE4_E5B9, 30), (0x94D0_49BB_1331_11EB, 27)):  # splitmix64
        bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(by)
    return ((bits ^ (bits >> np.uint64(31))) >> np.uint64(2)).astype(np.int64)


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of this type has a number in each of its cells that is not null."""
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean, pa.types.is_null)
    return any(test(kind) for test in tests)


def not_numbers(view: FeatureView, schema: pa.Schema) -> dict[str, str]:
    """The columns of a table that a view's windows want numbers of, and that are none: each with what is wanted."""
    wanted = [(c, a.function) for _, a in view.aggregate for c in (a.column, a.over) if c and a.function != "count"]
    return {c: f for c, f in wanted if c in schema.names and not is_number(_plain(schema.field(c).type))}


def check_numbers(view: FeatureView, schema: pa.Schema) -> None:
    """Raises DeclarationError for a window that wants numbers of a column that is none."""
    for column, function in not_numbers(view, schema).items():
        raise DeclarationError(
            f"feature view {view.name!r} aggregate: {function} takes numbers, and column {column!r} of table "
            f"{view.source.table!r} is {schema.field(column).type}. hk.count({column!r}) takes any column; "
            "features=[...] gives its latest value as it is; a number that is kept as text is brought in as one into a "
            f"new table, with hk.Source(..., columns={{{column!r}: 'number'}})"
        )


def check_columns(view: FeatureView, schema: pa.Schema) -> None:
    """Raises DeclarationError for a column that a view reads and its table does not have."""
    check_view(view, {view.source.table: [n for n in schema.names if n not in BOOKKEEPING]})


def no_numbers_in(view: FeatureView, rows: pa.Table) -> dict[str, str]:
    """What is to be said of columns whose values in these rows are no numbers where a view's windows take numbers."""
    said = {}
    for column, function in not_numbers(view, rows.schema).items():
        values = numbers(rows.column(column))
        if odd := np.flatnonzero(values.view(np.int64) == NO_NUMBER.view(np.int64)).tolist():
            example = str(rows.column(column)[odd[0]].as_py())[:40]
            said[column] = (
                f"{len(odd)} values of {column!r} are no numbers ({example!r}), so {function} in feature view "
                f"{view.name!r} takes them for null"
            )
    return said


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Float64 with NaN for null, and NO_NUMBER for what is there and is no number. Each cell is read by itself."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    valid, kind = column.is_valid().to_numpy(), column.type
    if is_number(kind):
        found = column.cast(pa.float64(), safe=False)
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        with connect({"rows": pa.table({"i": range(len(column)), "c": column})}) as duck:
            found = arrow(duck, "SELECT TRY_CAST(c AS DOUBLE) AS c FROM rows ORDER BY i").column("c")
    else:
        found = pa.chunked_array([pa.nulls(len(column), pa.float64())])
    made: NDArray[np.float64] = found.to_numpy(zero_copy_only=False).astype(np.float64)
    return made if is_number(kind) else np.where(valid & np.isnan(made), NO_NUMBER, made)


def as_key(value: KeyValue | bytes | None) -> KeyValue | None:
    """A cell as a key: bytes are text."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def equals(column: str, kind: pa.DataType, value: KeyValue | bytes | None) -> tuple[str, str]:
    """A test for a column, and the text that fills its question mark."""
    declared = key_type(kind, name=column)
    text = canonical(declared, as_key(value), name=column)
    if declared == KeyType.INTEGER and len(text) > HUGE:
        return f"{quoted(column)} IS NULL AND CAST(? AS VARCHAR) IS NULL", text  # wider than any column
    to = {
        KeyType.TEXT: "VARCHAR",
        KeyType.INTEGER: "HUGEINT",
        KeyType.NUMBER: "DOUBLE",
        KeyType.BOOLEAN: "BOOLEAN",
        KeyType.DATE: "DATE",
        KeyType.INSTANT: "TIMESTAMPTZ",
    }[declared]
    return f"CAST({quoted(column)} AS {to}) = CAST(? AS {to})", text
