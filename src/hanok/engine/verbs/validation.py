"""Verbs of validation: statistics against schemas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hanok.core.access import Access
from hanok.core.errors import Invalid
from hanok.engine.verbs.registry import verb
from hanok.parts.validation.schemas import validate
from hanok.parts.validation.schemas.statistics import statistics_of
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


@verb("quarantine.list", Access.READ)
def list_quarantine(app: Any, actor: str, *, table: str, limit: int = 100) -> list[dict[str, Any]]:
    """Rows set aside, the newest first: id, batch, reason, the row, and the batch in which it was replayed."""
    return list(app.validation.quarantined(table, limit=int(limit)))


@verb("quarantine.replay", Access.EDIT)
def replay_quarantine(
    app: Any,
    actor: str,
    *,
    table: str,
    ids: Sequence[int],
    changes: Mapping[str, Any] | None = None,
    allow: Sequence[str] = (),
) -> dict[str, Any]:
    """Try rows set aside again, mended by `changes`; with `allow` the schema takes the values of these columns."""
    result = app.validation.replay(table, [int(i) for i in ids], changes=changes, allow=tuple(allow), actor=actor)
    app.bus.drain()
    body = result.as_dict()
    del body["statistics"]
    return dict(body)


@verb("table.statistics", Access.READ)
def table_statistics(app: Any, actor: str, *, name: str, batch: str = "") -> dict[str, Any]:
    """The merged statistics of a table's batches (or of one) as TFDV's protobuf text."""
    state = app.validation.state(name, batch=batch or None)
    return {"name": name, "rows": state.rows, "statistics": to_text(statistics_of(state))}
