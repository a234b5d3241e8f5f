"""Feast's HTTP feature server (0.67): its requests as values, its answers as bytes.

Answers are columns, one for each name, entity keys first. NaN and infinities are text, as protobuf's JSON has them, and
instants end in Z. An error is a JSON text that holds `{"module", "class", "message"}`, of which Feast's client raises
the class again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TypeVar

import msgspec
import orjson

from hanok.core.errors import HanokError, Invalid, NotFound
from hanok.core.json import Json, JsonObject

T = TypeVar("T", bound=msgspec.Struct)
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError)
NO_TIME = "1970-01-01T00:00:00Z"
Cell = str | int | float | bool | bytes | datetime | date | Decimal | None
Columns = Mapping[str, Sequence[str | int | float | bool | None]]


class NoFeatureService(NotFound):
    code = "feature_service_not_found"


class NoPushSource(Invalid):
    """Feast answers 422."""


class NamesCollide(Invalid):
    """Two features of an answer would have one name."""


RAISED = {
    NoFeatureService: "FeatureServiceNotFoundException",
    NoPushSource: "PushSourceNotFoundException",
    NamesCollide: "FeatureNameCollisionError",
    NotFound: "FeatureViewNotFoundException",
}


class _Ask(msgspec.Struct):
    entities: dict[str, list[str | int | float | bool | None]]
    features: list[str] | None = None
    feature_service: str | None = None
    full_feature_names: bool = False
    include_feature_view_version_metadata: bool = False


class _Push(msgspec.Struct):
    push_source_name: str
    df: dict[str, list[msgspec.Raw]]
    to: str = "online"
    allow_registry_cache: bool = True
    transform_on_write: bool = True


class _Write(msgspec.Struct):
    feature_view_name: str
    df: dict[str, list[msgspec.Raw]]
    allow_registry_cache: bool = True
    transform_on_write: bool = True


class _Materialize(msgspec.Struct):
    end_ts: str | None = None
    start_ts: str | None = None
    feature_views: list[str] | None = None
    disable_event_timestamp: bool = False
    full_feature_names: bool = False
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for: `service`, or `features` like "weather:temp"; entities column by column, all of one length.
    A service counts before features, and `weather@latest:temp` is `weather:temp`."""

    features: tuple[str, ...]
    service: str
    entities: Columns
    full_names: bool
    versions: bool

    @property
    def rows(self) -> int:
        return max((len(v) for v in self.entities.values()), default=0)


@dataclass(frozen=True, slots=True)
class Pushed:
    """Rows for `name` (a push source or a feature view), column by column as JSON. `online`, `offline`: where to."""

    name: str
    columns: Mapping[str, Sequence[Json]]
    online: bool = True
    offline: bool = True


@dataclass(frozen=True, slots=True)
class Answered:
    """One column of an answer."""

    name: str
    values: Sequence[Cell]
    statuses: Sequence[str]
    event_times: Sequence[datetime | None]


def asked(body: bytes) -> Asked:
    """Raises Invalid (422, as pydantic answers)."""
    found = _read(body, _Ask)
    if not found.features and not found.feature_service:
        raise Invalid('give either `features`, like ["weather:temp"], or `feature_service`')
    if len({len(v) for v in found.entities.values()}) > 1:
        raise Invalid("the lists of `entities` have different lengths")
    return Asked(
        () if found.feature_service else tuple(f.replace("@latest:", ":") for f in found.features or ()),
        found.feature_service or "",
        found.entities,
        found.full_feature_names,
        found.include_feature_view_version_metadata,
    )


def pushed(body: bytes) -> Pushed:
    """The body of /push. Raises Invalid."""
    found = _read(body, _Push)
    if found.to not in ("online", "offline", "online_and_offline"):
        raise Invalid(
            f"{found.to!r} is not a supported push format. Please specify one of these ['online', 'offline', "
            "'online_and_offline']."
        )
    return Pushed(found.push_source_name, _columns(found.df), found.to != "offline", found.to != "online")


def written(body: bytes) -> Pushed:
    """The body of /write-to-online-store. Raises Invalid."""
    found = _read(body, _Write)
    return Pushed(found.feature_view_name, _columns(found.df))


def instants(values: Sequence[Json]) -> list[str | None]:
    """The values of a column of instants, where numbers are seconds since 1970; what is no instant stays as text."""
    return [v if v is None or isinstance(v, str) else _from_epoch(v) for v in values]


def _from_epoch(value: Json) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(ValueError, OverflowError):
            return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value)).isoformat()
    return str(value)


def materialized(body: bytes) -> tuple[str, ...]:
    """The views that /materialize and /materialize-incremental name; none: all. Raises Invalid."""
    found = _read(body, _Materialize)
    for name, text in (("start_ts", found.start_ts), ("end_ts", found.end_ts)):
        try:
            datetime.fromisoformat(text or "2000-01-01")
        except ValueError:
            raise Invalid(f"{name} is {text!r}, which is no instant") from None
    return tuple(found.feature_views or ())


def answer(keys: Columns, rows: int, found: Sequence[Answered], versions: Sequence[JsonObject] | None = None) -> bytes:
    """The answer of /get-online-features."""
    results: list[JsonObject] = [
        {
            "values": [_value(v) for v in values],
            "statuses": ["PRESENT"] * rows,
            "event_timestamps": [NO_TIME] * rows,
        }
        for values in keys.values()
    ]
    results += [
        {
            "values": [_value(v) for v in column.values],
            "statuses": list(column.statuses),
            "event_timestamps": [_instant(t) for t in column.event_times],
        }
        for column in found
    ]
    metadata: dict[str, Json] = {"feature_names": [*keys, *(c.name for c in found)]}
    if versions is not None:
        metadata["feature_view_metadata"] = list(versions)
    return orjson.dumps({"metadata": metadata, "results": results})


def refusal(error: HanokError) -> tuple[int, bytes]:
    """Status and body: a JSON text that names an error of Feast's, which its client raises again."""
    kind = next((name for one, name in RAISED.items() if isinstance(error, one)), "FeastError")
    status = 404 if isinstance(error, NotFound) else 422 if isinstance(error, Invalid) else error.status
    said = {"module": "feast.errors", "class": kind, "message": error.message}
    return status, orjson.dumps(orjson.dumps(said).decode())


def accepted(views: Sequence[str]) -> bytes:
    """The answer to what is done without being waited for."""
    return orjson.dumps({"status": "accepted", "feature_views": list(views)})


def _read(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except UNREADABLE as error:
        raise Invalid(f"the body is not what this route takes: {error}") from None


def _columns(df: Mapping[str, Sequence[msgspec.Raw]]) -> dict[str, list[Json]]:
    if len({len(v) for v in df.values()}) > 1:
        raise Invalid("the columns of `df` have different lengths")
    try:
        return {name: [msgspec.json.decode(bytes(v)) for v in values] for name, values in df.items()}
    except UNREADABLE as error:
        raise Invalid(f"`df` holds a value that cannot be kept: {error}") from None


def _value(value: Cell) -> Json:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, int) and value.bit_length() > 64:  # a key that is none, told back as it came
        return str(value)
    if isinstance(value, datetime):  # Feast's UnixTimestamp: whole seconds
        return math.floor(value.timestamp())
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _instant(at: datetime | None) -> str:
    return NO_TIME if at is None else at.isoformat().replace("+00:00", "Z")
