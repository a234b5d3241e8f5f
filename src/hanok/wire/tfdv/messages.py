"""Schema and statistics messages of tensorflow.metadata.v0 as plain Python objects.

A `Message` knows its kind and keeps exactly what was set, so nothing is lost between text, bytes and back. The fields
of every kind are the lines of `kinds.txt`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

PACKAGE = "tensorflow.metadata.v0."
SCALARS = {"double", "float", "int32", "int64", "uint32", "uint64", "bool", "string", "bytes"}
RANGES = {
    "int32": (-(1 << 31), (1 << 31) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
    "uint32": (0, (1 << 32) - 1),
    "uint64": (0, (1 << 64) - 1),
}
_ZEROS = {"double": 0.0, "float": 0.0, "bool": False, "string": "", "bytes": b""}
_DEFAULTS = {("DistributionConstraints", "min_domain_mass"): 1.0}


@dataclass(frozen=True, slots=True)
class Field:
    """`type` is a scalar, the name of an enum, or the name of a message kind."""

    number: int
    name: str
    type: str
    repeated: bool
    oneof: str


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    fields: dict[str, Field]
    by_number: dict[int, Field]


@cache
def _tables() -> tuple[dict[str, Kind], dict[str, dict[str, int]]]:
    kinds: dict[str, Kind] = {}
    enums: dict[str, dict[str, int]] = {}
    kind = Kind("", {}, {})
    for line in files(__package__).joinpath("kinds.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        if line.startswith(" "):
            number, name, kind_name, *oneof = line.split()
            field = Field(int(number), name, kind_name.rstrip("*"), kind_name.endswith("*"), "".join(oneof)[1:])
            kind.fields[name] = kind.by_number[field.number] = field
        elif "=" in line:
            enum, *values = line.split()
            enums[enum] = {n: int(v) for n, v in (value.split("=") for value in values)}
        else:
            kind = kinds[line] = Kind(line, {}, {})
    return kinds, enums


def kind_named(name: str) -> Kind:
    """Raises KeyError."""
    return _tables()[0][name]


def enum_named(name: str) -> dict[str, int] | None:
    """Numbers by name; None when `name` is no enum."""
    return _tables()[1].get(name)


def is_message(field: Field) -> bool:
    return field.type in _tables()[0]


class Message:
    """Fields that were set, by name: a value, a Message, or a list of them. Enums are their names.

    `unknown` keeps the bytes of fields that `kinds.txt` does not have, so they survive a round trip.
    """

    __slots__ = ("_set", "kind", "unknown")

    def __init__(self, kind: str, /, **values: Any) -> None:
        self.kind = kind_named(kind)
        self._set: dict[str, Any] = {}
        self.unknown = b""
        for name, value in values.items():
            self.set(name, value)

    def has(self, name: str) -> bool:
        return name in self._set

    def __getitem__(self, name: str) -> Any:
        """What was set, or the field's default: zero, an empty list, an empty message (not kept)."""
        if name in self._set:
            return self._set[name]
        field = self.kind.fields[name]
        if field.repeated:
            return []
        if is_message(field):
            return Message(field.type)
        if (values := enum_named(field.type)) is not None:
            return next(iter(values))
        return _DEFAULTS.get((self.kind.name, name), _ZEROS.get(field.type, 0))

    def set(self, name: str, value: Any) -> None:
        """Set a field and clear the others of its oneof."""
        field = self.kind.fields[name]
        if field.oneof:
            for other in self.kind.fields.values():
                if other.oneof == field.oneof:
                    self._set.pop(other.name, None)
        if field.type == "float":
            value = [single(v) for v in value] if field.repeated else single(value)
        self._set[name] = value

    def clear(self, name: str) -> None:
        self._set.pop(name, None)

    def sub(self, name: str) -> Message:
        """The message in a field, made when it is not there."""
        if name not in self._set:
            self.set(name, Message(self.kind.fields[name].type))
        return self._set[name]

    def add(self, name: str, /, **values: Any) -> Message:
        """Append a message to a repeated field."""
        made = Message(self.kind.fields[name].type, **values)
        self._set.setdefault(name, []).append(made)
        return made

    def which(self, oneof: str) -> str:
        """The name of the field of a oneof that is set, or ""."""
        return next((n for n in self._set if self.kind.fields[n].oneof == oneof), "")

    def fields(self) -> Iterator[tuple[Field, Any]]:
        """What is set, in the order of field numbers."""
        for field in sorted((self.kind.fields[n] for n in self._set), key=lambda f: f.number):
            yield field, self._set[field.name]

    def copy(self) -> Message:
        made = Message(self.kind.name)
        made.unknown = self.unknown
        for name, value in self._set.items():
            if isinstance(value, Message):
                made._set[name] = value.copy()
            elif isinstance(value, list):
                made._set[name] = [v.copy() if isinstance(v, Message) else v for v in value]
            else:
                made._set[name] = value
        return made

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message) or self.kind.name != other.kind.name or self.unknown != other.unknown:
            return False
        mine, theirs = ({n: v for n, v in m._set.items() if v != []} for m in (self, other))
        return mine.keys() == theirs.keys() and all(_same(mine[n], theirs[n]) for n in mine)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        inside = ", ".join(f"{n}={v!r}" for n, v in self._set.items())
        return f"{self.kind.name}({inside})"


def single(value: float) -> float:
    """The nearest 32-bit float; beyond its range an infinity."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _same(a: Any, b: Any) -> bool:
    """Equality in which NaN equals NaN, as a round trip must."""
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (a != a and b != b)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)
