"""Features for rows that anybody has: a point-in-time join that keeps the rows as they are and adds columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from hanok.compute.frames import PREDICT_AT
from hanok.core.declare import FeatureView, view_columns
from hanok.core.declare_rows import over_table
from hanok.core.durations import relative_time
from hanok.core.errors import BadData, Invalid
from hanok.core.tables import ARRIVED, SEQUENCE
from hanok.core.wording import near
from hanok.parts.features.assemble import OWN, Scans, feature_columns
from hanok.parts.features.rows import check_numbers, micros_of

MICROS = pa.timestamp("us", "UTC")


def joined(
    rows: pa.Table, at: str, views: Sequence[FeatureView], scans: Scans, *, known_time: bool = True, table: str = ""
) -> pa.Table:
    """`rows`, none dropped, doubled or moved, with the columns `view__feature` as they were known at each row's
    instant, which `at` gives ("asked", or "scheduled - 2h"). A row without an instant, or with a null key, gets nulls.

    `table` says that the rows are those of that table, by their number in `_seq`: a row is left out of its own
    features. Raises Invalid, BadData.
    """
    added = [name for view in views for name in view_columns(view)]
    given = [n for n in rows.column_names if n not in (SEQUENCE, ARRIVED)]
    if clash := sorted({n for n in added if n in given or added.count(n) > 1}):
        raise Invalid(f"the column {clash[0]!r} would be there twice: give a view another name with view.alias(...)")
    for view in views:
        if missing := [k for k in view.keys if k not in given]:
            raise Invalid(
                f"feature view {view.name!r} is keyed by {missing[0]!r}, and the rows have no such column"
                f"{near(missing[0], given) or '; they have ' + ', '.join(given)}. Another column is named by "
                f"view.alias({view.name!r}, keys=...)"
            )
    at_us = instants(rows, at)
    keys = list(dict.fromkeys(k for v in views for k in v.keys))
    spine = pa.table({k: _plain(rows.column(k)) for k in keys} | {PREDICT_AT: at_us.cast(MICROS)})
    if table:
        spine = spine.append_column(OWN, rows.column(SEQUENCE))
    asked = pc.indices_nonzero(at_us.is_valid())
    whole = len(asked) == rows.num_rows
    found = feature_columns(
        spine if whole else spine.take(asked), views, scans, spine_table=table, known_time=known_time
    )
    made = rows.select(given)
    place = None if whole else pc.index_in(pa.array(range(rows.num_rows), pa.uint64()), asked.cast(pa.uint64()))
    for name in added:
        made = made.append_column(name, found[name] if place is None else found[name].take(place))
    return made


def instants(rows: pa.Table, at: str) -> pa.ChunkedArray:
    """Microseconds of each row's instant; null where it has none. Without `at` the one column that holds instants."""
    relative = relative_time(at or _only_instant(rows))
    column, offset = relative.column, relative.offset // timedelta(microseconds=1)
    if column not in rows.column_names:
        raise Invalid(
            f"the rows have no column {column!r} to say when features are asked for"
            f"{near(column, rows.column_names) or '; they have ' + ', '.join(rows.column_names)}"
        )
    try:
        found = micros_of(_plain(rows.column(column)))
        return pc.add_checked(found, offset) if offset else found
    except (duckdb.Error, pa.ArrowInvalid) as error:
        raise BadData(
            f"column {column!r} ({rows.column(column).type}) does not hold instants: {str(error).splitlines()[0][:200]}"
        ) from None


def _only_instant(rows: pa.Table) -> str:
    times = [f.name for f in rows.schema if pa.types.is_timestamp(f.type) and f.name != ARRIVED]
    if len(times) == 1:
        return times[0]
    raise Invalid(
        f"say with `at` which column holds the instants that features are asked for: "
        f"{', '.join(times) or 'none of ' + ', '.join(rows.column_names) + ' is a timestamp'}"
    )


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Without dictionaries, which pandas' categories are."""
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def as_source(rows: pa.Table, view: FeatureView) -> pa.Table:
    """Rows that somebody has as those of a table: numbered as they stand, arrived when the source's `known_at` says."""
    known = view.source.known_at
    wanted = (*view.key_columns, view.source.event_time, *view.columns, *([known] if known else ()))
    wanted += (view.source.row_key or ()) if view.aggregate else ()
    for column in dict.fromkeys(wanted):
        if column not in rows.column_names and column != ARRIVED:
            raise Invalid(
                f"the rows of {view.source.table!r} have no column {column!r}, which feature view {view.name!r} reads"
                f"{near(column, rows.column_names) or '; they have ' + ', '.join(rows.column_names)}"
            )
    if SEQUENCE not in rows.column_names:
        rows = rows.append_column(SEQUENCE, pa.array(range(rows.num_rows), pa.int64()))
    if ARRIVED not in rows.column_names:
        arrived = pa.nulls(rows.num_rows, MICROS) if known is None else micros_of(rows.column(known)).cast(MICROS)
        rows = rows.append_column(ARRIVED, arrived)
    for column in view.key_columns:
        rows = rows.set_column(rows.column_names.index(column), column, _plain(rows.column(column)))
    return rows


def scans_of(
    tables: Mapping[str, pa.Table], views: Sequence[FeatureView]
) -> tuple[dict[str, pa.Table], list[FeatureView]]:
    """The rows that each view reads, and the views over them: rows of one table that were known by different columns
    are tables of their own. Raises Invalid for a table that is not given, DeclarationError."""
    found: dict[str, pa.Table] = {}
    known: dict[str, str | None] = {}
    over: list[FeatureView] = []
    for view in views:
        table = view.source.table
        if table not in tables:
            given = ", ".join(tables) or "none"
            raise Invalid(f"feature view {view.name!r} reads {table!r}, and no such rows are given (given: {given})")
        name = table
        if known.setdefault(table, view.source.known_at) != view.source.known_at:
            name = f"{table} known at {view.source.known_at}"
        found[name] = as_source(found.get(name, tables[table]), view)
        check_numbers(view, found[name].schema)
        over.append(view if name == table else over_table(view, name))
    return found, over
