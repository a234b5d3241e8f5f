"""One logged answer as a frame. Whatever a request held can be written and is read back as it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec


class Entry(msgspec.Struct, array_like=True, omit_defaults=False):
    """`row_id` of a shadow is the id of the answer it stands beside. `rows` were scored together in `microseconds`.

    `features` are what the version saw: only columns of its own signature, as they came.
    """

    at: int
    version: int
    arm: str
    score: float | None
    scores: list[float]
    features: dict[str, object]
    entity: dict[str, object]
    error: str = ""
    microseconds: int = 0
    row_id: str = ""
    rows: int = 1


_BIG, _TEXT, _DECIMAL = 1, 2, 3  # extension codes: an integer beyond 64 bits in hex, odd Unicode, a decimal
_ENCODABLE = (OverflowError, UnicodeEncodeError, TypeError, ValueError, RecursionError)
DEPTH_MAX = 64


def _read_extension(code: int, data: memoryview) -> object:
    if code == _BIG:
        return int(bytes(data), 16)
    if code == _TEXT:
        return bytes(data).decode("utf-8", "surrogatepass")
    if code == _DECIMAL:
        return Decimal(bytes(data).decode())
    return msgspec.msgpack.Ext(code, bytes(data))


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry, ext_hook=_read_extension).decode
_encode_values = msgspec.msgpack.Encoder().encode
_decode_values = msgspec.msgpack.Decoder(dict[str, object], ext_hook=_read_extension).decode


def encode(entry: Entry) -> bytes:
    """A frame's payload. Never fails for what a request can hold."""
    try:
        return _encode(entry)
    except _ENCODABLE:
        hard = msgspec.structs.replace(
            entry, features=_names(entry.features), entity=_names(entry.entity), error=_text(entry.error)
        )
        return _encode(hard)


def decode(payload: bytes) -> Entry:
    """Raises msgspec.DecodeError."""
    return _decode(payload)


def encode_values(values: Mapping[str, object]) -> bytes:
    """Values by name, for the column of those that no typed column can hold."""
    if any(isinstance(v, Decimal) for v in values.values()):  # which would be written as text
        return _encode_values(_names(values))
    try:
        return _encode_values(values)
    except _ENCODABLE:
        return _encode_values(_names(values))


def decode_values(payload: bytes) -> dict[str, object]:
    return _decode_values(payload)


def _names(values: Mapping[str, object]) -> dict[str, object]:
    return {_text(str(name)): _encodable(value, 0) for name, value in values.items()}


def _encodable(value: object, depth: int) -> object:
    if isinstance(value, bool | float) or value is None:
        return value
    if isinstance(value, Decimal):
        return msgspec.msgpack.Ext(_DECIMAL, str(value).encode())
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 64 else msgspec.msgpack.Ext(_BIG, f"{value:x}".encode())
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return msgspec.msgpack.Ext(_TEXT, value.encode("utf-8", "surrogatepass"))
        return value
    if depth < DEPTH_MAX:
        if isinstance(value, Mapping):
            return {_text(str(k)): _encodable(v, depth + 1) for k, v in value.items()}
        if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
            return [_encodable(v, depth + 1) for v in value]
    try:
        _encode_values(value)
    except _ENCODABLE:
        item = getattr(value, "item", None)  # a number of an array library
        return _encodable(item(), DEPTH_MAX) if callable(item) else f"{type(value).__name__} that cannot be logged"
    return value


def _text(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
