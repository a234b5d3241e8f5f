"""Verbs of features: views, services, online values, training sets for any code."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

from pyarrow import parquet as pq

from hanok.core.access import Access
from hanok.core.declare import Aggregate, FeatureService, FeatureView, Source, as_dict, from_dict, view_columns
from hanok.core.errors import FeatureViewNotFound, Invalid
from hanok.core.json import Json, JsonObject
from hanok.engine.arguments import Cell
from hanok.engine.declared import Declared
from hanok.engine.feature_sets import AskedSet, FeatureSets, MadeFeatures
from hanok.engine.feature_stats import FeatureStats
from hanok.engine.verbs.registry import verb
from hanok.parts.access import GuardedMetadata
from hanok.parts.features.asking import STATUSES
from hanok.parts.features.service import FeatureCell, Features
from hanok.parts.training.service import Training

ENTITIES_MAX = 10_000


@verb("feature.list", Access.READ, "read")
def list_features(features: Features) -> Sequence[JsonObject]:
    """All feature views and feature services with their keys, features and number of online entities."""
    unfilled = features.unfilled()
    views: list[JsonObject] = [
        {
            "name": v.name,
            "kind": "view",
            "keys": list(v.keys),
            "source": v.source.table,
            "features": list(v.feature_names),
            "entities_online": features.entities_online(v.name),
            **({"not_filled": unfilled[v.name]} if v.name in unfilled else {}),
        }
        for v in features.views()
    ]
    services: list[JsonObject] = [
        {
            "name": s.name,
            "kind": "service",
            "keys": list(s.keys),
            "source": ", ".join(dict.fromkeys(v.source.table for v in s.views)),
            "features": [c for v in s.views for c in view_columns(v)],
            "entities_online": None,
        }
        for s in features.services()
    ]
    return [*views, *services]


@verb("feature.show", Access.READ, "read")
def show_feature(
    features: Features,
    training: Training,
    declared: Declared,
    metadata: GuardedMetadata,
    *,
    name: str,
    entity: Sequence[Cell] | Mapping[str, Cell] = (),
) -> JsonObject:
    """A feature view or service and who uses it; with an entity (the key values of a view in order, or by name, "k=v"
    too) the view's values as they stand now."""
    service = next((s for s in features.services() if s.name == name), None)
    if service is not None:
        if entity:
            raise Invalid(f"{name!r} is a feature service: its values are read by feature.online (hanok feature get)")
        seen = metadata.read(lambda r: r.declarations.names("model"))
        models = [m.name for m in training.models() if name in (m.services or ()) and m.name in seen]
        return {"declaration": as_dict(service), "used_by": [f"model {m}" for m in models]}
    view = features.view(name)
    body: dict[str, Json] = {
        "declaration": as_dict(view),
        "used_by": list(_users(view, features, training, declared, metadata)),
    }
    if entity:
        row = features.online(name, [_key_values(view, entity)])[0]
        body["online"] = {**asdict(row), "event_time": row.event_time.isoformat() if row.event_time else None}
    return body


def _users(
    view: FeatureView, features: Features, training: Training, declared: Declared, metadata: GuardedMetadata
) -> list[str]:
    """The services that read a view, and the models and versions of those that the caller may see."""
    seen = {
        *metadata.read(lambda r: r.declarations.names("model")),
        *metadata.read(lambda r: [m.name for m in r.registry.models()]),
    }

    def reads(views: Sequence[FeatureView]) -> bool:
        return any(v.stored == view.stored for v in views)

    found = [f"service {s.name}" for s in features.services() if reads(s.views)]
    found += [f"model {m.name}" for m in training.models() if reads(m.views) and m.name in seen]
    live = declared.live_versions().items()
    answering = [(name, version) for (name, version), m in live if reads(m.views) and name in seen]
    return found + [f"version {version} of {name}, which answers" for name, version in answering]


def _key_values(view: FeatureView, entity: Sequence[Cell] | Mapping[str, Cell]) -> list[Cell]:
    if not isinstance(entity, Mapping):
        words = [str(e).partition("=") for e in entity]
        if not all(equals and key in view.keys for key, equals, _ in words):
            return list(entity)
        entity = {key: value for key, _, value in words}
    if set(entity) != set(view.keys):
        raise Invalid(
            f"feature view {view.name!r} is keyed by {', '.join(view.keys)}; the entity has "
            f"{', '.join(map(str, entity)) or 'nothing'}: name each key once, and nothing else"
        )
    return [entity[k] for k in view.keys]


@verb("feature.materialize", Access.EDIT, "long")
def materialize(features: Features, *, name: str) -> JsonObject:
    """Rebuild a view's online values from its source."""
    return {"name": name, "entities": features.materialize(name)}


@verb("feature.online", Access.READ, "read")
def online(
    sets: FeatureSets,
    *,
    entities: Sequence[Mapping[str, Cell]],
    service: str = "",
    features: Sequence[Json] = (),
    defaults: Mapping[str, Cell] | None = None,
) -> Sequence[JsonObject]:
    """The features of a service, or of names of views and features, for many entities as they stand now: values,
    statuses (present, null, missing, stale) and event times. `defaults` stand for values that are not present. What
    JSON has no number for (NaN, infinite) is null."""
    asked = ([service] if service else []) + list(features)
    views, given = sets.views(asked_features(asked)), dict(defaults or {})
    columns = [c for v in views for c in view_columns(v)]
    if len(entities) > ENTITIES_MAX:
        raise Invalid(f"{len(entities)} entities are asked for; {ENTITIES_MAX} are answered at once: ask in parts")
    if unknown := [n for n in given if n not in columns]:
        raise Invalid(f"defaults name {unknown[0]!r}, which is none of {', '.join(columns)}")
    found = sets.features.online_of(views, entities)
    rows: list[JsonObject] = []
    for i, entity in enumerate(entities):
        said = {f.column: None if _without_a_number(f.values[i]) else f.values[i] for f in found}
        values = {n: given[n] if value is None and n in given else value for n, value in said.items()}
        times = {f.column: f.event_times[i] for f in found}
        rows.append(
            {
                "entity": {k: _plain(v) for k, v in entity.items()},
                "values": {n: _plain(v) for n, v in values.items()},
                "statuses": {
                    f.column: "null" if _without_a_number(f.values[i]) else STATUSES[f.statuses[i]] for f in found
                },
                "event_times": {c: t.isoformat() if t is not None else None for c, t in times.items()},
            }
        )
    return rows


def _without_a_number(value: FeatureCell) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _plain(value: FeatureCell) -> Json:
    """A cell as JSON has it: instants and dates as ISO text, decimals and bytes as text."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


@verb("feature.stats", Access.READ, "heavy")
def stats(found: FeatureStats, *, name: str) -> Sequence[JsonObject]:
    """What the values of a view are now: entities, nulls, mean, spread and quartiles of each feature, how old they
    are. Of more than 200,000 entities (`of_entities`) the first ones by their keys are looked at (`entities`)."""
    return found.of(name)


@verb("feature.training_set", Access.EDIT, "long", on_this_machine=True)
def training_set(
    sets: FeatureSets,
    *,
    spine: str,
    features: Sequence[Json] = (),
    service: str = "",
    at: str = "",
    known_time: bool = True,
    out: Path | None = None,
) -> JsonObject:
    """Rows (a Parquet or CSV file, a table, or one SELECT over tables) with features as they were known at each row's
    instant, written to a Parquet file and recorded in the lineage graph. `at` names the rows' instant, like "asked" or
    "scheduled - 2h"; without `known_time` late rows count from their event time on."""
    asked = ([service] if service else []) + list(features)
    made = sets.make(sets.rows_of(spine), AskedSet(asked_features(asked), at, known_time))
    return _written(made, out)


@verb("feature.reproduce", Access.READ, "heavy", on_this_machine=True)
def reproduce(sets: FeatureSets, *, training_set: str, out: Path | None = None) -> JsonObject:
    """Make a training set again from what the lineage graph has of it, and compare the bytes."""
    made = sets.again(training_set)
    return {**_written(made, out), "bit_equal": made.digest == sets.digest_of(training_set)}


def _written(made: MadeFeatures, out: Path | None) -> JsonObject:
    if out is not None:
        try:
            pq.write_table(made.rows, out, compression="zstd")
        except OSError as error:
            raise Invalid(f"{out} cannot be written: {error.strerror or error}; the set is kept as {made.id}") from None
    return {
        "training_set": made.id,
        "rows": made.rows.num_rows,
        "features": list(made.features),
        "snapshots": made.snapshots,
        "digest": made.digest,
        "written": None if out is None else str(out),
    }


def asked_features(asked: Sequence[Json]) -> tuple[FeatureView | str, ...]:
    """Names, and views or services as `as_dict` gives them. Raises Invalid, DeclarationError."""
    found: list[FeatureView | str] = []
    for item in asked:
        if isinstance(item, str):
            found.append(item)
            continue
        made = from_dict(item)
        if not isinstance(made, FeatureView | FeatureService):
            raise Invalid(f"features are names, feature views or services; got a {type(made).__name__}")
        found += [_checked(v) for v in ([made] if isinstance(made, FeatureView) else made.views)]
    return tuple(found)


def _checked(view: FeatureView) -> FeatureView:
    """A view that a client sent, held to what a declaration must be."""
    try:
        said = view.source
        source = Source(
            said.table,
            said.event_time,
            row_key=said.row_key,
            known_at=said.known_at,
            columns=None if said.columns is None else dict(said.columns),
        )
        made = FeatureView(
            view.alias_of or view.name,
            keys=view.key_columns,
            source=source,
            features=view.features,
            ttl=view.ttl,
            windows=view.windows,
            aggregate={n: Aggregate(a.function, a.column, a.over) for n, a in view.aggregate},
        )
        made = made if view.alias_of is None else made.alias(view.name, keys=view.keys)
        return made if view.picked is None else made[view.picked]
    except (AttributeError, TypeError, ValueError) as error:
        raise FeatureViewNotFound(f"a feature view that was sent is none: {error}") from None
