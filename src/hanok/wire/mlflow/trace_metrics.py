"""Filters of the numbers over traces: "trace.status = 'OK'", "trace.tag.env = 'prod'", "span.name = 'call'"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hanok.core.tracking import All, AnyOf, Comparison, Filter
from hanok.wire.mlflow.search import TRACES, parse_filter


def statistic_filter(filters: Sequence[str]) -> Filter:
    """All of them hold. Raises Invalid."""
    return All(tuple(_said_as_traces(parse_filter(text, TRACES)) for text in filters))


def _said_as_traces(wanted: Filter) -> Filter:
    if isinstance(wanted, All):
        return All(tuple(map(_said_as_traces, wanted.parts)))
    if isinstance(wanted, AnyOf):
        return AnyOf(tuple(map(_said_as_traces, wanted.parts)))
    assert isinstance(wanted, Comparison)
    head, dot, key = wanted.key.partition(".")
    if wanted.subject != "attribute" or not dot:
        return wanted
    if head == "tag":
        return replace(wanted, subject="tag", key=key.strip("`"))
    return replace(wanted, subject="metadata", key=key.strip("`")) if head == "metadata" else wanted
