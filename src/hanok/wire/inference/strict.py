"""JSON read strictly: UTF-8, no NaN, no object that names a member twice."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NoReturn

import orjson

from hanok.core.errors import SignatureMismatch
from hanok.core.json import Json

_BOM = b"\xef\xbb\xbf"


def without_mark(body: bytes, form: str = "JSON") -> bytes:
    """The body as UTF-8 without a byte order mark. Raises SignatureMismatch."""
    if body.startswith(_BOM):
        body = body[3:]
    if not body.isascii():
        try:
            str(body, "utf-8")
        except UnicodeDecodeError as error:
            convert = "" if form == "JSON" else "; convert it, like 'iconv -f latin1 -t utf-8'"
            raise not_json(f"byte {error.start} is not UTF-8{convert}", form) from None
    if not body or body.isspace():
        raise not_json("it is empty", form)
    return body


def not_json(why: object, form: str = "JSON") -> SignatureMismatch:
    return SignatureMismatch(f"the body is not {form}: {str(why)[:200]}")


def read(body: bytes) -> Json:
    """Everything that the body says, slowly; raises SignatureMismatch for what JSON does not allow and for a member
    that is there twice."""
    huge = False
    try:
        orjson.loads(body)  # the strict reader: no half surrogates, no depth without end
    except orjson.JSONDecodeError as error:
        huge = "infinity" in str(error)  # a number beyond all floats: which column it stands in is to be said
        if not huge:
            raise not_json(error) from None
    try:
        found: Json = json.loads(body, object_pairs_hook=_once, parse_constant=_constant)
        if huge:
            json.dumps(found, ensure_ascii=False).encode()
    except RecursionError:
        raise not_json("it is nested too deep") from None
    except ValueError as error:  # JSONDecodeError, half a surrogate pair, an integer of over 4,300 digits
        raise not_json(error) from None
    return found


def _once(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise SignatureMismatch(f"{name[:200]!r} stands twice in one object; which one counts cannot be known")
            seen.add(name)
    return found


def _constant(name: str) -> NoReturn:
    raise not_json(f"{name} is no number in JSON")


def members(value: Json) -> int:
    """How many members the objects inside hold; each has one colon."""
    if isinstance(value, str):
        return value.count(":")
    if isinstance(value, Mapping):
        return len(value) + sum(name.count(":") + members(v) for name, v in value.items())
    if isinstance(value, Sequence):
        return sum(members(v) for v in value)
    return 0


def colons(texts: Sequence[object]) -> int:
    """How many colons stand in what of this is text."""
    return sum(t.count(":") for t in texts if type(t) is str)


def surely_once(body: bytes, expected: int) -> bool:
    """Whether no object names a member twice, seen by the number of colons alone. `expected` counts the members that
    were read and the colons inside their names and texts; what was dropped makes the body have more."""
    return body.count(b":") == expected and b"\\u003" not in body  # an escaped colon could make up for a second member
