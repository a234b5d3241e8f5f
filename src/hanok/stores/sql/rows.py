"""Between SQL rows and Python values: instants as microseconds, documents as JSON text."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection

from hanok.core.clock import from_micros, micros


def to_json(value: Any) -> str:
    options = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
    try:
        return orjson.dumps(value, option=options).decode()
    except TypeError:  # half a surrogate, as undecodable file names have it, stands in no JSON
        return orjson.dumps(_encodable(value), option=options).decode()


def _encodable(value: Any) -> Any:
    """Texts with what UTF-8 cannot hold replaced."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_encodable(k): _encodable(v) for k, v in value.items()}
    return [_encodable(v) for v in value] if isinstance(value, list | tuple) else value


def from_json(text: str) -> Any:
    return orjson.loads(text)


def instant(value: datetime | None) -> int | None:
    return None if value is None else micros(value)


def moment(value: int | None) -> datetime | None:
    return None if value is None else from_micros(value)


def at(value: int) -> datetime:
    return from_micros(value)


def document(value: Mapping[str, Any]) -> str:
    return to_json(dict(value))


def driver(connection: Connection) -> Any:
    """The driver's own connection, for the statements where SQLAlchemy's text would cost more than their work."""
    return connection.connection.dbapi_connection


def marker(connection: Connection) -> str:
    """How a value is marked in driver SQL."""
    return "?" if connection.dialect.paramstyle == "qmark" else "%s"
