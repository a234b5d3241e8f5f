"""Request bytes or query to a Struct of requests.py, with MLflow's words for what is wrong.

The first try is one typed pass of msgspec. Only when it fails is the body read again leniently, as proto-JSON allows:
null means absent, bare NaN is a number, a doubly encoded body is decoded twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, TypeVar, get_origin, get_type_hints

import msgspec
import orjson

from hanok.core.errors import Invalid

R = TypeVar("R", bound=msgspec.Struct)
_AT = re.compile(r" - at `\$\.?(.*)`$")
_MISSING = re.compile(r"Object missing required field `(\w+)`")


NUL = rb"\u0000"  # as JSON writes it


def decode_body(kind: type[R], body: bytes, path: Mapping[str, str] | None = None) -> R:
    """Raises Invalid. `path` holds the fields that stand in the URL."""
    if body and not path and NUL not in body:
        try:
            return _decoder(kind).decode(body)
        except msgspec.MsgspecError:
            pass  # said again below, in the protocol's words
    return _convert(kind, {**_lenient(body), **(path or {})})


@lru_cache
def _decoder(kind: type[R]) -> msgspec.json.Decoder[R]:
    return msgspec.json.Decoder(kind, strict=False)


def decode_query(kind: type[R], query: Iterable[tuple[str, str]], path: Mapping[str, str] | None = None) -> R:
    """A GET request: repeated fields are lists even when given once. Raises Invalid."""
    hints = get_type_hints(kind)
    fields: dict[str, Any] = {}
    for name, value in query:
        if name in hints and get_origin(hints[name]) is tuple:
            fields.setdefault(name, []).append(value)
        else:
            fields[name] = value
    return _convert(kind, {**fields, **(path or {})})


def invalid_value(path: str, value: object, why: str) -> Invalid:
    shown = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return Invalid(f"Invalid value {shown[:500]} for parameter '{path}' supplied: {why}")


def missing_value(path: str) -> Invalid:
    return Invalid(f"Missing value for required parameter '{path}'.")


def _lenient(body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    try:
        fields = json.loads(body)
        if isinstance(fields, str):
            fields = json.loads(fields)
    except (ValueError, RecursionError):
        raise Invalid("the request body is not JSON") from None
    if fields is None:
        return {}
    if not isinstance(fields, dict):
        raise Invalid(f"the request body is a JSON {type(fields).__name__}; an object is needed")
    try:
        orjson.dumps(fields)
    except TypeError:
        raise Invalid("the request body holds text or numbers that have no UTF-8 or 64-bit form") from None
    if NUL in body and _has_nul(fields):
        raise Invalid("the request body holds a NUL character, which no name or value may have")
    return {key: _without_nulls(value) for key, value in fields.items() if value is not None}


def _has_nul(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_nul(key) or _has_nul(inner) for key, inner in value.items())
    if isinstance(value, list):
        return any(map(_has_nul, value))
    return isinstance(value, str) and "\0" in value


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value


def _convert(kind: type[R], fields: Mapping[str, Any]) -> R:
    try:
        return msgspec.convert(fields, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _said(str(error), fields) from None


def _said(text: str, fields: Mapping[str, Any]) -> Invalid:
    """msgspec's finding in the protocol's words."""
    where = _AT.search(text)
    path = where[1] if where else ""
    finding = text[: where.start()] if where else text
    missing = _MISSING.match(finding)
    if missing:
        return missing_value(f"{path}.{missing[1]}" if path else missing[1])
    value = _value_at(fields, path)
    if path == "version" and isinstance(value, str) and not value.isdecimal():
        return Invalid(f"Parameter 'version' must be an integer, got {value[:200]!r}.")
    if value == "" and "length >= 1" in finding:
        return missing_value(path)
    return invalid_value(path, value, f"{finding} (the value is of type '{type(value).__name__}')")


def _value_at(fields: Any, path: str) -> Any:
    value = fields
    for step in re.findall(r"[^.\[\]]+", path):
        try:
            value = value[int(step)] if isinstance(value, list) else value[step]
        except (KeyError, IndexError, ValueError, TypeError):
            return None
    return value
