"""Which source rows a feature value came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from hanok.compute.duck import connect, one_row, quoted
from hanok.core.clock import from_micros
from hanok.core.declare import FeatureView
from hanok.core.errors import BadKey
from hanok.core.tables import ARRIVED, SEQUENCE, Scan
from hanok.parts.features.online import FeatureCell
from hanok.parts.features.rows import equals

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

NEVER = -(1 << 62)
SLACK = timedelta(days=2)  # between an event and its arrival, before the whole table is looked through


@dataclass(frozen=True, slots=True)
class SourceRows:
    """The rows of `table` behind the values of `view` for one entity: one for a view of latest values, all those in the
    longest window of an aggregate. `row` is the `_seq` of the newest; None when nothing was visible."""

    view: str
    table: str
    keys: Mapping[str, FeatureCell]
    rows: int
    row: int | None = None
    event_time: datetime | None = None
    arrived: datetime | None = None


def source_rows(
    views: Sequence[FeatureView],
    entity: Mapping[str, FeatureCell],
    at: datetime,
    scan: Callable[[str, datetime | None], Scan],
    own: tuple[str, int] | None = None,
) -> list[SourceRows]:
    """For each view the source rows visible at `at`, by the rules of the joins: of rows with one event time the one
    that arrived last, and then the one written last. `entity` holds the views' keys; `scan` gives the rows of a table
    that arrived since an instant. `own` is (table, number) of the row that was predicted, which never counts."""
    scans = {}
    for table in {v.source.table for v in views}:
        horizons = [v.horizon for v in views if v.source.table == table]
        longest = None if None in horizons else max(h for h in horizons if h is not None)
        scans[table] = scan(table, None if longest is None else at - longest - SLACK)
    with connect(scans) as duck:
        return [
            _of_view(
                view,
                {k: entity.get(k) for k in view.keys},
                scans[view.source.table].schema,
                at,
                own[1] if own is not None and own[0] == view.source.table else None,
                duck,
            )
            for view in views
        ]


def _of_view(
    view: FeatureView,
    keys: Mapping[str, FeatureCell],
    schema: pa.Schema,
    at: datetime,
    own: int | None,
    duck: DuckDBPyConnection,
) -> SourceRows:
    event = f"CAST({quoted(view.source.event_time)} AS TIMESTAMPTZ)"
    instant = f"TIMESTAMPTZ '{at.isoformat()}'"
    if any(v is None for v in keys.values()):
        return SourceRows(view.name, view.source.table, keys, 0)
    try:
        named = zip(view.key_columns, keys.values(), strict=True)
        tests = [equals(k, schema.field(k).type, v) for k, v in named]
    except BadKey:  # it is none of the source's type, so no row has it
        return SourceRows(view.name, view.source.table, keys, 0)
    where = [test for test, _ in tests]
    where += [f"{event} <= {instant}", f"coalesce({ARRIVED}, {event}) <= {instant}"]
    source, row_key = quoted(view.source.table), [n for n in view.source.row_key or () if n in schema.names]
    if row_key:  # each row in the form that stood for it
        by, came = one_row(row_key), f"coalesce({ARRIVED}, {event}) <= {instant}"
        forms = f"SELECT *, min(CASE WHEN {SEQUENCE} = {-1 if own is None else int(own)} THEN 0 END) OVER "
        forms += f"(PARTITION BY {by}) IS NOT NULL AS _own, max(CASE WHEN {came} THEN {SEQUENCE} END) OVER "
        source = f"({forms}(PARTITION BY {by}) AS _stands FROM {source})"
        where += ["NOT _own", f"_stands = {SEQUENCE}"]
    elif own is not None:
        where.append(f"{SEQUENCE} <> {int(own)}")
    if view.horizon is not None:
        bound = ">" if view.aggregate else ">="  # a window is open at its start, a ttl is inclusive
        where.append(f"{event} {bound} TIMESTAMPTZ '{(at - view.horizon).isoformat()}'")
    order = f"({event}, coalesce(epoch_us({ARRIVED}), {NEVER}), {SEQUENCE})"  # no arrival is the earliest
    found = duck.execute(
        f"SELECT count(*), arg_max({SEQUENCE}, {order}), epoch_us(max({event})), "
        f"arg_max(coalesce(epoch_us({ARRIVED}), {NEVER}), {order}) FROM {source} "
        f"WHERE {' AND '.join(where)}",
        [text for _, text in tests],
    ).fetchone()
    assert found is not None
    count, row, newest, arrived = found
    if not count:
        return SourceRows(view.name, view.source.table, keys, 0)
    rows = count if view.aggregate else 1
    known = None if arrived == NEVER else from_micros(arrived)
    return SourceRows(view.name, view.source.table, keys, rows, row, from_micros(newest), known)
