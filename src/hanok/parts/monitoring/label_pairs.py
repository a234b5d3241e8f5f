"""The pairs of labels and answers that a step joins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from hanok.compute.duck import add, arrow, connect, literal, quoted, same_row, within
from hanok.compute.labels import dated, holds, known, newest
from hanok.compute.point_in_time import living, superseded
from hanok.core.clock import micros
from hanok.core.keys import KeyType
from hanok.core.labels import LabelSource
from hanok.core.monitoring import LabelState, LabelStep
from hanok.core.tables import ARRIVED, SEQUENCE, Overlay, Scan
from hanok.parts.monitoring.outcomes import OUTCOMES, PREDICTIONS, feature_columns, key_column
from hanok.parts.monitoring.spellings import Spellings, spelled
from hanok.stores.ports import Tables

ANSWER_FIELDS = ("prediction_id", "row_id", "at", "version", "arm", "score", "scores")
UNTIL = "_hanok_until"  # of a label row: when a later form of it is known
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
    `_label`, `label_at`, `known_at`, `label_row`, UNTIL and `outside`, in the order of the log. Of the labels of an
    entity that are known by now only the one that counts makes a pair, and what counts once corrections that are known
    later have ended it; those dated ahead all do, because they may count later. `answered` is a condition on the
    answers, in SQL of the log, and `told_if` one on the labels.

    An answer without a score (an error) is no answer: it has no outcome.
    """
    log_name = PREDICTIONS + source.model
    log, labels = tables.scan(log_name, upto=step.answers), _told(tables, source, step)
    entity = ", ".join(f"k{i}" for i in range(len(source.keys)))
    columns = log.schema.names
    log_keys = [(key_column(columns, k) or "", pa.string(), kind) for k, kind in zip(source.keys, kinds, strict=True)]
    label_keys = [(k, labels.schema.field(k).type, kind) for k, kind in zip(source.keys, kinds, strict=True)]
    by = _Keyed.of("log", log_name, step.answers, log_keys, spellings)
    of = _Keyed.of("labels", source.table, step.labels, label_keys, spellings)
    slices = [_slice(columns, s) for s in source.slices if feature_columns(columns, s)]
    fields = ", ".join([*(f"t.{quoted(n)}" for n in ANSWER_FIELDS), *slices])
    failed = " AND coalesce(t.error, '') = ''" if "error" in columns else ""
    now, until = f"make_timestamptz({micros(step.at)})", "NULL::TIMESTAMPTZ"
    forms = ("*", "")
    if labels.overlay is not None:
        forms, until = _living(labels.overlay.row_key, source, now), f"t.{UNTIL}"

    def answers(rows: str) -> str:
        return (
            f"SELECT {by.keys}, {fields}, t.{SEQUENCE} AS _answer FROM {rows} t{by.joins} "
            f"WHERE t.score IS NOT NULL AND isfinite(t.score) AND {answered}{failed}"
        )

    def told(rows: str) -> str:
        return (
            f"SELECT {of.keys}, t.{quoted(source.column)} AS _label, {dated(source.known_at)} AS label_at, "
            f"{known(source.known_at)} AS known_at, t.{SEQUENCE} AS label_row, {until} AS {UNTIL} "
            f"FROM (SELECT {forms[0]} FROM {rows} {forms[1]}) t{of.joins} "
            f"WHERE {holds(source.column, labels.schema.field(source.column).type)} AND {told_if}"
        )

    ahead = f"known_at > {now}"
    order = newest("label_at", "label_row")
    # without a window the label that counts is the same for all answers of an entity: chosen before the join
    one = f"QUALIFY {ahead} OR {_first(f'{entity}, {ahead}', order)}" if source.window is None else ""
    new_log = tables.scan(log_name, upto=step.answers, first=state.answers)
    new_labels = tables.scan(source.table, upto=step.labels, first=state.labels)
    sides = []
    with connect({"new_log": new_log, "new_labels": new_labels, **by.odd, **of.odd}) as duck:
        if step.labels > state.labels:
            fresh = f"{told('new_labels')} AND t.{SEQUENCE} >= {state.labels}"
            came = f"SELECT {of.keys} FROM new_labels t{of.joins} WHERE t.{SEQUENCE} >= {state.labels}"
            if labels.overlay is not None:  # also the entities that a row is moved away from
                add(duck, "forms_of_new", _forms_of_new(duck, labels, state))
                same = same_row("t", "n", labels.overlay.row_key)
                came = f"SELECT {of.keys} FROM forms_of_new t{of.joins} SEMI JOIN new_labels n ON {same} "
                came += f"AND n.{SEQUENCE} >= {state.labels}"
            asked = _entities(duck, came, "labelled")
            if labels.overlay is not None:  # what is left of the labels of an entity may count again
                near = of.near(asked)
                add(duck, "labels_of_new", replace(near.of(labels), overlay=None))
                fresh = f"SELECT * FROM ({told('labels_of_new')} AND {near.condition}) "
                fresh += f"WHERE ({entity}) IN (SELECT ({entity}) FROM labelled)"
            near = by.near(asked)
            add(duck, "log", near.of(log))
            sides.append((f"{answers('log')} AND {near.condition}", f"SELECT * FROM ({fresh}) {one}"))
        if step.answers > state.answers and state.labels:
            mine = f"{answers('new_log')} AND t.{SEQUENCE} >= {state.answers}"
            near = of.near(_entities(duck, f"SELECT {entity} FROM ({mine})", "asking"))
            add(duck, "labels", replace(near.of(labels), overlay=None))
            before = f"{told('labels')} AND t.{SEQUENCE} < {state.labels} AND {near.condition}"
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
    first = _first(f"prediction_id, outside, {ahead}", order)
    query = f"SELECT *, {outside} AS outside FROM ({union})"
    if source.window is not None:
        query = f"SELECT * FROM ({query}) QUALIFY {ahead} OR {first}"
    return f"{query} ORDER BY _answer, label_row"


def _told(tables: Tables, source: LabelSource, step: LabelStep) -> Scan:
    """The label rows, with what tells them apart as their overlay where the table has it."""
    scan = tables.scan(source.table, upto=step.labels)
    fits = source.row_key and set(source.row_key) <= set(scan.schema.names)
    return replace(scan, overlay=Overlay(source.row_key)) if fits else scan


def _living(row_key: Sequence[str], source: LabelSource, now: str) -> tuple[str, str]:
    """What to select of label rows and which, in SQL: those that count from now on, and UNTIL when."""
    until = superseded(row_key, known(source.known_at), SEQUENCE)
    counts = living(row_key, known(source.known_at), SEQUENCE, now)
    return f"*, {until} AS {UNTIL}", f"QUALIFY {counts}"


def _first(by: str, order: str) -> str:
    """Whether no label that stays comes before: one that a correction ends later leaves its place to the next."""
    before = f"OVER (PARTITION BY {by} ORDER BY {order} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
    return f"coalesce(bool_and({UNTIL} IS NOT NULL) {before}, true)"


def _forms_of_new(duck: duckdb.DuckDBPyConnection, labels: Scan, state: LabelState) -> Scan:
    """Label rows among which all forms are of those that came since, which are the view `new_labels`."""
    assert labels.overlay is not None
    for name in labels.overlay.row_key:
        ends = f"min({quoted(name)}) AS low, max({quoted(name)}) AS high, bool_or({quoted(name)} IS NULL) AS lacks"
        (found,) = arrow(duck, f"SELECT {ends} FROM new_labels WHERE {SEQUENCE} >= {state.labels}").to_pylist()
        if not found["lacks"] and isinstance(found["low"], str | int | datetime):
            labels = within(labels, name, found["low"], found["high"])
    return replace(labels, overlay=None)


def taken_back(
    tables: Tables, source: LabelSource, state: LabelState, step: LabelStep, met: pa.Table
) -> pa.Table | None:
    """For each of these pairs of a step whose label row is corrected, and each earlier one that a row of the step
    corrects, a row that takes it back from when the correction is known on."""
    if not source.row_key or not step.labels:
        return None
    name, labels = OUTCOMES + source.model, _told(tables, source, step)
    drop = (SEQUENCE, ARRIVED, "known_at", "superseded", "label")
    new_labels, sides = tables.scan(source.table, upto=step.labels, first=state.labels), []
    with connect({"new_labels": new_labels}) as duck:
        if UNTIL in met.column_names:
            add(duck, "met", met.filter(pc.is_valid(met.column(UNTIL))))
            kept = ", ".join(f"p.{quoted(n)}" for n in met.column_names if n not in (*drop, UNTIL))
            sides.append(f"SELECT {kept}, greatest(p.known_at, p.{UNTIL}) AS known_at FROM met p")
        if labels.overlay is not None and state.labels and step.labels > state.labels and tables.size(name):
            add(duck, "labels", _forms_of_new(duck, labels, state))
            add(duck, "earlier", earlier := tables.scan(name))
            kept = ", ".join(f"p.{quoted(n)}" for n in earlier.schema.names if n not in drop)
            ended = (
                f"SELECT l.{SEQUENCE} AS row, min(n.{UNTIL}) AS until FROM labels l JOIN (SELECT *, "
                f"{known(source.known_at)} AS {UNTIL} FROM new_labels) n ON {same_row('l', 'n', source.row_key)} "
                f"WHERE l.{SEQUENCE} < {state.labels} AND n.{SEQUENCE} >= {state.labels} GROUP BY 1"
            )
            stays = "AND NOT coalesce(p.superseded, false)" if "superseded" in earlier.schema.names else ""
            once = f"QUALIFY row_number() OVER (PARTITION BY p.prediction_id, p.label_row ORDER BY p.{SEQUENCE}) = 1"
            if "label_row" in earlier.schema.names:
                sides.append(
                    f"SELECT {kept}, greatest(p.known_at, g.until) AS known_at FROM earlier p JOIN ({ended}) g "
                    f"ON p.label_row = g.row WHERE p.generation = {state.generation} {stays} {once}"
                )
        if not sides:
            return None
        return arrow(
            duck,
            f"SELECT *, 'nan'::DOUBLE AS label, true AS superseded, greatest(\"at\", make_timestamptz("
            f"{micros(step.at)})) AS {ARRIVED} FROM ({' UNION ALL BY NAME '.join(sides)}) "
            "ORDER BY label_row, prediction_id",
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
            found = spellings.odd(table, name, type_, kind, upto)
            if found is not None:
                odd[f"odd_{side}_{i}"] = found
                joins += f" LEFT JOIN odd_{side}_{i} o{i} ON o{i}.raw = {text}"
                text = f"coalesce(o{i}.spelled, {text})"
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
