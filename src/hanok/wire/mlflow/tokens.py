"""Page tokens: opaque to clients, and checked when they come back."""

from __future__ import annotations

import base64
import binascii
import math

import msgspec

from hanok.core.tracking import Metric
from hanok.wire.mlflow.decode import invalid_value


class _Offset(msgspec.Struct, frozen=True):
    offset: int


class _After(msgspec.Struct, frozen=True):
    step: int
    timestamp: int
    value: float | str


def offset_token(offset: int | None) -> str:
    """ "" for the last page."""
    return "" if offset is None else _packed(_Offset(offset))


def offset_of(token: str) -> int:
    """Raises Invalid for a token that is not ours."""
    if not token:
        return 0
    try:
        offset = msgspec.json.decode(base64.b64decode(token, validate=True), type=_Offset).offset
    except (binascii.Error, ValueError):
        raise invalid_value("page_token", token, "it is not a token that this server gave out") from None
    return max(offset, 0)


def history_token(point: Metric) -> str:
    """The place after `point` in a metric's history."""
    value = point.value if math.isfinite(point.value) else repr(point.value)
    return _packed(_After(point.step, point.timestamp_ms, value))


def after_of(key: str, token: str) -> Metric | None:
    """Raises Invalid for a token that is not ours."""
    if not token:
        return None
    try:
        after = msgspec.json.decode(base64.b64decode(token, validate=True), type=_After)
        return Metric(key, float(after.value), after.timestamp, after.step)
    except (binascii.Error, ValueError):
        raise invalid_value("page_token", token, "it is not a token that this server gave out") from None


def _packed(content: msgspec.Struct) -> str:
    return base64.b64encode(msgspec.json.encode(content)).decode()
