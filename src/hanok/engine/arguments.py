"""The arguments of a verb, held to the types that it declares before it is called."""

from __future__ import annotations

import math
import operator
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

from hanok.core.clock import utc
from hanok.core.errors import Invalid
from hanok.core.json import Json

Cell: TypeAlias = str | int | float | bool | datetime | None
INT_MIN, INT_MAX = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class Between:
    """The least and the most that a whole number may be."""

    least: int
    most: int


Count: TypeAlias = Annotated[int, Between(0, 2**31 - 1)]
SHOWN = 60
DEPTH_MAX = 64
PATH_BYTES_MAX, NAME_BYTES_MAX = 4095, 255
_WORDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    datetime: "an instant, like 2013-12-31 or 2013-12-31T14:00",
    Decimal: "a number",
    date: "an instant, like 2013-12-31 or 2013-12-31T14:00",
    Path: "a path that a file system takes",
    type(None): "null",
}


def checked(what: str, kind: Any, value: Any) -> Any:
    """The value as `kind` has it: instants parsed, numbers widened, sequences as tuples.

    `kind` is a type of what JSON can say: text, numbers, bool, datetime, their unions, Sequence, Mapping[str, ...],
    Literal and Json. Raises Invalid naming `what`, what stands there and what must.
    """
    try:
        return _as(kind, value, what)
    except _Wrong as wrong:
        raise Invalid(
            f"{wrong.where} is {shown(wrong.value)}; it must be {wrong.instead or worded(wrong.kind)}"
        ) from None


def worded(kind: Any) -> str:
    """A type in words."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind == Json:
        return "any JSON"
    if origin is Annotated:
        return f"{worded(inner[0])} from {inner[1].least} to {inner[1].most}"
    if origin in (Union, types.UnionType):
        if type(None) in inner and len(inner) == 2:
            return f"{worded(next(k for k in inner if k is not type(None)))}, or null"
        return " or ".join(dict.fromkeys(worded(k) for k in inner))
    if origin is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if origin is not None and issubclass(origin, Mapping):
        return f"an object whose values are each {worded(inner[1])}"
    if origin is not None and issubclass(origin, Sequence):
        return f"a list, each of it {worded(inner[0])}"
    return _WORDS.get(kind, getattr(kind, "__name__", str(kind)))


def shown(value: Any) -> str:
    """A value for a message: short, whatever it is."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and not isinstance(value, bool) and not INT_MIN <= value <= INT_MAX:
        return "a number that is too large"
    try:
        text = repr(value)
    except (RecursionError, ValueError):
        text = f"a {type(value).__name__}"
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


class _Wrong(Exception):
    def __init__(self, where: str, kind: Any, value: Any, instead: str = "") -> None:
        super().__init__(where)
        self.where, self.kind, self.value, self.instead = where, kind, value, instead


def _as(kind: Any, value: Any, where: str) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if kind == Json:
        return _json(value, where, 0)
    if origin is Annotated:
        return _between(kind, inner[1], _as(inner[0], value, where), where)
    if origin in (Union, types.UnionType):
        return _one_of(kind, inner, value, where)
    if origin is Literal:
        if isinstance(value, str | int) and value in inner:
            return value
        raise _Wrong(where, kind, value)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise _Wrong(where, kind, value)
        return {_as(str, k, f"a name in {where}"): _as(inner[1], v, f"{where}[{shown(k)}]") for k, v in value.items()}
    if origin is not None and issubclass(origin, Sequence):
        if isinstance(value, str | bytes) or not isinstance(value, Sequence):
            raise _Wrong(where, kind, value)
        return tuple(_as(inner[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    return _scalar(kind, value, where)


def _scalar(kind: Any, value: Any, where: str) -> Any:
    if kind is bool and isinstance(value, bool):
        return value
    if kind is str and isinstance(value, str):
        return _text(value, where)
    if kind is int and not isinstance(value, bool) and hasattr(value, "__index__"):
        number = operator.index(value)
        if INT_MIN <= number <= INT_MAX:
            return number
        raise _Wrong(where, kind, value, "a whole number of at most 64 bits")
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            if math.isfinite(value):
                return float(value)
        except OverflowError:
            pass
        raise _Wrong(where, kind, value, "a finite number")
    if kind is datetime and isinstance(value, datetime | str):
        return _instant(value, where)
    if kind is Path and isinstance(value, Path | str):
        return _path(_text(str(value), where), where)
    raise _Wrong(where, kind, value)


def _one_of(kind: Any, inner: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in inner:
        return None
    if value == "" and type(None) in inner and str not in inner and {datetime, Path} & set(inner):
        return None
    kinds = [k for k in inner if k is not type(None)]
    if isinstance(value, str) and str in kinds:  # text stays text, also where it could be read as an instant
        kinds = [str]
    wrong = None
    for one in sorted(kinds, key=lambda k: k is float):  # 1 stays whole where a whole number is taken
        try:
            return _as(one, value, where)
        except _Wrong as found:
            wrong = found
    if wrong is not None and (len(kinds) == 1 or wrong.where != where):
        raise wrong
    raise _Wrong(where, kind, value)


def _between(kind: Any, bounds: Between, value: int, where: str) -> int:
    if bounds.least <= value <= bounds.most:
        return value
    raise _Wrong(where, kind, value)


def _text(value: str, where: str) -> str:
    if "\x00" in value or any("\ud800" <= c <= "\udfff" for c in value):
        raise _Wrong(where, str, value, "text without null characters and unpaired surrogates")
    return value


def is_path(text: str) -> bool:
    """Whether a file system takes it as a path."""
    long = len(text.encode()) > PATH_BYTES_MAX or any(len(p.encode()) > NAME_BYTES_MAX for p in Path(text).parts)
    return bool(text) and not long


def _path(text: str, where: str) -> Path:
    if not is_path(text):
        raise _Wrong(where, Path, text)
    return Path(text)


def _instant(value: datetime | str, where: str) -> datetime:
    try:
        return utc(datetime.fromisoformat(value) if isinstance(value, str) else value)
    except (ValueError, OverflowError):
        raise _Wrong(where, datetime, value) from None


def _json(value: Any, where: str, depth: int) -> Any:
    if depth > DEPTH_MAX:
        raise _Wrong(where, Json, "nested too deeply", f"nested at most {DEPTH_MAX} deep")
    if isinstance(value, Mapping):
        return {
            _as(str, k, f"a name in {where}"): _json(v, f"{where}[{shown(k)}]", depth + 1) for k, v in value.items()
        }
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_json(v, f"{where}[{i}]", depth + 1) for i, v in enumerate(value)]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return value
    return _as(int, value, where) if hasattr(value, "__index__") else _as(str, value, where)
