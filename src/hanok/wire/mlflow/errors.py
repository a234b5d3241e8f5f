"""Hanok's errors as MLflow's clients expect them: {"error_code", "message"} and a status."""

from __future__ import annotations

import orjson

from hanok.core.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    HanokError,
    Invalid,
    InvalidPath,
    MissingExtra,
    NotFound,
    RunDeleted,
    RunNotFound,
    StorageFull,
    TagNotFound,
    Throttled,
    TooLarge,
    Unauthenticated,
    Unavailable,
    Unsafe,
    WebhookNotFound,
)


class NoSuchEndpoint(NotFound):
    """A path of the protocol that this server does not have."""

    code = "endpoint_not_found"


class NotOffered(HanokError):
    """A part of the protocol that this server leaves out; clients fall back when they can."""

    code, status = "not_implemented", 501


_CODES: tuple[tuple[type[HanokError], str, int], ...] = (
    (NoSuchEndpoint, "ENDPOINT_NOT_FOUND", 404),
    (NotOffered, "NOT_IMPLEMENTED", 501),
    (MissingExtra, "NOT_IMPLEMENTED", 501),
    (AlreadyExists, "RESOURCE_ALREADY_EXISTS", 400),
    (Conflict, "RESOURCE_CONFLICT", 409),
    (NotFound, "RESOURCE_DOES_NOT_EXIST", 404),
    (Unauthenticated, "UNAUTHENTICATED", 401),
    (Forbidden, "PERMISSION_DENIED", 403),
    (Throttled, "REQUEST_LIMIT_EXCEEDED", 429),
    (Unsafe, "PERMISSION_DENIED", 403),
    (TooLarge, "BAD_REQUEST", 413),
    (Unavailable, "TEMPORARILY_UNAVAILABLE", 503),
    (StorageFull, "TEMPORARILY_UNAVAILABLE", 503),
    (Invalid, "INVALID_PARAMETER_VALUE", 400),
)


def error_body(error: HanokError) -> tuple[int, bytes]:
    """HTTP status and JSON body."""
    for kind, code, status in _CODES:
        if isinstance(error, kind):
            return status, orjson.dumps({"error_code": code, "message": _words(error)})
    return error.status, orjson.dumps({"error_code": "INTERNAL_ERROR", "message": error.message})


def _words(error: HanokError) -> str:
    """The text that clients look for, where the protocol has one of its own."""
    if isinstance(error, InvalidPath):
        return "Invalid path"
    if isinstance(error, TagNotFound):
        return f"No tag with name: {error.fields.get('key', '')}"
    if isinstance(error, WebhookNotFound):
        return f"Webhook with ID {error.fields.get('webhook', '')} not found."
    if isinstance(error, RunNotFound) and "run" in error.fields:
        return f"Run with id={error.fields['run']} not found"
    if isinstance(error, RunDeleted) and "run" in error.fields:
        return f"The run {error.fields['run']} must be in the 'active' state. Current state is deleted."
    return error.message
