"""The pairs of labels and answers that a step joins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from hanok.compute.duck import add, arrow, connect, literal, quoted, within
from hanok.compute.labels import dated, holds, known, newest
from hanok.core.clock import micros
from hanok.core.keys import KeyType
from hanok.core.labels import LabelSource
from hanok.core.monitoring import LabelState, LabelStep
from hanok.core.tables import ARRIVED, SEQUENCE, Overlay, Scan
from hanok.parts.monitoring.outcomes import OUTCOMES, PREDICTIONS, feature_columns, key_column
from hanok.parts.monitoring.spellings import Spellings, spelled
from hanok.stores.ports import Tables

ANSWER_FIELDS = ("prediction_id", "row_id", "at", "version", "arm", "score", "scores")
_End: TypeAlias = str | int | datetime
INSTANTS = (pa.timestamp("us", "UTC"), pa.timestamp("us"))


def pairs(
    tables: Tables,
    spellings: Spellings,
    source: LabelSource,
    kinds: Sequence[KeyType],
    state: LabelState,
    step: LabelStep,
    answered: str = "true",
    told_if: str = "true",
) -> pa.Table:
    """New labels with all answers, and new answers with all earlier labels: the fields of the answer, its slices,
    `_label`, `label_at`, `known_at`, `label_row` and `outside`, in the order of the log. Of the labels of an entity
    that are known by now only the one that counts makes a pair; those dated ahead all do, because they may count later.
    `answered` is a condition on the answers, in SQL of the log, and `told_if` one on the labels.

    An answer without a score (an error) is no answer: it has no outcome.
    """
    log_name = PREDICTIONS + source.model
    log, labels = tables.scan(log_name, upto=step.answers), newest_rows(tables, source, step.labels)
    entity = ", ".join(f"k{i}" for i in range(len(source.keys)))
    columns = log.schema.names
    log_keys = [(key_column(columns, k) or "", pa.string(), kind) for k, kind in zip(source.keys, kinds, strict=True)]
    label_keys = [(k, labels.schema.field(k).type, kind) for k, kind in zip(source.keys, kinds, strict=True)]
    by = _Keyed.of("log", log_name, step.answers, log_keys, spellings)
    of = _Keyed.of("labels", source.table, step.labels, label_keys, spellings)
    slices = [_slice(columns, s) for s in source.slices if feature_columns(columns, s)]
    fields = ", ".join([*(f"t.{quoted(n)}" for n in ANSWER_FIELDS), *slices])
    answers = (
        f"SELECT {by.keys}, {fields}, t.{SEQUENCE} AS _answer FROM {{rows}} t{by.joins} "
        f"WHERE t.score IS NOT NULL AND isfinite(t.score) AND {answered}"
        + (" AND coalesce(t.error, '') = ''" if "error" in columns else "")
    )
    told = (
        f"SELECT {of.keys}, t.{quoted(source.column)} AS _label, {dated(source.known_at)} AS label_at, "
        f"{known(source.known_at)} AS known_at, t.{SEQUENCE} AS label_row FROM {{rows}} t{of.joins} "
        f"WHERE {holds(source.column, labels.schema.field(source.column).type)} AND {told_if}"
    )
    ahead = f"known_at > make_timestamptz({micros(step.at)})"
    order = newest("label_at", "label_row")
    # without a window the label that counts is the same for all answers of an entity: chosen before the join
    one = f"QUALIFY {ahead} OR row_number() OVER (PARTITION BY {entity}, {ahead} ORDER BY {order}) = 1"
    one = one if source.window is None else ""
    new_log = tables.scan(log_name, upto=step.answers, first=state.answers)
    new_labels = tables.scan(source.table, upto=step.labels, first=state.labels)
    sides = []
    with connect({"new_log": new_log, "new_labels": new_labels, **by.odd, **of.odd}) as duck:
        if step.labels > state.labels:
            fresh = f"{told.format(rows='new_labels')} AND t.{SEQUENCE} >= {state.labels}"
            asked = _entities(
                duck, f"SELECT {of.keys} FROM new_labels t{of.joins} WHERE t.{SEQUENCE} >= {state.labels}", "labelled"
            )
            if labels.overlay is not None:  # what is left of the labels of an entity may count again
                near = of.near(asked)
                add(duck, "labels_of_new", near.of(labels))
                fresh = f"SELECT * FROM ({told.format(rows='labels_of_new')} AND {near.condition}) "
                fresh += f"WHERE ({entity}) IN (SELECT ({entity}) FROM labelled)"
            near = by.near(asked)
            add(duck, "log", near.of(log))
            sides.append((f"{answers.format(rows='log')} AND {near.condition}", f"SELECT * FROM ({fresh}) {one}"))
        if step.answers > state.answers and state.labels:
            mine = f"{answers.format(rows='new_log')} AND t.{SEQUENCE} >= {state.answers}"
            near = of.near(_entities(duck, f"SELECT {entity} FROM ({mine})", "asking"))
            add(duck, "labels", near.of(labels))
            before = f"{told.format(rows='labels')} AND t.{SEQUENCE} < {state.labels} AND {near.condition}"
            sides.append((mine, f"SELECT * FROM ({before}) WHERE ({entity}) IN (SELECT ({entity}) FROM asking) {one}"))
        return arrow(duck, _joined(source, sides, ahead, order))


def _entities(duck: duckdb.DuckDBPyConnection, query: str, name: str) -> pa.Table:
    """The entities that a query gives, each once, which are a view of this name from then on."""
    found = arrow(duck, f"SELECT DISTINCT * FROM ({query})")
    add(duck, name, found)
    return found


def _joined(source: LabelSource, sides: Sequence[tuple[str, str]], ahead: str, order: str) -> str:
    """Answers and labels of each side that are of one entity, as one SELECT."""
    places = range(len(source.keys))
    entity, on = ", ".join(f"k{i}" for i in places), " AND ".join(f"a.k{i} = l.k{i}" for i in places)
    apart = 'abs(epoch_us(label_at) - epoch_us("at"))'
    outside = "false" if source.window is None else f"{apart} > {int(source.window.total_seconds() * 1_000_000)}"
    chosen = f"a.* EXCLUDE ({entity}), l.* EXCLUDE ({entity})"
    union = " UNION ALL ".join(f"SELECT {chosen} FROM ({a}) a JOIN ({b}) l ON {on}" for a, b in sides)
    first = f"row_number() OVER (PARTITION BY prediction_id, outside, {ahead} ORDER BY {order}) = 1"
    query = f"SELECT *, {outside} AS outside FROM ({union})"
    if source.window is not None:
        query = f"SELECT * FROM ({query}) QUALIFY {ahead} OR {first}"
    return f"{query} ORDER BY _answer, label_row"


def newest_rows(tables: Tables, source: LabelSource, upto: int) -> Scan:
    """The label rows that none with the same row key has superseded."""
    scan = tables.scan(source.table, upto=upto)
    fits = source.row_key and set(source.row_key) <= set(scan.schema.names)
    return replace(scan, overlay=Overlay(source.row_key)) if fits else scan


def taken_back(tables: Tables, source: LabelSource, state: LabelState, step: LabelStep) -> pa.Table | None:
    """For each earlier pair whose label row is superseded by one of this step, a row that takes it back from when that
    one arrived on."""
    name = OUTCOMES + source.model
    if not source.row_key or not state.labels or step.labels == state.labels or not tables.size(name):
        return None
    before, after = (newest_rows(tables, source, n) for n in (state.labels, step.labels))
    pairs = tables.scan(name)
    if before.overlay is None or "label_row" not in pairs.schema.names:
        return None
    same = " AND ".join(f"b.{quoted(k)} IS NOT DISTINCT FROM a.{quoted(k)}" for k in source.row_key)
    gone = f"SELECT b.{SEQUENCE} AS row, a.{ARRIVED} AS came FROM before b JOIN after a ON {same}"
    drop = ", ".join(n for n in (SEQUENCE, ARRIVED, "known_at", "superseded", "label") if n in pairs.schema.names)
    with connect({"before": before, "after": after, "pairs": pairs}) as duck:
        return arrow(
            duck,
            f"SELECT p.* EXCLUDE ({drop}), 'nan'::DOUBLE AS label, true AS superseded, greatest(p.known_at, g.came) AS "
            f"known_at, g.came AS {ARRIVED} FROM pairs p JOIN ({gone} WHERE a.{SEQUENCE} > b.{SEQUENCE}) g "
            f"ON p.label_row = g.row WHERE p.generation = {state.generation}",
        )


def _slice(columns: Sequence[str], name: str) -> str:
    """A feature as text, whichever of its columns holds it."""
    texts = ", ".join(f"CAST(t.{quoted(c)} AS VARCHAR)" for c in feature_columns(columns, name))
    return f"coalesce({texts}) AS {quoted('slice__' + name)}"


@dataclass(frozen=True, slots=True)
class _Keyed:
    """The keys of a view `t` in the one spelling: `keys` are the columns k0, k1, ..., which `joins` and the relations
    `odd` give. `columns` are the keys as they lie, "" for one that has to be spelled first."""

    joins: str
    keys: str
    odd: Mapping[str, pa.Table]
    columns: Sequence[tuple[str, pa.DataType]]

    @classmethod
    def of(
        cls,
        side: str,
        table: str,
        upto: int,
        keys: Sequence[tuple[str, pa.DataType, KeyType]],
        spellings: Spellings,
    ) -> _Keyed:
        columns, joins, odd, plain = [], "", {}, []
        for i, (name, type_, kind) in enumerate(keys):
            text = spelled(f"t.{quoted(name)}", type_, kind)
            found = spellings.odd(table, name, kind, upto) if pa.types.is_string(type_) else None
            if found is not None:
                odd[f"odd_{side}_{i}"] = found
                joins += f" LEFT JOIN odd_{side}_{i} o{i} ON o{i}.raw = t.{quoted(name)}"
                text = f"coalesce(o{i}.spelled, t.{quoted(name)})"
            columns.append(f"{text} AS k{i}")
            plain.append((name if found is None else "", type_))
        return cls(joins, ", ".join(columns), odd, plain)

    def near(self, asked: pa.Table) -> _Near:
        """Where rows can lie whose keys are in `asked`: the keys of a day lie near each other."""
        ends = (_ends(type_, asked.column(i)) if name else None for i, (name, type_) in enumerate(self.columns))
        return _Near(
            [(name, type_, *of) for (name, type_), of in zip(self.columns, ends, strict=True) if of is not None]
        )


@dataclass(frozen=True, slots=True)
class _Near:
    """Columns, their types, and the least and the greatest value that is looked for."""

    bounds: Sequence[tuple[str, pa.DataType, _End, _End]]

    @property
    def condition(self) -> str:
        """In SQL of a view `t`."""
        said = (
            f"t.{quoted(name)} BETWEEN {_sql(low, type_)} AND {_sql(high, type_)}"
            for name, type_, low, high in self.bounds
        )
        return " AND ".join(said) or "true"

    def of(self, scan: Scan) -> Scan:
        for name, _, low, high in self.bounds:
            scan = within(scan, name, low, high)
        return scan


def _ends(type_: pa.DataType, texts: pa.ChunkedArray) -> tuple[_End, _End] | None:
    """The least and the greatest of spelled keys, as values of a column; None where they have no order there."""
    if pa.types.is_string(type_):
        values = texts
    elif pa.types.is_signed_integer(type_):
        values = _cast(texts, pa.int64())
    elif type_ in INSTANTS:
        values = _cast(texts, pa.timestamp("us", "UTC"))
    else:
        return None
    ends = None if values is None else pc.min_max(values).as_py()
    return None if ends is None or ends["min"] is None else (ends["min"], ends["max"])


def _sql(value: _End, type_: pa.DataType) -> str:
    if isinstance(value, datetime):
        return (
            f"TIMESTAMPTZ '{value.isoformat()}'"
            if type_.tz
            else f"TIMESTAMP '{value.replace(tzinfo=None).isoformat()}'"
        )
    return str(value) if isinstance(value, int) else literal(value)


def _cast(texts: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | None:
    try:
        return texts.cast(kind)
    except pa.ArrowInvalid:
        return None
