"""Views through which a row would see its own label before it is predicted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from hanok.compute.duck import arrow, connect, quoted, read
from hanok.compute.frames import PREDICT_AT
from hanok.compute.keys import compare_alike
from hanok.core.declare import FeatureView, Model
from hanok.core.errors import DeclarationError, OwnLabelVisible
from hanok.core.tables import ARRIVED, SEQUENCE, Scan
from hanok.parts.features.assemble import spelled_keys
from hanok.parts.features.spine import KEY_PREFIX

SHARE_MAX = 0.01  # fewer rows than this may be faults of the data; they are told, not refused


@dataclass(frozen=True, slots=True)
class OwnLabel:
    """How many of the rows see their own label through a view when they are predicted."""

    view: str
    column: str
    seen: int
    rows: int

    @property
    def message(self) -> str:
        return (
            f"{self.column}: {self.seen:,} of {self.rows:,} rows see their own label through feature view "
            f"{self.view!r} at the instant they are predicted at"
        )


def check_declared(model: Model) -> None:
    """Refuse what the declaration alone shows: labels known at `predict_at`, read through a view at that very time."""
    at = model.spine.predict_at
    if at.offset.total_seconds() < 0 or model.label.known_at != at.column:
        return
    for view in _over_labels(model):
        if view.source.event_time == at.column and (not model.spine.keys or at.column in model.spine.keys):
            raise DeclarationError(
                f"model {model.name!r} would see its own label through {_columns(view)}: table {model.label.table!r} "
                f"has it at {at.column!r}, and that is when the prediction is made. Say when labels are really known "
                f'(event_time and known_at), or predict before: hk.Spine(..., predict_at="{at.column} - 1s")'
            )


def own_labels(model: Model, keys: tuple[str, ...], spine: pa.Table, scan: Callable[[str], Scan]) -> list[OwnLabel]:
    """Views over the label table in which some row's own label is visible when the row is predicted."""
    found = []
    views = _over_labels(model, same_table=True)
    early = {
        event: _any_early(keys, event, spine, scan(model.label.table)) for event in {v.source.event_time for v in views}
    }
    for view in views:
        if not early[view.source.event_time]:
            continue
        seen = _seen(model, keys, view, spine, scan(view.source.table))
        if seen:
            found.append(OwnLabel(view.name, _columns(view), seen, spine.num_rows))
    return found


def refuse(model: Model, found: list[OwnLabel]) -> None:
    """Raises OwnLabelVisible for a view in which more than a few rows see their own label."""
    for own in found:
        if own.seen > SHARE_MAX * own.rows:
            raise OwnLabelVisible(
                f"model {model.name!r} is not trained: {own.message}. No later row can be predicted that well. Give "
                "the source the event_time at which its facts are really known, or predict before",
                view=own.view,
                rows=own.rows,
                seen=own.seen,
            )


def _over_labels(model: Model, *, same_table: bool = False) -> list[FeatureView]:
    """Views over the label table. Where that is the spine itself a row is left out of its own features anyway."""
    if model.label.table == model.spine.table and not same_table:
        return []
    return [v for v in model.views if v.source.table == model.label.table]


def _columns(view: FeatureView) -> str:
    return ", ".join(f"{view.name}__{name}" for name in view.feature_names[:3])


def _any_early(keys: tuple[str, ...], event_time: str, spine: pa.Table, scan: Scan) -> bool:
    """Whether a label row lies, and arrived, before the prediction of its own row: one join, and mostly the answer."""
    types = {k: spine.column(KEY_PREFIX + k).type for k in keys}
    if not all(k in scan.schema.names and compare_alike(t, scan.schema.field(k).type) for k, t in types.items()):
        return True
    on = " AND ".join(f"s.{quoted(KEY_PREFIX + k)} = l.{quoted(k)}" for k in keys)
    asking = spine.select([*(KEY_PREFIX + k for k in keys), PREDICT_AT])
    with connect({"spine": asking, "labels": scan}) as duck:
        found = arrow(
            duck,
            f"SELECT 1 FROM spine s JOIN labels l ON {on} WHERE l.{ARRIVED} <= s.{PREDICT_AT} "
            f"AND CAST(l.{quoted(event_time)} AS TIMESTAMPTZ) <= s.{PREDICT_AT} LIMIT 1",
        )
    return bool(found.num_rows)


def _seen(model: Model, keys: tuple[str, ...], view: FeatureView, spine: pa.Table, scan: Scan) -> int:
    asked = dict.fromkeys((*keys, *view.keys))
    if not set(asked) <= set(scan.schema.names):
        return 0  # the label's rows are not told apart by the keys of both
    sides = {k: spine.column(KEY_PREFIX + k if KEY_PREFIX + k in spine.column_names else k) for k in asked}
    asking = pa.table(sides)
    event = quoted(view.source.event_time)
    names = dict.fromkeys((*asked, view.source.event_time, ARRIVED, SEQUENCE))
    labels = spelled_keys(read(scan, list(names)), asking, list(asked))
    rows = spelled_keys(asking, asking, list(asked)).append_column("t", spine.column(PREDICT_AT))
    rows = rows.append_column("n", pa.array(range(spine.num_rows), pa.int64())).append_column(
        "own", spine.column(SEQUENCE)
    )
    on = " AND ".join(f"s.{quoted(k)} = l.{quoted(k)}" for k in asked)
    at = f"CAST(l.{event} AS TIMESTAMPTZ)"
    tests = [f"{at} <= s.t", f"l.{ARRIVED} <= s.t"]
    if view.horizon is not None:
        tests.append(f"s.t - {at} {'<' if view.aggregate else '<='} INTERVAL '{view.horizon.total_seconds()} seconds'")
    if model.label.table == model.spine.table:
        tests.append(f"l.{SEQUENCE} <> s.own")
    with connect({"spine": rows, "labels": labels}) as duck:
        counted = arrow(
            duck,
            f"SELECT count(DISTINCT s.n) AS seen FROM spine s JOIN labels l ON {on} WHERE {' AND '.join(tests)}",
        )
    return int(counted.column("seen")[0].as_py())
