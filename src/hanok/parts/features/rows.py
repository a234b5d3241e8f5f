"""Columns of source rows as both sides read them: instants, entities, numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hanok.compute.duck import arrow, connect, quoted
from hanok.compute.keys import key_type
from hanok.core.keys import KeyType, KeyValue, canonical

HUGE = 38  # digits of DuckDB's widest integer
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
    codes = np.zeros(len(texts[0]), np.int64)
    for text, values in zip(texts, known, strict=True):
        own = pc.index_in(text, values, skip_nulls=True).fill_null(-1).cast(pa.int64()).to_numpy()
        codes = np.where((codes < 0) | (own < 0), -1, codes * max(1, len(values)) + own)
    return codes


def numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Float64 with NaN for null."""
    found: NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return found.astype(np.float64)


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
