"""One codec for what one part writes and another reads: frozen dataclasses to JSON bodies and back.

A body written by an earlier version still opens: fields that are gone are left aside, fields that are new take their
default. What cannot be opened is `Corrupt`, naming kind, field and what stands there.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from functools import lru_cache
from typing import Any, ForwardRef, Generic, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from hanok.core.access import Access
from hanok.core.errors import Corrupt
from hanok.core.json import Json, JsonObject

T = TypeVar("T")
Owner = Literal["model", "table", "run", "subject", "home"]
"""Whose records they are: a registered model's, a table's, a run's, a model's or table's (alerts), or the home's."""

_OWNERS: dict[str, Owner] = {  # kinds that no `Kind` declares yet
    "labelled-day": "model",
    "run-writer": "run",
    **dict.fromkeys(("data-home", "doctor", "event-set-aside", "mlflow-import", "signing-key"), "home"),
}


_NEEDS: dict[str, Access] = {}


def needed_of(kind: str) -> Access:
    """The access to its owner that writing a record of this kind asks for."""
    return _NEEDS.get(kind, Access.EDIT)


def owner_of(kind: str) -> Owner | None:
    """Who owns the records of a kind; None for one that nobody declared."""
    return _OWNERS.get(kind)


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A kind of record: its name in the store, its dataclass, and whose it is. Rights follow from the owner: who writes
    one needs the access `needs` there.

    ROLLOUT = Kind("rollout", Rollout, owner="model")
    repositories.records.put(ROLLOUT.name, model, "current", ROLLOUT.body(state), now)
    state = ROLLOUT.open(repositories.records.get(ROLLOUT.name, model, "current"))
    """

    name: str
    record: type[T]
    owner: Owner
    needs: Access = Access.EDIT

    def __post_init__(self) -> None:
        _NEEDS[self.name] = self.needs
        if _OWNERS.setdefault(self.name, self.owner) != self.owner:
            raise ValueError(f"records of kind {self.name!r} are owned by {_OWNERS[self.name]!r}, not {self.owner!r}")

    def body(self, record: T) -> JsonObject:
        """The record as JSON."""
        return to_body(record)

    def open(self, body: Mapping[str, Any] | None) -> T | None:
        """The record of a stored body; None where there is none, or an empty one. Raises Corrupt."""
        return from_body(self.record, body, what=self.name) if body else None

    def all(self, bodies: Sequence[Mapping[str, Any]]) -> list[T]:
        """The records of stored bodies, in their order, empty ones left aside. Raises Corrupt."""
        return [from_body(self.record, body, what=self.name) for body in bodies if set(body) - _STORE_KEYS]


_STORE_KEYS = {"_name", "_key", "_at"}
IF_SET: Mapping[str, bool] = {"if_set": True}
"""`field(default=None, metadata=IF_SET)`: not written while it holds its default."""


def to_body(record: Any) -> JsonObject:
    """A dataclass as a JSON object, field by field."""
    body = {}
    for attribute, name, default in _written(type(record)):  # type: ignore[arg-type]
        value = getattr(record, attribute)
        if default is MISSING or value != default:
            body[name] = to_json(value)
    return body


@lru_cache(maxsize=512)
def _written(record: type) -> tuple[tuple[str, str, Any], ...]:
    """Of each field: attribute, name in JSON, and the value that is not written."""
    places: tuple[Field[Any], ...] = fields(record)
    return tuple((f.name, stored_name(f), f.default if "if_set" in f.metadata else MISSING) for f in places)


def stored_name(place: Field[Any]) -> str:
    """The name of a field in JSON: its own, or `field(metadata={"name": "from"})` for a word that Python keeps."""
    return str(place.metadata.get("name", place.name))


def to_json(value: Any) -> Json:
    """A value of a record as JSON: instants in ISO form, durations in seconds, tuples and sets as lists."""
    if value is None or (isinstance(value, str | int | float | bool) and not isinstance(value, Enum)):
        return value
    if isinstance(value, Enum):
        return to_json(value.value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if is_dataclass(value):
        return to_body(value)
    if isinstance(value, Mapping):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, Sequence | set | frozenset):
        return [to_json(v) for v in value]
    if hasattr(value, "item"):  # a number of an array library
        return to_json(value.item())
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def from_body(record: type[T], body: Mapping[str, Any], *, what: str = "") -> T:
    """The dataclass of a JSON object. Raises Corrupt."""
    return _opened(record, body, _Where(None, what or record.__name__))


class _Where(NamedTuple):
    """A place in a body; it is spelled out when something is wrong there."""

    above: _Where | None
    step: str

    def __str__(self) -> str:
        return f"{self.above or ''}{self.step}"


_Opener = Callable[[Any, _Where], Any]


@dataclass(frozen=True, slots=True)
class _Place:
    attribute: str
    name: str
    step: str
    opener: _Opener
    required: bool


def _opened(record: type[T], body: Mapping[str, Any], where: _Where) -> T:
    values = {}
    for place in _places(record):  # type: ignore[arg-type]
        if place.name in body:
            values[place.attribute] = place.opener(body[place.name], _Where(where, place.step))
        elif place.required:
            has = ", ".join(sorted(body)) or "nothing"
            raise Corrupt(f"a record of kind {str(where)!r} has no {place.name!r}; it has {has}")
    return record(**values)


@lru_cache(maxsize=512)
def _places(record: type) -> tuple[_Place, ...]:
    hints = get_type_hints(record, localns={"Json": Json})  # it stands by name within itself
    found: tuple[Field[Any], ...] = fields(record)
    return tuple(
        _Place(
            f.name,
            stored_name(f),
            f".{stored_name(f)}",
            _opener(hints[f.name]),
            f.default is MISSING and f.default_factory is MISSING,
        )
        for f in found
    )


def _as_it_is(value: Any, where: _Where) -> Any:
    return value


@lru_cache(maxsize=2048)
def _opener(kind: Any) -> _Opener:
    """What opens a value of this type."""
    origin, inner = get_origin(kind), get_args(kind)
    if _is_json(kind) or kind is Any or isinstance(kind, TypeVar | str) or origin is Literal:
        return _as_it_is
    if origin in (Union, types.UnionType):
        return _union(inner)
    if kind is type(None):
        return _as_it_is
    if kind is float:
        return _float
    read = _collection(origin, inner) if origin is not None else _single(kind)
    named = getattr(kind, "__name__", kind)

    def opened(value: Any, where: _Where) -> Any:
        if value is None:
            raise Corrupt(f"{where} is null; it must be {named}")
        try:
            return read(value, where)
        except (TypeError, ValueError, AttributeError) as error:
            raise Corrupt(f"{where} holds {value!r}: {error}") from None

    return opened


def _float(value: Any, where: _Where) -> float:
    """JSON knows no infinity and writes it as null, and what is no number too: neither stops a record."""
    if value is None:
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise Corrupt(f"{where} holds {value!r}: {error}") from None


def _single(kind: Any) -> _Opener:
    if is_dataclass(kind):
        return lambda value, where: _opened(kind, value, where)  # type: ignore[arg-type]
    if kind in (datetime, date):
        return lambda value, where: value if isinstance(value, kind) else kind.fromisoformat(value)
    if kind is timedelta:
        return lambda value, where: timedelta(seconds=value)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return lambda value, where: kind(value)
    return _as_it_is


def _is_json(kind: Any) -> bool:
    """Whether this is `Json` (or the name of it, where it stands within itself): such a value stays as it is."""
    return isinstance(kind, ForwardRef) or {str, int, float, bool, type(None)} <= set(get_args(kind))


def _union(kinds: tuple[Any, ...]) -> _Opener:
    """The first kind that the value opens as; null only where the union holds it."""
    nullable = type(None) in kinds
    members = [(_takes(k), _opener(k)) for k in kinds if k is not type(None)]

    def opened(value: Any, where: _Where) -> Any:
        if value is None and nullable:
            return None
        reason = ""
        for takes, opener in members:
            if takes(value):
                try:
                    return opener(value, where)
                except Corrupt as error:
                    reason = reason or error.message
        raise Corrupt(reason or f"{where} holds {value!r}, which it does not take")

    return opened


def _takes(kind: Any) -> Callable[[Any], bool]:
    """Whether a value has the form of this member of a union."""
    if kind is float:
        return lambda value: isinstance(value, int | float)
    if kind in (str, int, bool):
        return lambda value: isinstance(value, kind)
    container = get_origin(kind)
    if isinstance(container, type):
        mapping = issubclass(container, Mapping)
        return lambda value: isinstance(value, Mapping) is mapping
    return lambda value: True


def _collection(origin: Any, inner: tuple[Any, ...]) -> _Opener:
    if origin is tuple and not (len(inner) == 2 and inner[1] is Ellipsis):
        openers = [_opener(k) for k in inner]
        return lambda value, where: tuple(o(v, where) for o, v in zip(openers, value, strict=True))
    if issubclass(origin, Mapping):
        key, member = int if inner[0] is int else str, _opener(inner[1])
        return lambda value, where: {key(k): member(v, _Where(where, f"[{k!r}]")) for k, v in value.items()}
    member = _opener(inner[0])
    made = origin if origin is tuple or issubclass(origin, set | frozenset) else list
    return lambda value, where: made([member(v, where) for v in value])
