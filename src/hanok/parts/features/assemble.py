"""From spine rows to feature columns, as they were known at each row's instant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hanok.compute.duck import Relation, arrow, connect, one_row, quoted, read, within
from hanok.compute.frames import PREDICT_AT
from hanok.compute.keys import canonical_column, compare_alike, key_type
from hanok.compute.point_in_time import AsOf, point_in_time_join, superseded
from hanok.compute.windows import aggregated, sorted_rows
from hanok.core.clock import from_micros
from hanok.core.declare import FeatureView, view_columns
from hanok.core.durations import duration
from hanok.core.errors import DeclarationError
from hanok.core.tables import ARRIVED, SEQUENCE
from hanok.parts.features.rows import EVER, UNTIL, check_columns, entity_codes_of, numbers

Scans = Callable[[str], Relation]
OWN = SEQUENCE  # of a spine row: its number in the spine's table
ROW, LONG_AGO = "_hanok_row", str(-(1 << 62))


def feature_columns(
    spine: pa.Table, views: Sequence[FeatureView], scans: Scans, *, spine_table: str = "", known_time: bool = True
) -> dict[str, pa.ChunkedArray]:
    """The columns `view__feature` of all views, row i belonging to spine row i.

    `spine` has the views' keys and the instant `_at`; `scans` gives the snapshot of a source table. Keys match by the
    spine's types. Where a view's source is `spine_table`, row `_seq` of the spine is left out of its own features.
    Without `known_time` a value counts from its event time on, whenever it arrived.
    """
    for view in views:
        if missing := [k for k in view.keys if k not in spine.column_names]:
            raise DeclarationError(
                f"feature view {view.name!r} is keyed by {missing[0]!r}, which the spine does not have "
                f"(it has {', '.join(c for c in spine.column_names if not c.startswith('_'))})"
            )
        check_columns(view, scans(view.source.table).schema)
    columns: dict[str, pa.ChunkedArray] = {}
    plain = [
        _Plain.of(v, spine, scans(v.source.table), v.source.table == spine_table) for v in views if not v.aggregate
    ]
    with connect() as duck:
        for spelled in (False, True):  # views whose keys compare as they are share one spine
            if some := [p for p in plain if p.spelled == spelled]:
                asking = _asking(spine, [p.view for p in some], spelled=spelled)
                joins = [p.join for p in some]
                tables = point_in_time_join(asking, PREDICT_AT, joins, known_time=known_time, connection=duck)
                for part, table in zip(some, tables, strict=True):
                    columns |= dict(zip(view_columns(part.view), table.columns, strict=True))
    for view in views:
        if view.aggregate:
            own = spine.column(OWN) if view.source.table == spine_table else None
            columns |= _windowed(spine, view, scans(view.source.table), own, known_time)
    return columns


class _Plain:
    """A view of latest values, ready to be joined. `spelled`: its keys were brought to the spine's types, as text."""

    def __init__(self, view: FeatureView, join: AsOf, spelled: bool) -> None:
        self.view, self.join, self.spelled = view, join, spelled

    @classmethod
    def of(cls, view: FeatureView, spine: pa.Table, relation: Relation, own: bool) -> _Plain:
        keys, pairs = view.key_columns, list(zip(view.keys, view.key_columns, strict=True))
        spelled = not all(compare_alike(spine.column(k).type, relation.schema.field(s).type) for k, s in pairs)
        row_key = tuple(n for n in view.source.row_key or () if n in relation.schema.names)
        columns = {f"_v{i}": name for i, name in enumerate(view.feature_names)}  # beside the keys, which are spelled
        if spelled:
            names = dict.fromkeys((*keys, view.source.event_time, ARRIVED, SEQUENCE, *view.feature_names, *row_key))
            held = read(relation, list(names))
            relation = spelled_keys(held, spine, keys, view.keys)
            for name, column in (("_event", view.source.event_time), *columns.items()):
                relation = relation.append_column(name, held.column(column))
        event_time, taken = ("_event", tuple(columns)) if spelled else (view.source.event_time, view.feature_names)
        own_row = OWN if own else None
        join = AsOf(relation, keys, event_time, ARRIVED, SEQUENCE, taken, view.ttl, own_row, view.keys, row_key)
        return cls(view, join, spelled)


def _asking(spine: pa.Table, views: Sequence[FeatureView], *, spelled: bool) -> pa.Table:
    """The columns of the spine that a join needs."""
    keys = list(dict.fromkeys(k for v in views for k in v.keys))
    names = [*keys, PREDICT_AT, *([OWN] if OWN in spine.column_names else [])]
    return spelled_keys(spine.select(names), spine, keys) if spelled else spine.select(names)


def spelled_keys(rows: pa.Table, spine: pa.Table, keys: Sequence[str], asked: Sequence[str] = ()) -> pa.Table:
    """`rows` with its key columns as text, spelled as the spine's types have it; null where a value is none of them.
    `asked` are the names of the keys in the spine, where they differ."""
    for key, asking in zip(keys, asked or keys, strict=True):
        kind = key_type(spine.column(asking).type, name=asking)
        spelled = canonical_column(kind, rows.column(key), name=key, strict=False)
        rows = rows.set_column(rows.column_names.index(key), key, spelled)
    return rows


def _windowed(
    spine: pa.Table, view: FeatureView, relation: Relation, own: pa.ChunkedArray | None, known_time: bool
) -> dict[str, pa.ChunkedArray]:
    at = spine.column(PREDICT_AT).cast(pa.int64()).to_numpy()
    ends = (int(at.min()), int(at.max())) if len(at) else (0, 0)
    row_key = tuple(n for n in view.source.row_key or () if n in relation.schema.names)
    events = window_rows(view, relation, *ends, row_key, known_time)
    asked = spelled_keys(spine.select(list(view.keys)), spine, view.keys)
    had = spelled_keys(events.select(list(view.key_columns)), spine, view.key_columns, view.keys)
    known = [pc.unique(asked.column(k)).drop_null() for k in view.keys]
    spine_entity = entity_codes_of([asked.column(k) for k in view.keys], known)
    entities, spine_entity, event_entity = _dense(
        spine_entity, entity_codes_of([had.column(k) for k in view.key_columns], known)
    )
    rows = sorted_rows(
        event_entity,
        entities,
        events.column("_event").to_numpy(),
        events.column("_visible" if known_time else "_event").to_numpy(),
        {c: numbers(events.column(c)) for c in view.columns},
        None if own is None else events.column(ROW if row_key else SEQUENCE).to_numpy(),
        events.column(UNTIL).to_numpy() if row_key else None,
    )
    own_numbers = None if own is None else _row_numbers(relation, row_key, own) if row_key else own.to_numpy()
    order = np.lexsort((at, spine_entity))  # searches that follow each other find what the last one had in its cache
    spine_entity, at = spine_entity[order], at[order]
    own_rows = None if own_numbers is None else rows.places_of(own_numbers[order], spine_entity)
    columns = {}
    for name, aggregate, window in view.windowed:
        span = duration(window) // timedelta(microseconds=1)
        values = np.empty(len(at))
        values[order] = aggregated(rows, spine_entity, at, span, aggregate, own_rows)
        columns[f"{view.name}__{name}_{window}"] = pa.chunked_array([pa.array(values, from_pandas=True)])
    return columns


def _dense(spine: NDArray[np.int64], events: NDArray[np.int64]) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
    """Entities of the spine numbered without gaps: how many, and the numbers of both sides (-1: not among them)."""
    entities, numbered = np.unique(spine, return_inverse=True)
    if len(entities) and entities[0] < 0:
        entities, numbered = entities[1:], numbered - 1
    if not len(entities):
        return 0, np.full(len(spine), -1), np.full(len(events), -1)
    place = np.minimum(np.searchsorted(entities, events), len(entities) - 1)
    return len(entities), numbered, np.where(entities[place] == events, place, -1)


def window_rows(
    view: FeatureView,
    relation: Relation,
    first_us: int,
    last_us: int,
    row_key: Sequence[str] = (),
    known_time: bool = True,
) -> pa.Table:
    """Keys, `_event` and `_visible` (microseconds), the value columns and `_seq` of the rows that windows ending in
    [first, last] can hold, in the order they were written.

    With a `row_key` also `ROW`, which all forms of a row have in common, and `UNTIL`, when the next was known. Without
    `known_time` the last form of a row stands for it at all times."""
    assert view.horizon is not None
    event = f"CAST({quoted(view.source.event_time)} AS TIMESTAMPTZ)"
    low, high = from_micros(first_us) - view.horizon, from_micros(last_us)
    names = ", ".join(quoted(n) for n in dict.fromkeys((*view.key_columns, *view.columns)))
    source, forms, where = "source", "", ""
    if row_key:
        known = (
            f"epoch_us(coalesce({ARRIVED}, {event}))" if known_time or view.source.event_time == ARRIVED else LONG_AGO
        )
        source = f"(SELECT *, coalesce({superseded(row_key, known, SEQUENCE)}, {EVER}) AS {UNTIL}, "
        source += f"{_row_number(row_key)} AS {ROW} FROM source)"
        forms, where = f", {UNTIL}, {ROW}", f" AND {UNTIL} > {first_us}"
    else:
        relation = within(relation, view.source.event_time, low, high)
    with connect({"source": relation}) as duck:
        return arrow(
            duck,
            f"SELECT {names}, epoch_us({event}) AS _event, epoch_us(coalesce({ARRIVED}, {event})) AS _visible, "
            f"{SEQUENCE}{forms} FROM {source} "
            f"WHERE {event} > TIMESTAMPTZ '{low.isoformat()}' AND {event} <= TIMESTAMPTZ '{high.isoformat()}'{where} "
            f"ORDER BY {SEQUENCE}",
        )


def _row_number(row_key: Sequence[str]) -> str:
    """The number of the first form of each row, as SQL."""
    return f"min({SEQUENCE}) OVER (PARTITION BY {one_row(row_key)})"


def _row_numbers(relation: Relation, row_key: Sequence[str], forms: pa.ChunkedArray) -> NDArray[np.int64]:
    """What all forms of a row have in common, for the forms with these numbers; -1 for those that are not there."""
    asked = pa.table({"form": forms, "i": np.arange(len(forms))})
    with connect({"source": relation, "asked": asked}) as duck:
        rows = f"(SELECT {SEQUENCE} AS form, {_row_number(row_key)} AS number FROM source)"
        query = f"SELECT coalesce(r.number, -1) AS n FROM asked a LEFT JOIN {rows} r ON a.form = r.form ORDER BY a.i"
        return arrow(duck, query).column("n").to_numpy()
