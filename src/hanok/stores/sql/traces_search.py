"""A search over traces as SQL. Tags and metadata are found by primary key, links by run or prompt."""

from __future__ import annotations

from typing import Any

from hanok.core.errors import Invalid
from hanok.core.traces import NAME_TAG, SOURCE_RUN, TraceQuery
from hanok.core.tracking import All, AnyOf, Comparison, Filter, Order
from hanok.stores.sql.conditions import Bound
from hanok.stores.sql.tracking_experiments import as_key

ATTRIBUTES = {
    "request_id": "trace.id",
    "trace_id": "trace.id",
    "client_request_id": "trace.client_request_id",
    "status": "trace.state",
    "state": "trace.state",
    "timestamp": "trace.started_ms",
    "timestamp_ms": "trace.started_ms",
    "execution_time": "trace.duration_ms",
    "execution_time_ms": "trace.duration_ms",
    "end_time": "(trace.started_ms + trace.duration_ms)",
    "end_time_ms": "(trace.started_ms + trace.duration_ms)",
}
_OF_SPAN = {"name": "s.name", "type": "s.kind", "status": "s.status", "content": "s.content"}


def matching(query: TraceQuery, bound: Bound) -> str:
    """FROM and WHERE of a query. Raises Invalid for what traces cannot be searched by."""
    keys = [key for key in map(as_key, query.experiment_ids) if key is not None]
    # index: trace_experiment_started
    return f"FROM trace WHERE trace.experiment IN ({bound.many(keys)}) AND {condition(query.filter, bound)}"


def ordering(order: list[Order], bound: Bound) -> str:
    """What has no value comes last in both directions; the newest start, then the id, break ties."""
    terms = []
    for wanted in order:
        column = _ordered_by(wanted, bound)
        terms += [
            f"CASE WHEN {column} IS NULL THEN 1 ELSE 0 END",
            f"{column} {'ASC' if wanted.ascending else 'DESC'}",
        ]
    return ", ".join([*terms, "trace.started_ms DESC", "trace.key DESC"])


def condition(wanted: Filter, bound: Bound) -> str:
    if isinstance(wanted, Comparison):
        return _comparison(wanted, bound)
    if isinstance(wanted, All):
        return "(" + (" AND ".join(condition(part, bound) for part in wanted.parts) or "1 = 1") + ")"
    assert isinstance(wanted, AnyOf)
    return "(" + (" OR ".join(condition(part, bound) for part in wanted.parts) or "1 = 0") + ")"


def pair(table: str, key: str, bound: Bound) -> str:
    """The value of a tag or a piece of metadata, or NULL."""
    return f"(SELECT p.value FROM {table} p WHERE p.trace = trace.key AND p.key = {bound.one(key)})"


def _ordered_by(wanted: Order, bound: Bound) -> str:
    if wanted.subject == "attribute":
        if wanted.key == "experiment_id":
            return "trace.experiment"
        if wanted.key == "name":
            return pair("trace_tag", NAME_TAG, bound)
        if wanted.key == "run_id":
            return pair("trace_metadata", SOURCE_RUN, bound)
        if wanted.key in ATTRIBUTES:
            return ATTRIBUTES[wanted.key]
    raise Invalid(f"Invalid order_by entity: traces cannot be ordered by {wanted.subject} {wanted.key[:80]!r}")


def _comparison(wanted: Comparison, bound: Bound) -> str:
    if wanted.subject == "attribute":
        return _attribute(wanted, bound)
    if wanted.subject in ("tag", "metadata"):
        return bound.test(pair(f"trace_{wanted.subject}", wanted.key, bound), wanted)
    if wanted.subject == "span":
        return _span(wanted, bound)
    if wanted.subject in ("feedback", "expectation"):
        return _assessment(wanted, bound)
    raise Invalid(f"Invalid entity type {wanted.subject!r}: traces have none of that kind")


def _attribute(wanted: Comparison, bound: Bound) -> str:
    key = wanted.key
    if key == "name":
        return bound.test(pair("trace_tag", NAME_TAG, bound), wanted)
    if key == "run_id":
        return _of_run(wanted, bound)
    if key == "prompt":
        name, slash, version = str(wanted.value).rpartition("/")
        if wanted.operator != "=" or not slash:
            raise Invalid("Invalid filter: prompt is compared as prompt = 'name/version'")
        held = f"l.name = {bound.one(name)} AND l.version = {bound.one(version)}"
        return f"EXISTS (SELECT 1 FROM trace_prompt l WHERE {held} AND l.trace = trace.key)"
    if key == "text":
        return _span(Comparison("span", "content", wanted.operator, wanted.value), bound)
    if key not in ATTRIBUTES:
        known = ", ".join([*ATTRIBUTES, "name", "run_id", "prompt", "text"])
        raise Invalid(f"Invalid attribute key {key[:80]!r} of traces; there are: {known}")
    return bound.test(ATTRIBUTES[key], wanted)


def _of_run(wanted: Comparison, bound: Bound) -> str:
    """A trace is of the run that made it and of those it was linked to."""
    made = bound.test(pair("trace_metadata", SOURCE_RUN, bound), wanted)
    if wanted.operator not in ("=", "IN"):
        return made
    runs = bound.test("l.run_id", wanted)
    return f"({made} OR EXISTS (SELECT 1 FROM trace_run l WHERE {runs} AND l.trace_id = trace.id))"


def _span(wanted: Comparison, bound: Bound) -> str:
    if wanted.key.startswith("attributes."):
        column = _span_attribute(wanted.key.removeprefix("attributes.").strip("`"), bound)
    elif wanted.key in _OF_SPAN:
        column = _OF_SPAN[wanted.key]
    else:
        known = ", ".join([*_OF_SPAN, "attributes.<name>"])
        raise Invalid(f"Invalid span attribute {wanted.key[:80]!r}; there are: {known}")
    if wanted.key == "content" and wanted.operator not in ("LIKE", "ILIKE"):
        raise Invalid(f"Invalid comparator {wanted.operator!r}: the text of spans is searched with LIKE and ILIKE")
    return f"EXISTS (SELECT 1 FROM span s WHERE s.trace = trace.key AND {bound.test(column, wanted)})"


def _span_attribute(name: str, bound: Bound) -> str:
    """An attribute's JSON value as text, without the quotes of a JSON string."""
    if not name or '"' in name or "\\" in name:
        raise Invalid(f"Invalid span attribute name {name[:80]!r}: not empty, and without quotes and backslashes")
    if bound.sqlite:
        path = bound.one(f'$.attributes."{name}"')
        return f"trim(json_extract(s.content, {path}), '\"')"
    return f"btrim(CAST(s.content AS json) -> 'attributes' ->> {bound.one(name)}, '\"')"


def _assessment(wanted: Comparison, bound: Bound) -> str:
    """By the JSON value: feedback.good = 'true', feedback.score = '5', feedback.tone = 'kind'."""
    found = (
        "SELECT 1 FROM assessment a WHERE a.trace = trace.key "
        f"AND a.kind = {bound.one(wanted.subject)} AND a.name = {bound.one(wanted.key)}"
    )
    if wanted.operator == "IS NULL":
        return f"NOT EXISTS ({found})"
    if wanted.operator == "IS NOT NULL":
        return f"EXISTS ({found})"
    text = "trim(a.value, '\"')" if bound.sqlite else "btrim(a.value, '\"')"
    return f"EXISTS ({found} AND {bound.test(text, wanted)})"


def limited(query: TraceQuery, bound: Bound) -> str:
    return f"LIMIT {bound.one(query.limit)} OFFSET {bound.one(query.offset)}"


def statement(columns: str, query: TraceQuery, dialect: str) -> tuple[str, dict[str, Any]]:
    bound = Bound(dialect)
    found = matching(query, bound)
    sql = f"SELECT {columns} {found} ORDER BY {ordering(list(query.order), bound)} {limited(query, bound)}"
    return sql, bound.values
