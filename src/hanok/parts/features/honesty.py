"""Views through which a row would see its own label before it is predicted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from hanok.compute.duck import add, arrow, connect, quoted, read
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
    """How many of the rows see their own label through a view when they are predicted. `joined`: they were found by the
    values that they got, not by the instants of their labels."""

    view: str
    column: str
    seen: int
    rows: int
    joined: bool = False

    @property
    def message(self) -> str:
        if self.joined:
            return (
                f"{self.column}: {self.seen:,} of {self.rows:,} rows have a value through feature view {self.view!r} "
                "that no row but their own can have given at the instant they are predicted at"
            )
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


def own_values(
    model: Model, keys: tuple[str, ...], spine: pa.Table, joined: pa.Table, scan: Callable[[str], Scan]
) -> list[OwnLabel]:
    """Views over the spine's or the label table through which rows got a value of their own, whatever the join should
    have done: no other row with the view's keys that had arrived by then holds it (an aggregate: none holds any)."""
    found = []
    for view in model.views:
        own = view.source.table == model.spine.table
        identity = (SEQUENCE,) if own else keys
        relation = scan(view.source.table)
        if (own or view.source.table == model.label.table) and set(identity) <= set(relation.schema.names):
            most = max(_only_own(view, identity, spine, joined, relation), key=lambda made: made[1])
            if most[1]:
                found.append(OwnLabel(view.name, most[0], most[1], spine.num_rows, joined=True))
    return found


def _only_own(
    view: FeatureView, identity: tuple[str, ...], spine: pa.Table, joined: pa.Table, scan: Scan
) -> list[tuple[str, int]]:
    """For each feature the rows whose value nobody else can have given."""
    told = [k for k in identity if k != SEQUENCE]
    asking = _asking(spine, told, view)
    copies = {f"_c{i}": c for i, c in enumerate(view.columns)}  # beside the keys, which are spelled
    names = dict.fromkeys((*told, *view.key_columns, view.source.event_time, ARRIVED, SEQUENCE, *view.columns))
    held = read(scan, list(names))
    source = _keyed(held, told, view, asking)
    others = {ARRIVED: ARRIVED, SEQUENCE: SEQUENCE, "_event": view.source.event_time} | copies
    for name, of in others.items():
        source = source.append_column(name, held.column(of))
    rows = spelled_keys(asking, asking, asking.column_names).append_column(SEQUENCE, spine.column(SEQUENCE))
    rows = rows.append_column("_t", spine.column(PREDICT_AT))
    place = {c: name for name, c in copies.items()}
    found = []
    with connect({"source": source}) as duck:
        for name, column, function in _givers(view):
            add(duck, "spine", rows.append_column("_v", joined.column(name)))
            query = _ONLY_OWN.format(**_parts(view, identity, place[column] if column else "", function))
            found.append((name, int(arrow(duck, query).column("found")[0].as_py())))
    return found


def _asking(spine: pa.Table, told: Sequence[str], view: FeatureView) -> pa.Table:
    """What tells the rows of the spine apart, and the keys of a view as `_key0` and so on."""
    wanted = {k: k for k in told} | {f"_key{i}": k for i, k in enumerate(view.keys)}
    prefixed = {n: KEY_PREFIX + k if KEY_PREFIX + k in spine.column_names else k for n, k in wanted.items()}
    return pa.table({n: spine.column(k) for n, k in prefixed.items()})


def _keyed(rows: pa.Table, told: Sequence[str], view: FeatureView, asking: pa.Table) -> pa.Table:
    """The same columns of the source's rows, spelled as the spine has them."""
    keys = {f"_key{i}": k for i, k in enumerate(view.key_columns)}
    columns = {k: rows.column(k) for k in told} | {n: rows.column(k) for n, k in keys.items()}
    return spelled_keys(pa.table(columns), asking, list(columns))


def _keys(view: FeatureView) -> list[str]:
    return [f"_key{i}" for i in range(len(view.keys))]


def _givers(view: FeatureView) -> list[tuple[str, str | None, str]]:
    """Columns of a training set, the source column that each is made of, and by which function ("": it is a value)."""
    if not view.aggregate:
        return [(f"{view.name}__{c}", c, "") for c in view.feature_names]
    return [(f"{view.name}__{n}_{w}", a.column, a.function) for n, a, w in view.windowed]


def _parts(view: FeatureView, identity: tuple[str, ...], column: str, function: str) -> dict[str, str]:
    value = [] if function else ["_v"]
    null = [] if not column else [f"{column} IS NULL"]
    if column and function:
        null.append(f"CAST({column} AS VARCHAR) = 'nan'")  # which is null to an aggregate
    return {
        "by": ", ".join([*_keys(view), *value]),
        "givers": ", ".join([*_keys(view), *([f"{column} AS _v"] if value else [])]),
        "who": f"row({', '.join(quoted(n) for n in identity)})",
        "none": " OR ".join([f"{k} IS NULL" for k in _keys(view)] + ["_event IS NULL", *null]),
        "same": " AND ".join([f"s.{k} = f.{k}" for k in (*_keys(view), *value)]),
        "given": "s._v <> 0" if function == "count" else "s._v IS NOT NULL",
    }


# The two first givers of each entity (and value) tell whether anybody but the row itself gave by t.
_ONLY_OWN = """
    WITH givers AS (
      SELECT {givers}, {who} AS _who, greatest(CAST(_event AS TIMESTAMPTZ), _arrived) AS _seen FROM source
      WHERE NOT ({none})),
    firsts AS (
      SELECT {by}, arg_min(_who, _seen, 2) AS _who, min(_seen, 2) AS _seen
      FROM (SELECT {by}, _who, min(_seen) AS _seen FROM givers GROUP BY ALL) GROUP BY {by})
    SELECT count(*) AS found FROM (SELECT *, {who} AS _own FROM spine) s JOIN firsts f ON {same}
    WHERE {given} AND coalesce(CASE WHEN f._who[1] = s._own THEN f._seen[2] ELSE f._seen[1] END > s._t, true)"""


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
    asked = dict.fromkeys((*keys, *view.key_columns))
    if not set(asked) <= set(scan.schema.names):
        return 0  # the label's rows are not told apart by the keys of both
    asking = _asking(spine, keys, view)
    held = read(scan, list(dict.fromkeys((*asked, view.source.event_time, ARRIVED, SEQUENCE))))
    labels = _keyed(held, keys, view, asking)
    for name, column in {ARRIVED: ARRIVED, SEQUENCE: SEQUENCE, "_event": view.source.event_time}.items():
        labels = labels.append_column(name, held.column(column))
    rows = spelled_keys(asking, asking, asking.column_names).append_column("_t", spine.column(PREDICT_AT))
    rows = rows.append_column("_n", pa.array(range(spine.num_rows), pa.int64())).append_column(
        "_own", spine.column(SEQUENCE)
    )
    on = " AND ".join(f"s.{quoted(k)} = l.{quoted(k)}" for k in asking.column_names)
    at = "CAST(l._event AS TIMESTAMPTZ)"
    tests = [f"{at} <= s._t", f"l.{ARRIVED} <= s._t"]
    if view.horizon is not None:
        tests.append(f"s._t - {at} {'<' if view.aggregate else '<='} INTERVAL '{view.horizon.total_seconds()} seconds'")
    if model.label.table == model.spine.table:
        tests.append(f"l.{SEQUENCE} <> s._own")
    with connect({"spine": rows, "labels": labels}) as duck:
        counted = arrow(
            duck,
            f"SELECT count(DISTINCT s._n) AS seen FROM spine s JOIN labels l ON {on} WHERE {' AND '.join(tests)}",
        )
    return int(counted.column("seen")[0].as_py())
