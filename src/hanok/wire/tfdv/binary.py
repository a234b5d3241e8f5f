"""Protocol buffers' wire format for the messages of TFDV (https://protobuf.dev/programming-guides/encoding)."""

from __future__ import annotations

import struct
from typing import Any

from hanok.core.errors import Unreadable
from hanok.wire.protobuf import DEPTH_MAX, FIXED32, FIXED64, LENGTH, VARINT, take_varint, varint, wire_fields
from hanok.wire.tfdv.messages import Field, Message, enum_named, is_message


def to_bytes(message: Message) -> bytes:
    """A message on the wire, fields in the order of their numbers, unknown ones last as they came."""
    parts: list[bytes] = []
    for field, value in message.fields():
        for one in value if field.repeated else [value]:
            parts.append(_encoded(field, one))
    return b"".join(parts) + message.unknown


def from_bytes(kind: str, data: bytes) -> Message:
    """Read a message. Raises Unreadable when the bytes are cut off or no message of this kind."""
    made = Message(kind)
    _read(made, memoryview(data), 0)
    return made


def _encoded(field: Field, value: Any) -> bytes:
    if is_message(field):
        raw = to_bytes(value)
        return _tag(field, LENGTH) + varint(len(raw)) + raw
    if field.type in ("string", "bytes"):
        raw = value if isinstance(value, bytes) else value.encode()
        return _tag(field, LENGTH) + varint(len(raw)) + raw
    if field.type == "double":
        return _tag(field, FIXED64) + struct.pack("<d", value)
    if field.type == "float":
        return _tag(field, FIXED32) + struct.pack("<f", value)
    enum = enum_named(field.type)
    number = (enum[value] if value in enum else int(value)) if enum is not None else int(value)
    return _tag(field, VARINT) + varint(number & 0xFFFFFFFFFFFFFFFF)


def _tag(field: Field, wire: int) -> bytes:
    return varint(field.number << 3 | wire)


def _read(into: Message, data: memoryview, depth: int) -> None:
    if depth > DEPTH_MAX:
        raise Unreadable(f"the message is nested deeper than {DEPTH_MAX} levels")
    for number, wire, raw, start, end in wire_fields(into.kind.name, data):
        field = into.kind.by_number.get(number)
        if field is None or not _fits(field, wire):
            into.unknown += bytes(data[start:end])
        else:
            _keep(into, field, wire, raw, depth)


def _fits(field: Field, wire: int) -> bool:
    if is_message(field) or field.type in ("string", "bytes"):
        return wire == LENGTH
    own = {"double": FIXED64, "float": FIXED32}.get(field.type, VARINT)
    return wire == own or (field.repeated and wire == LENGTH)


def _keep(into: Message, field: Field, wire: int, raw: Any, depth: int) -> None:
    if is_message(field):
        inner = into[field.name] if not field.repeated and into.has(field.name) else Message(field.type)
        _read(inner, raw, depth + 1)
        values = [inner]
    elif field.type in ("string", "bytes") or wire != LENGTH:
        values = [_scalar(into, field, raw)]
    else:  # packed
        values, at = [], 0
        size = {"double": 8, "float": 4}.get(field.type, 0)
        while at < len(raw):
            if size:
                one, at = raw[at : at + size], at + size
            else:
                one, at = take_varint(raw, at)
            values.append(_scalar(into, field, one))
    if field.repeated:
        into.set(field.name, [*into[field.name], *values])
    elif values:
        into.set(field.name, values[-1])


def _scalar(into: Message, field: Field, raw: Any) -> Any:
    try:
        if field.type == "string":
            return bytes(raw).decode()
        if field.type == "bytes":
            return bytes(raw)
        if field.type in ("double", "float"):
            return struct.unpack("<d" if field.type == "double" else "<f", raw)[0]
    except (UnicodeDecodeError, struct.error) as error:
        raise Unreadable(f"{into.kind.name}.{field.name} cannot be read: {error}") from None
    if field.type == "bool":
        return bool(raw)
    signed = raw - (1 << 64) if raw >> 63 and field.type not in ("uint64", "uint32") else raw
    enum = enum_named(field.type)
    if enum is not None:
        return next((name for name, value in enum.items() if value == signed), signed)
    return signed
