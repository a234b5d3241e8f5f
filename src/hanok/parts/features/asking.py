"""What somebody asks for: services, views and features by name, for entities that are looked up online."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from hanok.core.declare import FeatureService, FeatureView, view_columns
from hanok.core.errors import FeatureViewNotFound, Invalid
from hanok.core.keys import KeyValue
from hanok.core.wording import near
from hanok.parts.features.online import NOT_FOUND, NULL_VALUE, OUTSIDE_MAX_AGE, PRESENT, FeatureCell, OnlineRow

STATUSES = {PRESENT: "present", NULL_VALUE: "null", NOT_FOUND: "missing", OUTSIDE_MAX_AGE: "stale"}


@dataclass(frozen=True, slots=True)
class OnlineFeature:
    """One feature for all entities that were asked for: values, Feast's statuses, and the event times of the values."""

    view: str
    feature: str
    values: tuple[FeatureCell, ...]
    statuses: tuple[str, ...]
    event_times: tuple[datetime | None, ...]

    @property
    def column(self) -> str:
        return f"{self.view}__{self.feature}"


def views_named(
    names: Sequence[str], views: Mapping[str, FeatureView], services: Mapping[str, FeatureService]
) -> tuple[FeatureView, ...]:
    """The views of names: of a service, of a view, or of one feature ("weather__temp", "weather:temp"). Features of one
    view that are named one by one come together. Raises FeatureViewNotFound with the near name."""
    found: dict[str, FeatureView] = {}
    chosen: dict[str, list[str]] = {}
    for name in names:
        if name in services or name in views:
            for view in services[name].views if name in services else (views[name],):
                found[view.name] = view
                chosen[view.name] = [*view.feature_names]
            continue
        view, feature = _feature(name, views, services)
        found.setdefault(view.name, view)
        chosen.setdefault(view.name, [])
        if feature not in chosen[view.name]:
            chosen[view.name].append(feature)
    whole = {n: v if v.feature_names == tuple(chosen[n]) else _whole(v) for n, v in found.items()}
    return tuple(v if v.feature_names == tuple(chosen[n]) else v[chosen[n]] for n, v in whole.items())


def _whole(view: FeatureView) -> FeatureView:
    """All features of a view, of which a service may have chosen some."""
    stored = view.stored
    return stored if view.alias_of is None else stored.alias(view.name, keys=view.keys)


def _feature(
    name: str, views: Mapping[str, FeatureView], services: Mapping[str, FeatureService]
) -> tuple[FeatureView, str]:
    aliased = {v.name: v for s in services.values() for v in s.views if v.alias_of is not None}
    for view in (*views.values(), *aliased.values()):
        whole = _whole(view)
        for feature, column in zip(whole.feature_names, view_columns(whole), strict=True):
            if name in (column, f"{view.name}:{feature}"):
                return view, feature
    known = [*services, *views, *(c for v in views.values() for c in view_columns(v))]
    raise FeatureViewNotFound(
        f"there is no feature service, feature view or feature {name!r}"
        f"{near(name, known) or '; there are ' + (', '.join([*services, *views]) or 'none: run hanok apply')}"
    )


def entity_columns(
    views: Sequence[FeatureView], entities: Sequence[Mapping[str, KeyValue | None]]
) -> dict[str, list[KeyValue | None]]:
    """The key values of entities, column by column. Raises Invalid for one that lacks a key, with its place."""
    keys = list(dict.fromkeys(k for v in views for k in v.keys))
    for place, entity in enumerate(entities):
        if missing := [k for k in keys if k not in entity]:
            raise Invalid(
                f"entity {place} lacks the key {missing[0]!r}; each of them needs {', '.join(keys)} (null where there "
                "is none)"
            )
        if unknown := [k for k in entity if k not in keys]:
            raise Invalid(f"entity {place} has {unknown[0]!r}, which is no key of these features: {', '.join(keys)}")
    return {k: [e[k] for e in entities] for k in keys}


def picked(view: FeatureView, rows: Sequence[OnlineRow]) -> Iterator[OnlineFeature]:
    """The features of a view that are asked for, of the rows of the view whose values are kept."""
    for feature in view.feature_names:
        yield OnlineFeature(
            view.name,
            feature,
            tuple(row.values[feature] for row in rows),
            tuple(row.statuses[feature] for row in rows),
            tuple(row.event_time for row in rows),
        )
