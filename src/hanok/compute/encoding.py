"""States as bytes: small enough to keep for every day and slice, quick enough to read a year of them."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from hanok.compute.sketches import Frequent, Hll, Kll
from hanok.compute.states import ColumnState, Moments, TableState
from hanok.core.errors import Corrupt

VERSION = 2  # version 1 was zlib around maps; states that earlier releases wrote stay readable
PLAIN = (
    "name", "type", "rows", "nulls", "values", "nan", "positive_infinities", "negative_infinities", "zeros",
    "negatives", "minimum", "maximum", "total", "shortest", "longest", "invalid_utf8", "per_row",
)  # fmt: skip
WIDE = ("minimum", "maximum", "total")
_plain = attrgetter(*PLAIN)
_moments = attrgetter("n", "mean", "m2", "m3", "m4")
_KINDS = {"f": pa.float64(), "i": pa.int64(), "s": pa.large_string()}
_NO_TEXT = pa.array([], pa.large_string())
_NUMPY = {"f": np.float64, "i": np.int64}


def written(state: TableState) -> bytes:
    body = msgspec.msgpack.encode([VERSION, state.rows, [_packed(c) for c in state.columns.values()]])
    return len(body).to_bytes(4, "little") + bytes(pa.compress(body, codec="zstd", asbytes=True))


def read(raw: bytes) -> TableState:
    """Raises Corrupt."""
    try:
        if raw[4:8] == b"\x28\xb5\x2f\xfd":  # zstd's magic number
            body = pa.decompress(raw[4:], int.from_bytes(raw[:4], "little"), codec="zstd", asbytes=True)
            unpacked: Callable[[Any], ColumnState] = _unpacked
        else:
            body, unpacked = zlib.decompress(raw), _unpacked_1
        version, rows, columns = msgspec.msgpack.decode(body)
        if version not in (1, VERSION):
            raise Corrupt(f"statistics of version {version}; this Hanok reads up to version {VERSION}")
        states = [unpacked(c) for c in columns]
    except (zlib.error, msgspec.DecodeError, ValueError, TypeError, KeyError, OSError) as error:
        raise Corrupt(f"stored statistics cannot be read: {error}") from None
    return TableState(rows, {c.name: c for c in states})


def _packed(c: ColumnState) -> list[Any]:
    plain = list(_plain(c))
    for name in WIDE:  # msgpack ends at 64 bits
        value = plain[i := PLAIN.index(name)]
        if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
            plain[i] = {"int": str(value)}
    levels = c.quantiles.levels
    items = np.concatenate(levels) if levels else np.empty(0)
    frequent = c.frequent.repeated()
    values = frequent.values
    kind = "f" if pa.types.is_floating(values.type) else "i" if pa.types.is_integer(values.type) else "s"
    return [
        plain,
        [*_moments(c.moments), *_moments(c.lengths)],
        [c.quantiles.n, items.dtype.kind, [len(x) for x in levels], items.tobytes()],
        c.distinct.registers.tobytes(),
        [
            kind,
            values.to_pylist() if kind == "s" else values.to_numpy(zero_copy_only=False).tobytes(),
            frequent.counts.astype(np.int64, copy=False).tobytes(),
            frequent.missed,
        ],
    ]


def _unpacked(body: list[Any]) -> ColumnState:
    plain, m, (n, kind, sizes, items), registers, (of, values, counts, missed) = body
    for i in (10, 11, 12):
        if type(plain[i]) is dict:
            plain[i] = int(plain[i]["int"])
    if plain[-1] is not None:
        plain[-1] = tuple(plain[-1])
    array = np.frombuffer(items, _NUMPY[kind])
    levels, at = [], 0
    for size in sizes:
        levels.append(array[at : at + size])
        at += size
    tallies = np.frombuffer(counts, np.int64)
    if of == "s":
        found = pa.array(values, _KINDS["s"]) if values else _NO_TEXT
    else:
        found = pa.Array.from_buffers(_KINDS[of], len(tallies), [None, pa.py_buffer(values)])
    make: Any = ColumnState
    made: ColumnState = make(
        *plain[:13],
        Moments(*m[:5]),
        Kll(n, levels),
        Hll(np.frombuffer(registers, np.uint8)),
        Frequent(found, tallies, missed),
        Moments(*m[5:]),
        *plain[13:],
    )
    return made


def _unpacked_1(body: dict[str, Any]) -> ColumnState:
    plain: dict[str, Any] = {n: int(v["int"]) if isinstance(v := body[n], dict) else v for n in PLAIN}
    state = ColumnState(**plain)
    state.per_row = None if plain["per_row"] is None else tuple(plain["per_row"])
    state.moments, state.lengths = Moments(*body["moments"]), Moments(*body["lengths"])
    n, levels = body["kll"]
    state.quantiles = Kll(n, [np.frombuffer(raw, kind) for kind, raw in levels])
    state.distinct = Hll(np.frombuffer(body["hll"], np.uint8))
    kind, values, counts, missed = body["frequent"]
    state.frequent = Frequent(pa.array(values, _KINDS[kind]), np.array(counts, np.int64), missed)
    return state
