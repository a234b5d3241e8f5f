"""A digest of what rows say, whatever their chunks, encodings and order of columns."""

from __future__ import annotations

import hashlib
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


class Hash(Protocol):
    def update(self, data: bytes | memoryview, /) -> None: ...


_INT64_MAX = (1 << 63) - 1


def content_digest(rows: pa.Table) -> str:
    """SHA-256 of names and values in the order of the rows. A column without a value counts as one that is not there;
    widths of integers, floats and texts, and dictionaries, do not count."""
    hashed = hashlib.sha256(str(rows.num_rows).encode())
    for name in sorted(rows.column_names):
        column = rows.column(name)
        if column.null_count < len(column):
            _update(hashed, name, _plain(column))
    return hashed.hexdigest()


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _plain(column.cast(kind.value_type))
    if pa.types.is_integer(kind):
        fits = not pa.types.is_uint64(kind) or (pc.max(column).as_py() or 0) <= _INT64_MAX
        return column.cast(pa.int64()) if fits else column
    if pa.types.is_floating(kind):
        return column.cast(pa.float64())
    if pa.types.is_timestamp(kind):
        return column.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.int64())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.large_string())
    return column


def _update(hashed: Hash, name: str, column: pa.ChunkedArray) -> None:
    kind = column.type
    hashed.update(repr((name, str(kind))).encode("utf-8", "surrogatepass"))
    if not (pa.types.is_large_string(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        hashed.update(repr(column.to_pylist()).encode("utf-8", "surrogatepass"))
        return
    hashed.update(np.packbits(column.is_valid().to_numpy(zero_copy_only=False)).tobytes())
    filled = pc.fill_null(column, "" if pa.types.is_large_string(kind) else 0)
    if not pa.types.is_large_string(kind):
        values = filled.to_numpy()
        if values.dtype.kind == "f":
            values = np.where(np.isnan(values), np.nan, values)  # one NaN, whatever its bits
        hashed.update(values.tobytes())
        return
    hashed.update(pc.binary_length(filled).to_numpy().tobytes())
    for chunk in filled.chunks:
        offsets, data = chunk.buffers()[1:]
        if data is not None and len(chunk):
            bounds = np.frombuffer(offsets, np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
            hashed.update(memoryview(data)[bounds[0] : bounds[-1]])
