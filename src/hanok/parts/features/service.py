"""The verbs of the feature store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from hanok.compute.duck import arrow, connect, quoted
from hanok.compute.frames import PREDICT_AT
from hanok.compute.labels import dated, holds, known
from hanok.compute.leaks import Leak, known_late
from hanok.core.clock import Clock
from hanok.core.declare import FeatureView, Model, as_dict, digest
from hanok.core.errors import DeclarationError, FeatureViewNotFound, NotFound, NotTrainable
from hanok.core.ids import new_id
from hanok.core.lineage import Edge, EdgeKind, Event, Node, NodeKind, snapshot_id
from hanok.core.tables import ARRIVED, BOOKKEEPING, SEQUENCE, Scan
from hanok.parts.features import online as online_rows
from hanok.parts.features.assemble import feature_columns
from hanok.parts.features.provenance import SourceRows, source_rows
from hanok.stores.ports import Metadata, OnlineValues, Repositories, Tables

KEY_PREFIX = "key__"
LABEL = "_label"


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Rows in order of prediction time: keys (`key__...`), `_at`, features, `_label`; and what it was read from."""

    rows: pa.Table
    model: str
    features: tuple[str, ...]
    start: datetime | None
    end: datetime
    as_of: datetime
    snapshots: Mapping[str, int]
    leaks: tuple[Leak, ...] = ()


class Features:
    """Feature views over source tables: historical joins, online values."""

    def __init__(self, *, metadata: Metadata, tables: Tables, online: OnlineValues, clock: Clock) -> None:
        self._metadata, self._tables, self._online, self._clock = metadata, tables, online, clock
        self._views: dict[str, FeatureView] = {}
        self._schemas: dict[str, set[str]] = {}

    def apply(self, view: FeatureView) -> tuple[int, str]:
        """Record a view; returns its version and node id. The same declaration again changes nothing."""
        body, key = as_dict(view), digest(view)
        now = self._clock.now()

        def work(repositories: Repositories) -> int:
            version = repositories.declarations.put("feature_view", view.name, key, body, now)
            node = Node(view_node(view), NodeKind.FEATURE_VIEW, f"{view.name}@v{version}", now, {"declaration": body})
            repositories.lineage.add([node])
            return version

        version = self._metadata.write(work)
        self._views[view.name] = view
        return version, view_node(view)

    def views(self) -> list[FeatureView]:
        return list(self._views.values())

    def view(self, name: str) -> FeatureView:
        """Raises FeatureViewNotFound."""
        if name not in self._views:
            known = ", ".join(sorted(self._views)) or "none; run 'hanok apply'"
            raise FeatureViewNotFound(f"there is no feature view {name!r} (views: {known})")
        return self._views[name]

    def spine_keys(self, model: Model) -> tuple[str, ...]:
        """The columns that identify a row to predict."""
        if model.spine.keys:
            return model.spine.keys
        spine, label = (set(self._columns(t)) for t in (model.spine.table, model.label.table))
        shared = tuple(c for c in self._columns(model.spine.table) if c in spine & label)
        if not shared:
            raise DeclarationError(
                f"tables {model.spine.table!r} and {model.label.table!r} share no column, so labels cannot be "
                "matched: name the identifying columns with hk.Spine(..., keys=[...])"
            )
        return shared

    def spine_rows(
        self, model: Model, *, start: datetime | None = None, end: datetime | None = None, upto: int | None = None
    ) -> pa.Table:
        """Spine rows to be predicted in [start, end): keys, `_at`, when they arrived, spine features, keys of views."""
        scan = self._scan(model.spine.table, upto)
        keys = self.spine_keys(model)
        wanted = dict.fromkeys((*keys, *model.spine_columns, *(k for v in model.views for k in v.keys)))
        self._require(model, scan, [*wanted, model.spine.predict_at.column])
        at = _predict_at(model)
        bounds = [f"{at} IS NOT NULL", *_bounds(at, start, end)]
        names = ", ".join([quoted(c) for c in wanted] + [f"{quoted(k)} AS {quoted(KEY_PREFIX + k)}" for k in keys])
        with connect({"spine": scan}) as duck:
            return arrow(
                duck,
                f"SELECT {names}, {at} AS {PREDICT_AT}, {ARRIVED} FROM spine WHERE {' AND '.join(bounds)} "
                f"ORDER BY {PREDICT_AT}, {SEQUENCE}",
            )

    def historical(self, model: Model, spine: pa.Table, snapshots: Mapping[str, int] | None = None) -> pa.Table:
        """The spine's keys, `_at` and all features of the model as they were known at each row's instant."""
        upto = snapshots or {}
        found = feature_columns(spine, model.views, lambda table: self._scan(table, upto.get(table)))
        columns = {n: spine.column(n) for n in spine.column_names if n.startswith(KEY_PREFIX) or n == PREDICT_AT}
        for name in model.feature_columns:
            columns[name] = found[name] if name in found else spine.column(name)
        return pa.table(columns)

    def training_set(
        self,
        model: Model,
        *,
        end: datetime | None = None,
        as_of: datetime | None = None,
        snapshots: Mapping[str, int] | None = None,
        start: datetime | None = None,
    ) -> TrainingSet:
        """All labelled rows predicted in [start, end) whose label was known at `as_of` (now by default)."""
        known = as_of or self._clock.now()
        upto = dict(snapshots) if snapshots is not None else self._snapshot(model)
        begin = start
        if begin is None and model.retrain is not None and model.retrain.lookback is not None:
            begin = (end or known) - model.retrain.lookback
        spine = self.spine_rows(model, start=begin, end=end or known, upto=upto.get(model.spine.table))
        labels = self.labels(model, spine, as_of=known, upto=upto.get(model.label.table))
        kept = labels.is_valid()
        spine, labels = spine.filter(kept), labels.filter(kept)
        if not spine.num_rows:
            raise NotTrainable(
                f"model {model.name!r} has no labelled rows before {known:%Y-%m-%d %H:%M}: ingest "
                f"{model.spine.table!r} and {model.label.table!r} first, and check that their keys "
                f"({', '.join(self.spine_keys(model))}) have equal values"
            )
        rows = self.historical(model, spine, upto).append_column(LABEL, labels)
        instants = (spine.column(n).cast(pa.int64()).to_numpy() for n in (PREDICT_AT, ARRIVED))
        late = known_late(model.spine.table, *instants) if model.spine_columns else []
        return TrainingSet(rows, model.name, model.feature_columns, begin, end or known, known, upto, tuple(late))

    def labels(
        self, model: Model, spine: pa.Table, *, as_of: datetime | None = None, upto: int | None = None
    ) -> pa.ChunkedArray:
        """The label of each spine row as known at `as_of`; null where it is not known yet. Which label counts is the
        rule of core/labels.py."""
        scan = self._scan(model.label.table, upto)
        keys = self.spine_keys(model)
        self._require(model, scan, [*keys, model.label.column, model.label.known_at])
        label, known_at = model.label.column, model.label.known_at
        cut = f"{known(known_at)} <= TIMESTAMPTZ '{(as_of or self._clock.now()).isoformat()}'"
        where = f"WHERE {cut} AND {holds(label, scan.schema.field(label).type)}"
        newest = f"arg_max({quoted(label)}, ({dated(known_at)}, {SEQUENCE}))"
        names = ", ".join(quoted(k) for k in keys)
        matched = " AND ".join(f"s.{quoted(KEY_PREFIX + k)} = l.{quoted(k)}" for k in keys)
        numbered = spine.select([KEY_PREFIX + k for k in keys]).append_column(
            "_row", pa.array(range(spine.num_rows), pa.int64())
        )
        with connect({"labels": scan, "spine": numbered}) as duck:
            return arrow(
                duck,
                f"SELECT l.{LABEL} FROM spine s LEFT JOIN ("
                f"  SELECT {names}, {newest} AS {LABEL} FROM labels {where} "
                f"  GROUP BY {names}) l ON {matched} ORDER BY s._row",
            ).column(LABEL)

    def push(self, table: str, rows: pa.Table) -> int:
        """Update the online values of every view over `table` with newly arrived rows."""
        return sum(
            online_rows.push(self._online, view, rows, self._clock.now())
            for view in self._views.values()
            if view.source.table == table
        )

    def materialize(self, name: str) -> int:
        """Rebuild a view's online values from its source; returns the number of entities."""
        view = self.view(name)
        scan = self._scan(view.source.table, None)
        now = self._clock.now()
        event = f"CAST({quoted(view.source.event_time)} AS TIMESTAMPTZ)"
        bound = "" if view.horizon is None else f"WHERE {event} > TIMESTAMPTZ '{(now - view.horizon).isoformat()}'"
        if not view.aggregate:
            bound = ""
        with connect({"source": scan}) as duck:
            rows = arrow(duck, f"SELECT * FROM source {bound} ORDER BY {SEQUENCE}")
        self._online.clear(view.name)
        online_rows.push(self._online, view, rows, now)
        return self._online.count(view.name)

    def online(self, name: str, entities: Sequence[Sequence[Any]]) -> list[online_rows.OnlineRow]:
        """Values of a view for entities given by their key values, as they stand now."""
        return online_rows.read(self._online, self.view(name), entities, self._clock.now())

    def online_features(self, model: Model, row: Mapping[str, Any]) -> dict[str, Any]:
        """All features of a model for one spine row (spine features and keys in `row`), from the online store."""
        values: dict[str, Any] = {name: row.get(name) for name in model.spine_columns}
        for view in model.views:
            found = self.online(view.name, [[row.get(k) for k in view.keys]])[0]
            values |= {f"{view.name}__{name}": value for name, value in found.values.items()}
        return values

    def find_spine_row(self, model: Model, match: Mapping[str, Any]) -> Mapping[str, Any]:
        """The newest spine row that has the given values, preferring one still to be predicted. Raises NotFound."""
        scan = self._scan(model.spine.table, None)
        unknown = [c for c in match if c not in scan.schema.names]
        if unknown:
            raise DeclarationError(
                f"table {model.spine.table!r} has no column {unknown[0]!r}; it has "
                f"{', '.join(c for c in scan.schema.names if c not in BOOKKEEPING)}"
            )
        at = _predict_at(model)
        where = " AND ".join(_equals(c, scan.schema.field(c).type) for c in match) or "true"
        now = f"TIMESTAMPTZ '{self._clock.now().isoformat()}'"
        with connect({"spine": scan}) as duck:
            rows = arrow(
                duck,
                f"SELECT *, {at} AS {PREDICT_AT} FROM spine WHERE {where} ORDER BY ({at} >= {now}) DESC, "
                f"CASE WHEN {at} >= {now} THEN {at} - {now} ELSE {now} - {at} END LIMIT 1",
                [str(v) for v in match.values()],
            ).to_pylist()
        if not rows:
            wanted = ", ".join(f"{k}={v}" for k, v in match.items())
            raise NotFound(f"table {model.spine.table!r} has no row with {wanted}")
        return rows[0]

    def source_rows(self, model: Model, entity: Mapping[str, Any], at: datetime) -> list[SourceRows]:
        """The source rows behind the features of the row with these keys, as they were visible at `at`. Empty when the
        spine does not have the row."""
        try:
            row = self.find_spine_row(model, entity) if entity else {}
        except NotFound:
            return []
        return source_rows(model.views, row, at, lambda table, since: self._tables.scan(table, since=since))

    def record_training_set(self, model: Model, made: TrainingSet, package: str, *, node_id: str = "") -> str:
        """Make the training set a node that its snapshots and views lead to; returns its id. `package` is the digest
        of its Parquet bytes. A `node_id` that is given is made once."""
        now = self._clock.now()
        node_id = node_id or new_id(now)
        facts = {
            "model": model.name,
            "rows": made.rows.num_rows,
            "start": made.start and made.start.isoformat(),
            "end": made.end.isoformat(),
            "as_of": made.as_of.isoformat(),
            "snapshots": dict(made.snapshots),
            "digest": package,
            "features": list(made.features),
        }
        node = Node(node_id, NodeKind.TRAINING_SET, f"{model.name} until {made.end:%Y-%m-%d}", now, facts)
        snapshots = [
            Node(snapshot_id(t, n), NodeKind.SOURCE_SNAPSHOT, f"{t}[:{n}]", now, {"table": t, "rows": n})
            for t, n in made.snapshots.items()
        ]
        edges = [Edge(node_id, EdgeKind.READ, s.id) for s in snapshots]
        edges += [Edge(node_id, EdgeKind.READ, view_node(v)) for v in model.views]

        def work(repositories: Repositories) -> None:
            repositories.lineage.add([*snapshots, node], edges)
            repositories.outbox.append(Event("training_set_made", node_id, now, {"model": model.name}))

        self._metadata.write(work)
        return node_id

    def _snapshot(self, model: Model) -> dict[str, int]:
        return {t: self._tables.size(t) for t in model.tables}

    def _scan(self, table: str, upto: int | None) -> Scan:
        return self._tables.scan(table, upto=upto)

    def _columns(self, table: str) -> list[str]:
        return [c for c in self._tables.scan(table).schema.names if c not in BOOKKEEPING]

    def _require(self, model: Model, scan: Scan, columns: Sequence[str]) -> None:
        if missing := [c for c in columns if c not in scan.schema.names]:
            raise DeclarationError(
                f"model {model.name!r} reads {missing[0]!r} from table {scan.table!r}, which does not have it; "
                f"it has {', '.join(c for c in scan.schema.names if c not in BOOKKEEPING)}"
            )


def _equals(column: str, kind: pa.DataType) -> str:
    """A column equal to a text parameter; instants may be written in any of ISO's ways."""
    to = "TIMESTAMPTZ" if pa.types.is_timestamp(kind) else "VARCHAR"
    return f"CAST({quoted(column)} AS {to}) = CAST(? AS {to})"


def _predict_at(model: Model) -> str:
    relative = model.spine.predict_at
    offset = relative.offset // timedelta(microseconds=1)
    return f"(CAST({quoted(relative.column)} AS TIMESTAMPTZ) + to_microseconds({offset}))"


def _bounds(expression: str, start: datetime | None, end: datetime | None) -> list[str]:
    bounds = [] if start is None else [f"{expression} >= TIMESTAMPTZ '{start.isoformat()}'"]
    return bounds if end is None else [*bounds, f"{expression} < TIMESTAMPTZ '{end.isoformat()}'"]


def view_node(view: FeatureView) -> str:
    """The id of a view version is the hash of its declaration."""
    return digest(view)[:32]
