"""Verbs of validation: statistics against schemas."""

from __future__ import annotations

from typing import Any

from hanok.core.access import Access
from hanok.core.errors import Invalid
from hanok.engine.verbs.registry import verb
from hanok.parts.validation.schemas import validate
from hanok.wire.tfdv import Message, from_text, to_text


@verb("validation.statistics", Access.USE)
def validate_statistics(
    app: Any,
    actor: str,
    *,
    statistics: str,
    schema: str,
    environment: str | None = None,
    previous: str | None = None,
    serving: str | None = None,
    previous_version: str | None = None,
    **others: Any,
) -> dict[str, Any]:
    """Hold TFDV statistics to a TFDV schema (both protobuf text): anomalies by path, drift, skew, a proposed schema.

    `previous` is the base of drift, `serving` of skew, `previous_version` of the number of examples. Other members of
    the request are let through and mean nothing.
    """
    if environment is not None and not isinstance(environment, str):
        raise Invalid("environment is text, like TRAINING")
    report = validate(
        _statistics("statistics", statistics) or Message("DatasetFeatureStatisticsList"),
        _message("schema", "Schema", schema),
        environment=environment,
        previous=_statistics("previous", previous),
        serving=_statistics("serving", serving),
        previous_version=_statistics("previous_version", previous_version),
    )
    return report.as_dict() | {"proposed_schema": to_text(report.proposed)}


def _statistics(argument: str, text: Any) -> Message | None:
    return None if text is None else _message(argument, "DatasetFeatureStatisticsList", text)


def _message(argument: str, kind: str, text: Any) -> Message:
    if not isinstance(text, str):
        raise Invalid(f"{argument} is the protobuf text of a {kind}, got {type(text).__name__}")
    return from_text(kind, text, name=argument)
