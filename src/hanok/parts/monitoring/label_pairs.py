"""The pairs of labels and answers that a step joins, as one SELECT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from hanok.compute.duck import Relation, arrow, connect, quoted
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


@dataclass(frozen=True, slots=True)
class PairsQuery:
    """`query` over `relations`: the fields of the answer, its slices, `_label`, `label_at`, `known_at`, `label_row` and
    `outside`, in the order of the log."""

    relations: dict[str, Relation]
    query: str


def pairs_query(
    tables: Tables,
    spellings: Spellings,
    source: LabelSource,
    kinds: Sequence[KeyType],
    state: LabelState,
    step: LabelStep,
    answered: str = "true",
    told_if: str = "true",
) -> PairsQuery:
    """New labels with all answers, and new answers with all earlier labels. Of the labels of an entity that are known
    by now only the one that counts makes a pair; those dated ahead all do, because they may count later. `answered` is
    a condition on the answers, in SQL of the log, and `told_if` one on the labels.

    An answer without a score (an error) is no answer: it has no outcome.
    """
    log_name = PREDICTIONS + source.model
    log, labels = tables.scan(log_name, upto=step.answers), newest_rows(tables, source, step.labels)
    relations: dict[str, Relation] = {"log": log, "labels": labels}
    places = range(len(source.keys))
    entity = ", ".join(f"k{i}" for i in places)
    on = " AND ".join(f"a.k{i} = l.k{i}" for i in places)
    columns = log.schema.names
    log_keys = [(key_column(columns, k) or "", pa.string(), kind) for k, kind in zip(source.keys, kinds, strict=True)]
    label_keys = [(k, labels.schema.field(k).type, kind) for k, kind in zip(source.keys, kinds, strict=True)]
    answer_from, answer_keys = _keyed("log", log_name, step.answers, log_keys, spellings, relations)
    label_from, told_keys = _keyed("labels", source.table, step.labels, label_keys, spellings, relations)
    slices = [_slice(columns, s) for s in source.slices if feature_columns(columns, s)]
    fields = ", ".join([*(f"t.{quoted(n)}" for n in ANSWER_FIELDS), *slices])
    answers = (
        f"SELECT {answer_keys}, {fields}, t.{SEQUENCE} AS _answer FROM {answer_from} "
        f"WHERE t.score IS NOT NULL AND isfinite(t.score) AND {answered}"
        + (" AND coalesce(t.error, '') = ''" if "error" in columns else "")
    )
    told = (
        f"SELECT {told_keys}, t.{quoted(source.column)} AS _label, {dated(source.known_at)} AS label_at, "
        f"{known(source.known_at)} AS known_at, t.{SEQUENCE} AS label_row FROM {label_from} "
        f"WHERE {holds(source.column, labels.schema.field(source.column).type)} AND {told_if}"
    )
    ahead = f"known_at > make_timestamptz({micros(step.at)})"
    order = newest("label_at", "label_row")
    # without a window the label that counts is the same for all answers of an entity: chosen before the join
    one = f"QUALIFY {ahead} OR row_number() OVER (PARTITION BY {entity}, {ahead} ORDER BY {order}) = 1"
    one = one if source.window is None else ""
    sides = []
    if step.labels > state.labels:
        fresh = f"SELECT * FROM ({told} AND t.{SEQUENCE} >= {state.labels}) {one}"
        if labels.overlay is not None:  # what is left of the labels of an entity may count again
            new = f"SELECT {told_keys} FROM {label_from} WHERE t.{SEQUENCE} >= {state.labels}"
            fresh = f"SELECT * FROM ({told}) WHERE ({entity}) IN (SELECT ({entity}) FROM ({new})) {one}"
        sides.append((answers, fresh))
    if step.answers > state.answers and state.labels:
        mine = f"{answers} AND t.{SEQUENCE} >= {state.answers}"
        before = f"SELECT * FROM ({told} AND t.{SEQUENCE} < {state.labels}) WHERE ({entity}) IN "
        sides.append((mine, f"{before} (SELECT ({entity}) FROM ({mine})) {one}"))
    apart = 'abs(epoch_us(label_at) - epoch_us("at"))'
    outside = "false" if source.window is None else f"{apart} > {int(source.window.total_seconds() * 1_000_000)}"
    chosen = f"a.* EXCLUDE ({entity}), l.* EXCLUDE ({entity})"
    union = " UNION ALL ".join(f"SELECT {chosen} FROM ({a}) a JOIN ({b}) l ON {on}" for a, b in sides)
    first = f"row_number() OVER (PARTITION BY prediction_id, outside, {ahead} ORDER BY {order}) = 1"
    query = f"SELECT *, {outside} AS outside FROM ({union})"
    if source.window is not None:
        query = f"SELECT * FROM ({query}) QUALIFY {ahead} OR {first}"
    return PairsQuery(relations, f"{query} ORDER BY _answer, label_row")


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


def _keyed(
    side: str,
    table: str,
    upto: int,
    keys: Sequence[tuple[str, pa.DataType, KeyType]],
    spellings: Spellings,
    relations: dict[str, Relation],
) -> tuple[str, str]:
    """(FROM, columns): the view `side` as `t` with its keys spelled in the one way, as k0, k1, ..."""
    columns, joins = [], ""
    for i, (name, type_, kind) in enumerate(keys):
        text = spelled(f"t.{quoted(name)}", type_, kind)
        odd = spellings.odd(table, name, kind, upto) if pa.types.is_string(type_) else None
        if odd is not None:
            relations[f"odd_{side}_{i}"] = odd
            joins += f" LEFT JOIN odd_{side}_{i} o{i} ON o{i}.raw = t.{quoted(name)}"
            text = f"coalesce(o{i}.spelled, t.{quoted(name)})"
        columns.append(f"{text} AS k{i}")
    return f"{side} t{joins}", ", ".join(columns)
