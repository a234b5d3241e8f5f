"""Protocol buffers' wire format, field by field (https://protobuf.dev/programming-guides/encoding)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from hanok.core.errors import Unreadable

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
DEPTH_MAX = 100


class WireField(NamedTuple):
    """`raw` is a number for VARINT, else the bytes. The field stands at [start, end) of its message."""

    number: int
    wire: int
    raw: Any
    start: int
    end: int


def wire_fields(kind: str, data: memoryview) -> Iterator[WireField]:
    """The fields of one message in their order. Raises Unreadable naming `kind` when it is cut off or no message."""
    at = 0
    while at < len(data):
        start = at
        key, at = take_varint(data, at)
        number, wire = key >> 3, key & 7
        raw: Any
        if wire == VARINT:
            raw, at = take_varint(data, at)
        elif wire in (FIXED64, FIXED32):
            size = 8 if wire == FIXED64 else 4
            raw, at = data[at : at + size], at + size
        elif wire == LENGTH:
            size, at = take_varint(data, at)
            raw, at = data[at : at + size], at + size
        else:
            raise Unreadable(f"byte {start} of a {kind} has wire type {wire}; this is no such message")
        if at > len(data):
            raise Unreadable(f"a {kind} is cut off at byte {start}")
        yield WireField(number, wire, raw, start, at)


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def take_varint(data: memoryview, at: int) -> tuple[int, int]:
    """The number at a place and the place after it. Raises Unreadable."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise Unreadable(f"a number is cut off at byte {at}")
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
        shift += 7
