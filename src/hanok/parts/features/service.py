"""The verbs of the feature store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hanok.compute.frames import GROUP, PREDICT_AT
from hanok.compute.keys import key_types
from hanok.compute.leaks import Leak, known_late
from hanok.core.clock import Clock
from hanok.core.declare import FeatureService, FeatureView, Model, as_dict, digest
from hanok.core.errors import DeclarationError, FeatureViewNotFound, HanokError, Invalid, NotTrainable
from hanok.core.ids import new_id
from hanok.core.keys import KeyType, KeyValue, canonical
from hanok.core.lineage import Edge, EdgeKind, Event, Node, NodeKind, snapshot_id
from hanok.core.tables import ARRIVED, SEQUENCE, Scan
from hanok.parts.features.asking import OnlineFeature, entity_columns, picked, views_named
from hanok.parts.features.assemble import feature_columns
from hanok.parts.features.generations import Generations
from hanok.parts.features.honesty import check_declared, own_labels, own_values, refuse
from hanok.parts.features.joining import joined
from hanok.parts.features.keeping import Keeping
from hanok.parts.features.online import FeatureCell, OnlineRow, Own, Use, entity_key, identities
from hanok.parts.features.provenance import SourceRows, source_rows
from hanok.parts.features.rows import as_key, check_columns, micros_of, no_numbers_in
from hanok.parts.features.seen import KNOWN
from hanok.parts.features.spine import KEY_PREFIX, LABEL, Spines
from hanok.parts.features.transforming import in_bulk, input_types, of_row
from hanok.stores.ports import Metadata, OnlineValues, Repositories, Tables

__all__ = ["KEY_PREFIX", "LABEL", "FeatureCell", "Features", "OnlineRow", "TrainingSet", "view_node"]


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
    """Feature views over source tables: historical joins, online values.

    A view is known by its declaration. Online values are kept for each view as each spine asks it (`Use`), so that what
    a model version was trained with goes on answering beside what is declared now.
    """

    def __init__(self, *, metadata: Metadata, tables: Tables, online: OnlineValues, clock: Clock) -> None:
        self._metadata, self._tables, self._clock = metadata, tables, clock
        self._views: dict[str, FeatureView] = {}
        self._services: dict[str, FeatureService] = {}
        self._models: tuple[Model, ...] = ()
        self._inputs: dict[int, tuple[Model, Mapping[str, pa.DataType]]] = {}
        self._types: dict[tuple[str, tuple[str, ...]], tuple[KeyType, ...]] = {}
        self._values = Keeping(Generations(online, clock, self._scan_or_none))
        self.spines = spines = Spines(tables, clock)
        self.spine_keys, self.spine_rows, self.find_spine_row = spines.keys, spines.rows, spines.find
        self.seen_rows = spines.seen
        self.labels, self.entity = spines.labels, spines.entity
        self._check_keys = spines.check_keys

    # -- declarations ----------------------------------------------------------------------------------------

    def apply(self, view: FeatureView) -> tuple[int, str]:
        """Record a view; returns its version and node id. The same declaration again changes nothing."""
        key, body, now = digest(view), as_dict(view), self._clock.now()

        def work(repositories: Repositories) -> int:
            version = repositories.declarations.put("feature_view", view.name, key, body, now)
            facts = {"declaration": as_dict(view.stored)}
            node = Node(view_node(view), NodeKind.FEATURE_VIEW, f"{view.name}@v{version}", now, facts)
            repositories.lineage.add([node])
            return version

        version = self._metadata.write(work)
        self._views[view.name] = view
        return version, view_node(view)

    def apply_services(self, services: Sequence[FeatureService]) -> None:
        """Record services; these are all that there are from now on. Their views are applied already."""
        now = self._clock.now()

        def work(repositories: Repositories) -> None:
            for service in services:
                body, key = as_dict(service), digest(service)
                version = repositories.declarations.put("feature_service", service.name, key, body, now)
                name = f"{service.name}@v{version}"
                node = Node(service_node(service), NodeKind.FEATURE_SERVICE, name, now, {"declaration": body})
                reads = [Edge(node.id, EdgeKind.READ, view_node(v)) for v in service.views]
                repositories.lineage.add([node], list(dict.fromkeys(reads)))

        if services:
            self._metadata.write(work)
        self._services = {service.name: service for service in services}

    def restore(self, views: Iterable[FeatureView], services: Iterable[FeatureService] = ()) -> None:
        """Declare views and services that were applied before; nothing is recorded."""
        self._views = {view.name: view for view in views}
        self._services = {service.name: service for service in services}

    def check(self, model: Model) -> None:
        """Refuse a model whose rows would see their own label, or whose keys have no common type. Raises
        DeclarationError."""
        check_declared(model)
        self._check_keys(model)

    def keep_online(self, models: Iterable[Model]) -> None:
        """Hold online values for the views of these declarations and for the applied views, and for nothing else. What
        is missing is filled first; a view that cannot be filled stops no other (`unfilled`)."""
        self._models = tuple(models)
        self._values.keep(self._uses())

    def views(self) -> list[FeatureView]:
        return list(self._views.values())

    def view(self, name: str) -> FeatureView:
        """Raises FeatureViewNotFound."""
        if name not in self._views:
            known = ", ".join(sorted(self._views)) or "none; run 'hanok apply'"
            raise FeatureViewNotFound(f"there is no feature view {name!r} (views: {known})")
        return self._views[name]

    def services(self) -> list[FeatureService]:
        return list(self._services.values())

    def named(self, names: Sequence[str]) -> tuple[FeatureView, ...]:
        """The views of services, views and features that are asked for by name. Raises FeatureViewNotFound."""
        return views_named(names, self._views, self._services)

    # -- history ---------------------------------------------------------------------------------------------

    def historical(self, model: Model, spine: pa.Table, snapshots: Mapping[str, int] | None = None) -> pa.Table:
        """The spine's keys, `_at` and all features of the model as they were known at each row's instant."""
        upto = snapshots or {}
        found = feature_columns(
            spine, model.views, lambda table: self._scan(table, upto.get(table)), spine_table=model.spine.table
        )
        columns = {n: spine.column(n) for n in spine.column_names if n.startswith(KEY_PREFIX) or n == PREDICT_AT}
        if model.transforms:
            read = (*model.spine_columns, *model.spine_inputs)
            found |= in_bulk(model, {n: spine.column(n) for n in read} | found)
        for name in model.feature_columns:
            columns[name] = found[name] if name in found else spine.column(name)
        return pa.table(columns)

    def join(
        self,
        rows: pa.Table,
        at: str,
        views: Sequence[FeatureView],
        *,
        known_time: bool = True,
        table: str = "",
        snapshots: Mapping[str, int] | None = None,
    ) -> pa.Table:
        """Rows that anybody has, with the features of these views as they were known at each row's instant: see
        `joining.joined`."""
        upto = snapshots or {}
        return joined(rows, at, views, lambda t: self._scan(t, upto.get(t)), known_time=known_time, table=table)

    def training_set(
        self,
        model: Model,
        *,
        end: datetime | None = None,
        as_of: datetime | None = None,
        snapshots: Mapping[str, int] | None = None,
        start: datetime | None = None,
    ) -> TrainingSet:
        """All labelled rows predicted in [start, end) whose label was known at `as_of` (now by default).

        Raises NotTrainable without rows, OwnLabelVisible when rows see their own label through a view.
        """
        known = as_of or self._clock.now()
        upto = dict(snapshots) if snapshots is not None else self._snapshot(model)
        begin = start
        if begin is None and model.retrain is not None and model.retrain.lookback is not None:
            begin = (end or known) - model.retrain.lookback
        spine = self.spine_rows(model, start=begin, end=end or known, upto=upto.get(model.spine.table))
        if not spine.num_rows:
            raise NotTrainable(self._outside(model, begin, end or known, upto.get(model.spine.table)))
        labels = self.labels(model, spine, as_of=known, upto=upto.get(model.label.table))
        kept = labels.is_valid()
        spine, labels = spine.filter(kept), labels.filter(kept)
        if not spine.num_rows:
            raise NotTrainable(
                f"model {model.name!r} has no labelled rows before {known:%Y-%m-%d %H:%M}: ingest "
                f"{model.spine.table!r} and {model.label.table!r} first, and check that their keys "
                f"({', '.join(self.spine_keys(model))}) have equal values"
            )
        for view in model.views:
            check_columns(view, self._scan(view.source.table, upto.get(view.source.table)).schema)
        keys = self.spine_keys(model)
        own = own_labels(model, keys, spine, lambda table: self._scan(table, upto.get(table)))
        refuse(model, own)
        rows = self.historical(model, spine, upto).append_column(LABEL, labels)
        if model.split.group:
            rows = rows.append_column(GROUP, spine.column(model.split.group))
        got = own_values(model, keys, spine, rows, lambda table: self._scan(table, upto.get(table)))
        refuse(model, got)
        own = [*own, *(o for o in got if all(o.view != told.view for told in own))]
        instants = (spine.column(n).cast(pa.int64()).to_numpy() for n in (PREDICT_AT, ARRIVED))
        late = known_late(model.spine.table, *instants) if model.spine_columns or model.spine_inputs else []
        leaks = (*late, *(Leak("own label", o.column, o.message, False) for o in own))
        return TrainingSet(rows, model.name, model.feature_columns, begin, end or known, known, upto, leaks)

    def _outside(self, model: Model, start: datetime | None, end: datetime, upto: int | None) -> str:
        """Why no row of the spine is trained on: none is there, or all lie outside the window."""
        at = self.spine_rows(model, upto=upto).column(PREDICT_AT)
        window = f"from {start:%Y-%m-%d %H:%M} " if start is not None else ""
        window += f"until {end:%Y-%m-%d %H:%M}"
        if not len(at):
            return f"model {model.name!r} has no rows to learn from: ingest {model.spine.table!r} first"
        ends = pc.min_max(at)
        return (
            f"model {model.name!r} learns from rows predicted {window}, and all {len(at)} rows of "
            f"{model.spine.table!r} lie outside: their {model.spine.predict_at.column} goes from "
            f"{ends['min'].as_py():%Y-%m-%d %H:%M} to {ends['max'].as_py():%Y-%m-%d %H:%M}. Rows ahead of now, or "
            "older than retrain=hk.Retrain(window=...), are not trained on"
        )

    def source_rows(
        self, model: Model, entity: Mapping[str, KeyValue], at: datetime, known: datetime | None = None
    ) -> list[SourceRows]:
        """The source rows behind the features of the row with these keys, as they were visible at `at`. The row is
        taken as it was `known` (at `at`, but for what was answered in bulk). Empty when the spine does not have it."""
        spine = self._scan_or_none(model.spine.table)
        if spine is None or not entity or not set(entity) <= set(spine.schema.names):
            return []
        asked = {KEY_PREFIX + k: [v] for k, v in entity.items()}
        instants = pa.table(asked | {PREDICT_AT: [at], KNOWN: [known or at]})
        try:
            row = next(iter(self.seen_rows(model, instants).to_pylist()), None)
        except DeclarationError:  # it reads columns that the spine does not have
            return []
        if row is None:
            return []
        own = (model.spine.table, row[SEQUENCE])
        return source_rows(model.views, row, at, lambda table, since: self._tables.scan(table, since=since), own)

    # -- online ----------------------------------------------------------------------------------------------

    def push(self, table: str, rows: pa.Table) -> int:
        """Update the online values of every view over `table` with newly arrived rows; returns how many entities of
        views were touched."""
        return self._values.push((use for use in self._uses() if use.view.source.table == table), rows)

    def unfilled(self, table: str = "") -> dict[str, str]:
        """The views, of all or over `table`, whose online values cannot be made, or not of all they name; and why."""
        found: dict[str, str] = {}
        for view in self._views.values():
            if table not in ("", view.source.table):
                continue
            try:
                if (scan := self._scan_or_none(view.source.table)) is not None:
                    check_columns(view, scan.schema)
            except DeclarationError as error:  # the table came after the view
                found[view.name] = error.message.removeprefix(f"feature view {view.name!r} ")
            except HanokError:  # what is damaged, or not shown to who asks, is told of where it is read
                continue
        return found | {u.view.name: why for u, why in self._values.failed() if table in ("", u.view.source.table)}

    def no_numbers(self, table: str, rows: pa.Table) -> dict[str, str]:
        """The columns of which windows take numbers, and that have others in these rows of a table: what is said of
        each."""
        views = [v for v in self._views.values() if v.source.table == table]
        return {c: said for v in views for c, said in no_numbers_in(v, rows).items()}

    def materialize(self, name: str) -> int:
        """Rebuild a view's online values from its source, beside those that answer; returns the number of entities."""
        view = self.view(name)
        return max(self._values.fill(use) for use in self._uses() if use.view == view.stored)

    def entities_online(self, name: str) -> int:
        """Entities of a view that have online values."""
        view = self.view(name)
        return max(self._values.count(use) for use in self._uses() if use.view == view.stored)

    def online(self, name: str, entities: Sequence[Sequence[KeyValue | None]]) -> list[OnlineRow]:
        """Values of a view for entities given by their key values, in any spelling, as they stand now.

        Raises BadKey.
        """
        view = self.view(name)
        for entity in entities:
            if len(entity) != len(view.keys):
                named = " ".join(f"{k}=..." for k in view.keys)
                raise Invalid(
                    f"feature view {name!r} is keyed by {', '.join(view.keys)}; got {len(entity)} values "
                    f"({', '.join(map(str, entity))[:100]}): give each key's value in this order, or by name ({named})"
                )
        use = self._use(view, None)
        return self._values.read(use, [_key(use, e) for e in entities])

    def online_features(self, declaration: Model, row: Mapping[str, FeatureCell]) -> dict[str, FeatureCell]:
        """All features of one spine row (its columns and keys in `row`), from the online store, as the declaration has
        them that a model version was trained with. A row that has its number is left out of its own features."""
        values: dict[str, FeatureCell] = {name: row.get(name) for name in declaration.spine_columns}
        for view in declaration.views:
            use = self._use(view, declaration)
            key = _key(use, [as_key(row.get(k)) for k in view.keys])
            (found,) = self._values.read(use, [key], self._own(use, row, key) if use.own else None)
            values |= {f"{view.name}__{name}": found.values[name] for name in view.feature_names}
        if declaration.transforms:
            own_columns = {name: row.get(name) for name in declaration.spine_inputs}
            values |= of_row(declaration, own_columns | values, self._input_types(declaration))
        return values

    def _own(self, use: Use, row: Mapping[str, FeatureCell], key: bytes | None) -> Own | None:
        """The asking row, by its number; where there are other forms of it by what tells it apart too, if the row says
        that and is one of the entity asked for."""
        number, names = row.get(SEQUENCE), use.row_key
        if not isinstance(number, int):
            return None
        if not names or not set(names) <= set(row) or any(row[n] is None for n in names):
            return Own(number)
        if _key(use, [as_key(row.get(k)) for k in use.view.keys]) != key:
            return Own(number)
        schema = self._tables.scan(use.view.source.table).schema
        told = pa.table({n: pa.array([row[n]], schema.field(n).type) for n in names})
        event = use.view.source.event_time
        at = micros_of(told.column(event)).to_numpy() if event in names else np.zeros(1, np.int64)
        return Own(number, int(identities(use, told, at)[0]))

    def _input_types(self, model: Model) -> Mapping[str, pa.DataType]:
        """What the inputs of transforms are in the tables, whose columns never change their types."""
        known = self._inputs.get(id(model))
        if known is None or known[0] is not model:
            schemas = {table: self._tables.scan(table).schema for table in model.tables if self._tables.size(table)}
            known = self._inputs[id(model)] = model, input_types(model, schemas)
        return known[1]

    def online_of(
        self, views: Sequence[FeatureView], entities: Sequence[Mapping[str, KeyValue | None]]
    ) -> list[OnlineFeature]:
        """The features of views for many entities, given by the values of all their keys, as they stand now. Raises
        Invalid, BadKey, FeatureViewNotFound for a view whose values are not kept."""
        columns, found = entity_columns(views, entities), list[OnlineFeature]()
        for view in views:
            stored = view.stored
            if not self._is_kept(stored):
                raise FeatureViewNotFound(
                    f"feature view {view.name!r} is not applied as it is asked for, so no online values are kept for "
                    "it: put it into the project file, then 'hanok apply'"
                )
            use = self._use(view, None)
            keys = [_key(use, values) for values in zip(*(columns[k] for k in view.keys), strict=True)]
            found += picked(view, self._values.read(use, keys))
        return found

    def _is_kept(self, stored: FeatureView) -> bool:
        """Whether online values of a view are kept: it is applied, or a version that answers reads it."""
        applied = self._views.get(stored.name)
        if applied is not None and applied.stored == stored:
            return True
        return any(v.stored == stored for m in self._models for v in m.views)

    def sources(self) -> set[str]:
        """The tables whose rows online values are made of."""
        return {use.view.source.table for use in self._uses()}

    def _uses(self) -> list[Use]:
        """Each view as each spine asks it; a view that no model asks is kept by the types of its own source."""
        asked = [(view, model) for model in self._models for view in model.views]
        known = {view.stored for view, _ in asked}
        idle = [(v, None) for v in self._views.values() if v.stored not in known]
        uses = [self._use(view, model) for view, model in (*asked, *idle)]
        return list({use.id: use for use in uses}.values())

    def _use(self, view: FeatureView, model: Model | None) -> Use:
        stored, asking = view.stored, view
        if model is None:
            askers = ((m, v) for m in self._models for v in m.views if v.stored == stored)
            model, asking = next(askers, (None, stored))
        spine = model.spine.table if model else view.source.table
        kinds = self._key_types(spine, asking.keys) or self._key_types(view.source.table, view.key_columns)
        return Use(stored, kinds or (KeyType.TEXT,) * len(view.keys), model is not None and spine == view.source.table)

    def _key_types(self, table: str, keys: tuple[str, ...]) -> tuple[KeyType, ...] | None:
        """The types of key columns, which never change once a table has them; None while it does not."""
        known = self._types.get((table, keys))
        if known is None and self._tables.size(table):
            schema = self._tables.scan(table).schema
            if set(keys) <= set(schema.names):
                known = self._types[table, keys] = key_types(schema, keys)
        return known

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
        edges += [Edge(node_id, EdgeKind.READ, node) for node in dict.fromkeys(map(view_node, model.views))]

        def work(repositories: Repositories) -> None:
            repositories.lineage.add([*snapshots, node], edges)
            repositories.outbox.append(Event("training_set_made", node_id, now, {"model": model.name}))

        self._metadata.write(work)
        return node_id

    def _snapshot(self, model: Model) -> dict[str, int]:
        return {t: self._tables.size(t) for t in model.tables}

    def _scan(self, table: str, upto: int | None) -> Scan:
        return self._tables.scan(table, upto=upto)

    def _scan_or_none(self, table: str) -> Scan | None:
        return self._tables.scan(table) if self._tables.size(table) else None


def _key(use: Use, values: Sequence[KeyValue | None]) -> bytes | None:
    """The entity's bytes; None when a key is null, which matches nothing."""
    if any(v is None or v != v for v in values):  # NaN is null
        return None
    named = zip(use.kinds, values, use.view.keys, strict=True)
    return entity_key([canonical(kind, value, name=name) for kind, value, name in named])


def view_node(view: FeatureView) -> str:
    """The id of a view version is the hash of its declaration."""
    return digest(view.stored)[:32]


def service_node(service: FeatureService) -> str:
    return digest(service)[:32]
