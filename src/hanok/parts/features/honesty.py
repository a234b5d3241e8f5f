"""Views through which a row would see its own label before it is predicted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hanok.compute.duck import arrow, connect, quoted, read
from hanok.compute.frames import PREDICT_AT
from hanok.compute.keys import canonical_column, compare_alike, key_type
from hanok.core.declare import FeatureView, Model
from hanok.core.errors import DeclarationError, OwnLabelVisible
from hanok.core.tables import ARRIVED, SEQUENCE, Scan
from hanok.parts.features.assemble import spelled_keys
from hanok.parts.features.rows import entity_codes_of, micros_of
from hanok.parts.features.spine import KEY_PREFIX

SHARE_MAX = 0.01  # fewer rows than this may be faults of the data; they are told, not refused
NEVER = np.iinfo(np.int64).max


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
    found: list[OwnLabel] = []
    told: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
    for view in model.views:
        own = view.source.table == model.spine.table
        relation = scan(view.source.table)
        if own or (view.source.table == model.label.table and set(keys) <= set(relation.schema.names)):
            if view.source.table not in told:
                told[view.source.table] = _identities(() if own else keys, spine, relation)
            most = max(_only_own(view, told[view.source.table], spine, joined, relation), key=lambda made: made[1])
            if most[1]:
                found.append(OwnLabel(view.name, most[0], most[1], spine.num_rows, joined=True))
    return found


def _identities(keys: tuple[str, ...], spine: pa.Table, scan: Scan) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A number for each row of the spine and for each of a source: equal for what is one row by these keys; without
    them it is the row's number in the source."""
    if not keys:
        return spine.column(SEQUENCE).to_numpy(), read(scan, [SEQUENCE]).column(SEQUENCE).to_numpy()
    held = read(scan, list(keys))
    mine, theirs = _numbered([_of_spine(spine, k) for k in keys], [held.column(k) for k in keys])
    return mine, np.where(theirs < 0, -2 - np.arange(len(theirs)), theirs)  # which is no row of the spine, nor another


def _only_own(
    view: FeatureView,
    told: tuple[NDArray[np.int64], NDArray[np.int64]],
    spine: pa.Table,
    joined: pa.Table,
    scan: Scan,
) -> list[tuple[str, int]]:
    """For each feature the rows whose value nobody else can have given; `told` tells the rows of both sides apart."""
    mine, theirs = told
    names = dict.fromkeys((*view.key_columns, view.source.event_time, ARRIVED, *view.columns))
    held = read(scan, list(names))
    keys = _numbered([_of_spine(spine, k) for k in view.keys], [held.column(k) for k in view.key_columns])
    event, arrived = (micros_of(held.column(n)) for n in (view.source.event_time, ARRIVED))
    seen = np.maximum(event.fill_null(0).to_numpy(), pc.coalesce(arrived, event).fill_null(0).to_numpy())
    dated, at = event.is_valid().to_numpy(), micros_of(spine.column(PREDICT_AT)).to_numpy()
    found: list[tuple[str, int]] = []
    givers: dict[tuple[str | None, bool], _Givers] = {}
    for name, column, function in _givers(view):
        got = joined.column(name)
        there = np.ones(len(seen), np.bool_) if column is None else _given(held.column(column), nan=not function)
        asks, gives = keys
        if not function and column is not None:  # it is a value: whoever holds the same gives it
            asks, gives = _with_values(keys, got, held.column(column))
        if (made := givers.get((column, not function))) is None:
            who = np.flatnonzero(dated & there & (gives >= 0))
            made = givers[column, not function] = _Givers.of(gives[who], theirs[who], seen[who])
        has = pc.not_equal(got, 0).fill_null(False).to_numpy() if function == "count" else got.is_valid().to_numpy()
        found.append((name, made.alone(asks[has], mine[has], at[has])))
    return found


@dataclass(frozen=True, slots=True)
class _Givers:
    """Of each key (in order) the row that gave first and when, and when the first of all others did."""

    keys: NDArray[np.int64]
    who: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]

    @classmethod
    def of(cls, keys: NDArray[np.int64], who: NDArray[np.int64], seen: NDArray[np.int64]) -> _Givers:
        order = np.lexsort((seen, keys))
        keys, who, seen = keys[order], who[order], seen[order]
        each, starts, place = np.unique(keys, return_index=True, return_inverse=True)
        second = np.full(len(each), NEVER)
        np.minimum.at(second, place, np.where(who == who[starts][place], NEVER, seen))
        return cls(each, who[starts], seen[starts], second)

    def alone(self, keys: NDArray[np.int64], who: NDArray[np.int64], at: NDArray[np.int64]) -> int:
        """How many of those who ask for these keys can have got something from themselves only."""
        if not len(self.keys):
            return 0
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        others = np.where(self.who[place] == who, self.second[place], self.first[place])
        return int(np.sum((self.keys[place] == keys) & (others > at)))


def _numbered(
    asked: Sequence[pa.ChunkedArray], source: Sequence[pa.ChunkedArray]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Equal numbers for equal entities of both sides; -1 where one has none. Keys are equal by the types of `asked`."""
    ours, theirs = [], []
    for ask, give in zip(asked, source, strict=True):
        if ask.type != give.type or not compare_alike(ask.type, give.type):
            kind = key_type(ask.type)
            ask, give = (canonical_column(kind, column, strict=False) for column in (ask, give))
        ours.append(ask)
        theirs.append(give)
    known = [pc.unique(column).drop_null() for column in ours]
    return entity_codes_of(ours, known), entity_codes_of(theirs, known)


def _with_values(
    keys: tuple[NDArray[np.int64], NDArray[np.int64]], got: pa.ChunkedArray, held: pa.ChunkedArray
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of a key and a value together."""
    ours, theirs = _comparable(got), _comparable(held.cast(got.type) if held.type != got.type else held)
    known = pc.unique(ours).drop_null()
    mine, others = (entity_codes_of([values], [known]) for values in (ours, theirs))
    return _paired(keys[0], mine, len(known)), _paired(keys[1], others, len(known))


def _paired(keys: NDArray[np.int64], values: NDArray[np.int64], known: int) -> NDArray[np.int64]:
    return np.where((keys < 0) | (values < 0), -1, keys * (known + 1) + values)


def _comparable(values: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(values.type):
        return values.cast(values.type.value_type)
    if pa.types.is_nested(values.type):
        return pa.chunked_array([pa.array([None if v is None else repr(v) for v in values.to_pylist()], pa.string())])
    return pc.add(values, 0.0) if pa.types.is_float64(values.type) else values  # 0 and -0 are one value


def _given(values: pa.ChunkedArray, *, nan: bool) -> NDArray[np.bool_]:
    """Where a value is, which NaN is to a view of latest values (`nan`) and not to an aggregate."""
    return np.asarray(pc.invert(pc.is_null(values, nan_is_null=not nan)).to_numpy())


def _of_spine(spine: pa.Table, key: str) -> pa.ChunkedArray:
    return spine.column(KEY_PREFIX + key if KEY_PREFIX + key in spine.column_names else key)


def _asking(spine: pa.Table, told: Sequence[str], view: FeatureView) -> pa.Table:
    """What tells the rows of the spine apart, and the keys of a view as `_key0` and so on."""
    wanted = {k: k for k in told} | {f"_key{i}": k for i, k in enumerate(view.keys)}
    return pa.table({n: _of_spine(spine, k) for n, k in wanted.items()})


def _keyed(rows: pa.Table, told: Sequence[str], view: FeatureView, asking: pa.Table) -> pa.Table:
    """The same columns of the source's rows, spelled as the spine has them."""
    keys = {f"_key{i}": k for i, k in enumerate(view.key_columns)}
    columns = {k: rows.column(k) for k in told} | {n: rows.column(k) for n, k in keys.items()}
    return spelled_keys(pa.table(columns), asking, list(columns))


def _givers(view: FeatureView) -> list[tuple[str, str | None, str]]:
    """Columns of a training set, the source column that each is made of, and by which function ("": it is a value)."""
    if not view.aggregate:
        return [(f"{view.name}__{c}", c, "") for c in view.feature_names]
    return [(f"{view.name}__{n}_{w}", a.column, a.function) for n, a, w in view.windowed]


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
