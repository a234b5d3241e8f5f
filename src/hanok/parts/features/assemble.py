"""From spine rows to feature columns, as they were known at each row's instant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hanok.compute.duck import Relation, arrow, connect, quoted
from hanok.compute.frames import PREDICT_AT
from hanok.compute.point_in_time import AsOf, point_in_time_join
from hanok.compute.windows import sorted_rows, window_aggregate
from hanok.core.clock import from_micros
from hanok.core.declare import FeatureView, view_columns
from hanok.core.durations import duration
from hanok.core.errors import DeclarationError
from hanok.core.tables import ARRIVED, SEQUENCE

Scans = Callable[[str], Relation]


def feature_columns(spine: pa.Table, views: Sequence[FeatureView], scans: Scans) -> dict[str, pa.ChunkedArray]:
    """The columns `view__feature` of all views, row i belonging to spine row i.

    `spine` has the views' keys and the instant `_at`; `scans` gives the snapshot of a source table.
    """
    for view in views:
        if missing := [k for k in view.keys if k not in spine.column_names]:
            raise DeclarationError(
                f"feature view {view.name!r} is keyed by {missing[0]!r}, which the spine does not have "
                f"(it has {', '.join(c for c in spine.column_names if not c.startswith('_'))})"
            )
    plain = [v for v in views if not v.aggregate]
    columns: dict[str, pa.ChunkedArray] = {}
    if plain:
        keys = list(dict.fromkeys(k for v in plain for k in v.keys))
        with connect() as duck:
            tables = point_in_time_join(
                spine.select([*keys, PREDICT_AT]), PREDICT_AT, [_as_of(v, scans) for v in plain], connection=duck
            )
        for view, table in zip(plain, tables, strict=True):
            columns |= dict(zip(view_columns(view), table.columns, strict=True))
    for view in views:
        if view.aggregate:
            columns |= _windowed(spine, view, scans(view.source.table))
    return columns


def _as_of(view: FeatureView, scans: Scans) -> AsOf:
    return AsOf(scans(view.source.table), view.keys, view.source.event_time, ARRIVED, SEQUENCE, view.features, view.ttl)


def _windowed(spine: pa.Table, view: FeatureView, relation: Relation) -> dict[str, pa.ChunkedArray]:
    at = spine.column(PREDICT_AT).cast(pa.int64()).to_numpy()
    events = window_rows(view, relation, int(at.min()) if len(at) else 0, int(at.max()) if len(at) else 0)
    entities = pc.unique(entity_names(spine, view.keys).drop_null())
    spine_entity = codes(entity_names(spine, view.keys), entities)
    rows = sorted_rows(
        codes(entity_names(events, view.keys), entities),
        len(entities),
        events.column("_event").to_numpy(),
        events.column("_visible").to_numpy(),
        {c: numbers(events.column(c)) for c in view.columns},
    )
    columns = {}
    for name, aggregate in view.aggregate:
        for window in view.windows:
            values = window_aggregate(
                rows,
                spine_entity,
                at,
                duration(window) // timedelta(microseconds=1),
                aggregate.function,
                aggregate.column,
            )
            columns[f"{view.name}__{name}_{window}"] = pa.chunked_array([pa.array(values, from_pandas=True)])
    return columns


def window_rows(view: FeatureView, relation: Relation, first_us: int, last_us: int) -> pa.Table:
    """Keys, `_event` and `_visible` (microseconds) and the value columns of the rows that windows ending in
    [first, last] can hold, in the order they were written."""
    assert view.horizon is not None
    event = f"CAST({quoted(view.source.event_time)} AS TIMESTAMPTZ)"
    low, high = from_micros(first_us) - view.horizon, from_micros(last_us)
    names = ", ".join(quoted(n) for n in dict.fromkeys((*view.keys, *view.columns)))
    with connect({"source": relation}) as duck:
        return arrow(
            duck,
            f"SELECT {names}, epoch_us({event}) AS _event, epoch_us({ARRIVED}) AS _visible FROM source "
            f"WHERE {event} > TIMESTAMPTZ '{low.isoformat()}' AND {event} <= TIMESTAMPTZ '{high.isoformat()}' "
            f"ORDER BY {SEQUENCE}",
        )


def entity_names(rows: pa.Table, keys: Sequence[str]) -> pa.ChunkedArray:
    """One text for each row's entity; null when a key is null."""
    texts = [rows.column(k).cast(pa.string()) for k in keys]
    return texts[0] if len(texts) == 1 else pc.binary_join_element_wise(*texts, "\x1f")


def codes(names: pa.ChunkedArray, entities: pa.Array) -> NDArray[np.int64]:
    """The entity's place in `entities`; -1 for null and unknown ones."""
    found = pc.index_in(names, entities, skip_nulls=True)
    return found.fill_null(-1).cast(pa.int64()).to_numpy()


def numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
