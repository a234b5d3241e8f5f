"""Verbs of validation: statistics against schemas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from hanok.compute.alarms import EFFECT, Policy, judge
from hanok.compute.history import metric_of
from hanok.compute.history import strategy as named_strategy
from hanok.compute.profiling import of_state
from hanok.compute.state_drift import compare_states, of_one_kind
from hanok.compute.states import ColumnState, TableState
from hanok.compute.statistics import summary
from hanok.compute.unlike import GIVEN_OUT, ROWS_MIN, numbers_go_on
from hanok.core.access import Access
from hanok.core.errors import Invalid
from hanok.core.json import Json, JsonObject
from hanok.core.records import to_body
from hanok.engine.arguments import Cell, Count
from hanok.engine.bus import Bus
from hanok.engine.skew import Skew
from hanok.engine.verbs.registry import verb
from hanok.parts.validation.declared import Declared
from hanok.parts.validation.kept import Selected, period
from hanok.parts.validation.schemas import validate
from hanok.parts.validation.schemas.statistics import statistics_of
from hanok.parts.validation.service import Validation
from hanok.wire.tfdv import Message, from_text, to_text


@verb("validation.statistics", Access.USE, "heavy")
def validate_statistics(
    *,
    statistics: str,
    schema: str,
    environment: str | None = None,
    previous: str | None = None,
    serving: str | None = None,
    previous_version: str | None = None,
    **others: Json,
) -> JsonObject:
    """Hold TFDV statistics to a TFDV schema (both protobuf text): anomalies by path, drift, skew, a proposed schema.

    `previous` is the base of drift, `serving` of skew, `previous_version` of the number of examples. Other members of
    the request are let through and mean nothing.
    """
    report = validate(
        _statistics("statistics", statistics) or Message("DatasetFeatureStatisticsList"),
        _message("schema", "Schema", schema),
        environment=environment,
        previous=_statistics("previous", previous),
        serving=_statistics("serving", serving),
        previous_version=_statistics("previous_version", previous_version),
    )
    return report.as_dict() | {"proposed_schema": to_text(report.proposed)}


def _statistics(argument: str, text: str | None) -> Message | None:
    return None if text is None else _message(argument, "DatasetFeatureStatisticsList", text)


def _message(argument: str, kind: str, text: str) -> Message:
    return from_text(kind, text, name=argument)


@verb("quarantine.list", Access.READ, "read")
def list_quarantine(validation: Validation, *, table: str, limit: Count = 100) -> Sequence[JsonObject]:
    """Rows set aside, the newest first: id, batch, reason, the row, the batch in which it was replayed, and the one
    that brought a row with the same key since."""
    return [to_body(r) for r in validation.quarantined(table, limit=limit)]


@verb("quarantine.replay", Access.EDIT, "long")
def replay_quarantine(
    validation: Validation,
    bus: Bus,
    *,
    actor: str,
    table: str,
    ids: Sequence[Count],
    changes: Mapping[str, Cell] | None = None,
    allow: Sequence[str] = (),
    over_newer: bool = False,
) -> JsonObject:
    """Try rows set aside again, mended by `changes`; with `allow` the schema takes the values of these columns. A row
    whose key came in since is refused, unless it is to count `over_newer` ones."""
    result = validation.replay(
        table, list(ids), changes=changes, allow=tuple(allow), over_newer=over_newer, actor=actor
    )
    bus.settle()
    body = result.as_dict()
    del body["statistics"]
    return dict(body)


@verb("schema.show", Access.READ, "read")
def show_schema(validation: Validation, *, table: str) -> JsonObject:
    """The declared schema of a table as protobuf text, with its version, environment and policy."""
    declared = validation.declared.current(table)
    if declared is None:
        raise Invalid(f"no schema is declared for {table!r}; declare one: hanok schema declare {table} schema.pbtxt")
    return _schema(declared)


@verb("schema.declare", Access.EDIT, "read")
def declare_schema(
    validation: Validation,
    *,
    actor: str,
    table: str,
    schema: str,
    environment: str | None = None,
    on_error: str | None = None,
    serving: str | None = None,
) -> JsonObject:
    """Hold every batch of a table to a TFDV schema (protobuf text) from now on.

    `on_error`: rows at fault go to quarantine (`rows`), the whole batch does (`batch`), or it is only said (`report`).
    `serving` names the model whose served statistics are the other side of skew comparators.
    """
    parsed = _message("schema", "Schema", schema)
    return _schema(
        validation.declared.declare(
            table, parsed, environment=environment, policy=on_error, serving=serving, actor=actor
        )
    )


@verb("schema.proposal", Access.READ, "heavy")
def schema_proposal(validation: Validation, *, table: str, batch: str = "") -> JsonObject:
    """The change of the declared schema that a batch (the newest with anomalies, without a name) would need."""
    found = validation.declared.proposal(table, batch)
    return {"table": table, "batch": found.batch, "of_version": found.of, "diff": list(found.diff)}


@verb("schema.accept", Access.EDIT, "read")
def accept_schema(validation: Validation, *, actor: str, table: str, batch: str = "") -> JsonObject:
    """Make the proposal of a batch the declared schema. Rows set aside before stay there until they are replayed."""
    return _schema(validation.declared.accept(table, batch, actor=actor))


def _schema(declared: Declared) -> dict[str, Json]:
    return {
        "table": declared.table,
        "version": declared.version,
        "environment": declared.environment,
        "on_error": declared.policy,
        "serving": declared.serving,
        "actor": declared.actor,
        "schema": to_text(declared.schema),
    }


@verb("skew", Access.READ, "heavy")
def skew_of(skew: Skew, *, model: str, since: str = "", until: str = "", effect: float = EFFECT) -> JsonObject:
    """How far what a model answers lies from what its version was trained on: statistics merged and compared."""
    return to_body(skew.measure(model, since=since, until=until, policy=Policy(effect=effect)))


@verb("table.statistics", Access.READ, "heavy")
def table_statistics(
    validation: Validation, *, name: str, batch: str = "", since: str = "", until: str = "", slice: str = ""
) -> JsonObject:
    """The merged statistics of a table, of one batch, span or slice of it, as TFDV's protobuf text."""
    found = validation.kept.select(name, batch=batch, since=since, until=until, slice_=slice)
    state = found.merged
    return {"name": name, "rows": state.rows, "statistics": to_text(statistics_of(state))}


@verb("table.slice", Access.EDIT, "heavy")
def slice_table(validation: Validation, *, name: str, columns: Sequence[str]) -> JsonObject:
    """From the next batch on keep statistics of each value of these columns apart; none ends it."""
    return {"name": name, "slices": list(validation.slice_by(name, tuple(columns)))}


@verb("table.history", Access.READ, "read")
def table_history(
    validation: Validation, *, name: str, since: str = "", until: str = "", slice: str = "", columns: Sequence[str] = ()
) -> Sequence[JsonObject]:
    """Statistics of each partition (a day, mostly), the oldest first: its rows, and what is known of each column.

    Nothing but what was kept at ingestion is read. `columns` names those wanted; all without it.
    """
    found = validation.kept.select(name, since=since, until=until, slice_=slice)
    return [
        {
            "partition": partition,
            "rows": state.rows,
            "columns": {n: asdict(summary(c)) for n, c in state.columns.items() if not columns or n in columns},
        }
        for partition, state in found.by_partition.items()
    ]


@verb("table.anomalies", Access.READ, "heavy")
def table_anomalies(
    validation: Validation,
    *,
    name: str,
    metric: str,
    column: str = "",
    strategy: str = "OnlineNormal",
    settings: Mapping[str, float | int | bool] | None = None,
    last: Count = 1,
    since: str = "",
    until: str = "",
    slice: str = "",
) -> JsonObject:
    """Whether a metric of the `last` partitions is anomalous after its history, by one of Deequ's strategies.

    The history is that of kept statistics; partitions in which the metric has no value are left out.
    """
    found = validation.kept.select(name, since=since, until=until, slice_=slice)
    values = {day: metric_of(state, metric, column) for day, state in found.by_partition.items()}
    series = [(day, value) for day, value in values.items() if value is not None]
    if not series:
        raise Invalid(f"{metric} of {column or name} has no value in any partition of {name!r}")
    if last < 1:
        raise Invalid(f"last is at least 1, got {last}")
    start = max(0, len(series) - last)
    judged = named_strategy(strategy, **dict(settings or {})).detect([v for _, v in series], start, len(series))
    return {
        "name": name,
        "metric": metric,
        "column": column,
        "strategy": strategy,
        "history": [{"partition": d, "value": v, "anomalous": i in judged} for i, (d, v) in enumerate(series)],
        "anomalies": [{"partition": series[i][0], "value": series[i][1]} for i in judged],
    }


@verb("table.profile", Access.READ, "heavy")
def table_profile(
    validation: Validation, *, name: str, since: str = "", until: str = "", slice: str = ""
) -> JsonObject:
    """The profile of a table, a span of time or a slice of it, from the statistics kept at ingestion."""
    found = validation.kept.select(name, since=since, until=until, slice_=slice)
    profile = of_state(found.merged, days=list(found.by_partition))
    return _about(name, found, slice) | {
        "rows": profile.rows,
        "columns": [asdict(c) for c in profile.columns],
        "times": [asdict(t) for t in profile.times],
        "warnings": [*_unsliced(found, slice), *profile.warnings],
        "slices": validation.kept.slices(name),
    }


@verb("table.drift", Access.READ, "heavy")
def table_drift(
    validation: Validation, *, name: str, between: Sequence[str], slice: str = "", effect: float = EFFECT
) -> JsonObject:
    """How far a table's columns moved between two periods ('2013-02', '2013-03-01..2013-03-14'), from kept states."""
    if len(between) != 2:
        raise Invalid("between names two periods, like 2013-02 and 2013-03-01..2013-03-14")
    sides = [
        validation.kept.select(name, since=since, until=until, slice_=slice) for since, until in map(period, between)
    ]
    before, after = (s.merged for s in sides)
    numbered = [n for n, a in before.columns.items() if (b := after.columns.get(n)) and _counted_on(a, b)]
    found = [d for d in compare_states(before, after) if d.column not in numbered]
    verdicts = judge(found, policy=Policy(effect=effect))
    verdicts.sort(key=lambda v: -v.drift.effect)
    return {
        "name": name,
        "slice": slice,
        "before": _about(name, sides[0], slice) | {"rows": before.rows},
        "after": _about(name, sides[1], slice) | {"rows": after.rows},
        "columns": [asdict(v.drift) | {"p_adjusted": v.p_adjusted, "moved": v.suspect} for v in verdicts],
        "faults": (faults := _unlike(before, after)),
        "warnings": [w for s in sides for w in _unsliced(s, slice)] + faults + [f"{n} {GIVEN_OUT}" for n in numbered],
    }


def _counted_on(a: ColumnState, b: ColumnState) -> bool:
    whole = a.type == b.type == "INT" and not (a.nulls or b.nulls) and min(a.rows, b.rows) >= ROWS_MIN
    return whole and numbers_go_on(
        (a.rows, a.distinct_count, a.minimum, a.maximum), (b.rows, b.distinct_count, b.minimum, b.maximum)
    )


def _about(name: str, found: Selected, slice_: str) -> dict[str, Json]:
    first, last = found.covers
    return {"name": name, "slice": slice_, "from": first, "to": last, "batches": found.batches}


def _unsliced(found: Selected, slice_: str) -> list[str]:
    n = len(found.without_slice)
    few = ", ".join(map(repr, found.without_slice[:3]))
    return [f"{n} batches keep no statistics of {slice_.partition('=')[0]} and are left out: {few}"] if n else []


def _unlike(before: TableState, after: TableState) -> list[str]:
    """Columns that are there on one side only, went empty, or changed their type."""
    found = []
    for column in dict.fromkeys((*before.columns, *after.columns)):
        a, b = before.columns.get(column), after.columns.get(column)
        if a is None or b is None:
            found.append(f"{column} is there only {'after' if a is None else 'before'}")
        elif a.values and not b.values:
            found.append(f"{column} went empty: {a.values} of {a.rows} rows had a value before")
        elif a.values and b.values and not of_one_kind(a, b) and a.type != b.type:
            found.append(f"{column} was {a.type} and is {b.type}")
    return found
