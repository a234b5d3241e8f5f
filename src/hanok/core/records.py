"""One codec for what one part writes and another reads: frozen dataclasses to JSON bodies and back.

A body written by an earlier version still opens: fields that are gone are left aside, fields that are new take their
default. What cannot be opened is `Corrupt`, naming kind, field and what stands there.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from functools import lru_cache
from typing import Any, ForwardRef, Generic, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from hanok.core.errors import Corrupt
from hanok.core.json import Json, JsonObject

T = TypeVar("T")
Owner = Literal["model", "table", "run", "subject", "home"]
"""Whose records they are: a registered model's, a table's, a run's, a model's or table's (alerts), or the home's."""

_OWNERS: dict[str, Owner] = {  # kinds that no `Kind` declares yet
    **dict.fromkeys(("alert", "alert-open"), "subject"),
    **dict.fromkeys(("check", "declared-schema", "proposed-schema", "replayed", "schema", "state"), "table"),
    **dict.fromkeys(
        ("benign", "concept", "drift", "estimate-day", "estimate-week", "hindsight", "labelled-day", "labels-measured"),
        "model",
    ),
    **dict.fromkeys(("measured", "performance", "rollback", "rollout", "scores", "skew", "webhook"), "model"),
    "run-writer": "run",
    **dict.fromkeys(("data-home", "doctor", "event-set-aside", "mlflow-import", "signing-key"), "home"),
}


def owner_of(kind: str) -> Owner | None:
    """Who owns the records of a kind; None for one that nobody declared."""
    return _OWNERS.get(kind)


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A kind of record: its name in the store, its dataclass, and whose it is (rights follow from the owner).

    ROLLOUT = Kind("rollout", Rollout, owner="model")
    repositories.records.put(ROLLOUT.name, model, "current", ROLLOUT.body(state), now)
    state = ROLLOUT.open(repositories.records.get(ROLLOUT.name, model, "current"))
    """

    name: str
    record: type[T]
    owner: Owner

    def __post_init__(self) -> None:
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


def to_body(record: Any) -> JsonObject:
    """A dataclass as a JSON object, field by field."""
    return {stored_name(f): to_json(getattr(record, f.name)) for f in fields(record)}


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
    named = what or record.__name__
    hints = _hints(record)  # type: ignore[arg-type]
    values = {}
    for f in fields(record):  # type: ignore[arg-type]
        name = stored_name(f)
        if name in body:
            values[f.name] = _from_json(hints[f.name], body[name], f"{named}.{name}")
        elif f.default is MISSING and f.default_factory is MISSING:
            raise Corrupt(f"a record of kind {named!r} has no {name!r}; it has {', '.join(sorted(body)) or 'nothing'}")
    return record(**values)


@lru_cache(maxsize=512)
def _hints(record: type) -> dict[str, Any]:
    return get_type_hints(record, localns={"Json": Json})  # it stands by name within itself


def _from_json(kind: Any, value: Any, where: str) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if _is_json(kind):
        return value
    if origin in (Union, types.UnionType):
        return _of_union(inner, value, where)
    if kind is Any or isinstance(kind, TypeVar | str) or origin is Literal:
        return value
    if value is None and kind is not type(None):
        raise Corrupt(f"{where} is null; it must be {getattr(kind, '__name__', kind)}")
    try:
        if origin is not None:
            return _of_collection(origin, inner, value, where)
        if is_dataclass(kind):
            return from_body(kind, value, what=where)  # type: ignore[arg-type]
        if kind in (datetime, date):
            return value if isinstance(value, kind) else kind.fromisoformat(value)
        if kind is timedelta:
            return timedelta(seconds=value)
        if kind is float:
            return float(value)
        if isinstance(kind, type) and issubclass(kind, Enum):
            return kind(value)
    except (TypeError, ValueError, AttributeError) as error:
        raise Corrupt(f"{where} holds {value!r}: {error}") from None
    return value


def _is_json(kind: Any) -> bool:
    """Whether this is `Json` (or the name of it, where it stands within itself): such a value stays as it is."""
    return isinstance(kind, ForwardRef) or {str, int, float, bool, type(None)} <= set(get_args(kind))


def _of_union(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    """The first kind that the value opens as; null only where the union holds it."""
    if value is None and type(None) in kinds:
        return None
    reason = ""
    for kind in (k for k in kinds if k is not type(None)):
        plain = kind if isinstance(kind, type) else None
        if plain in (str, int, bool, float) and not isinstance(value, (int, float) if plain is float else plain):
            continue
        container = get_origin(kind)
        if isinstance(container, type) and isinstance(value, Mapping) is not issubclass(container, Mapping):
            continue
        try:
            return _from_json(kind, value, where)
        except Corrupt as error:
            reason = reason or error.message
    raise Corrupt(reason or f"{where} holds {value!r}, which it does not take")


def _of_collection(origin: Any, inner: tuple[Any, ...], value: Any, where: str) -> Any:
    if origin is tuple:
        if len(inner) == 2 and inner[1] is Ellipsis:
            return tuple(_from_json(inner[0], v, where) for v in value)
        return tuple(_from_json(k, v, where) for k, v in zip(inner, value, strict=True))
    if issubclass(origin, Mapping):
        keys = int if inner[0] is int else str
        return {keys(k): _from_json(inner[1], v, f"{where}[{k!r}]") for k, v in value.items()}
    if issubclass(origin, set | frozenset):
        return origin(_from_json(inner[0], v, where) for v in value)
    return [_from_json(inner[0], v, where) for v in value]
