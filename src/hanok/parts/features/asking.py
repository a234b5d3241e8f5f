"""What somebody asks for: services, views and features by name, for entities that are looked up online."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    """The views of names: of a service, of a view, or of one feature ("weather__temp", "weather:temp"); see `united`.
    Raises FeatureViewNotFound with the near name, Invalid."""
    found: list[FeatureView] = []
    for name in names:
        if name in services:
            found += services[name].views
        elif name in views:
            found.append(views[name])
        else:
            found.append(_of_feature(name, (*found, *views.values()), services, [*services, *views]))
    return united(found)


def united(views: Iterable[FeatureView]) -> tuple[FeatureView, ...]:
    """Each view once, with all features of it that are asked for, in the order in which they were named first. Raises
    Invalid where one name stands for two things."""
    found: dict[str, FeatureView] = {}
    for view in views:
        known = found.setdefault(view.name, view)
        if not _alike(known, view):
            raise _ambiguous(known, view)
        names = tuple(dict.fromkeys((*known.feature_names, *view.feature_names)))
        if names != known.feature_names:
            found[view.name] = _whole(known)[names]
    return tuple(found.values())


def _alike(one: FeatureView, other: FeatureView) -> bool:
    return one.stored == other.stored and one.keys == other.keys


def _ambiguous(one: FeatureView, other: FeatureView) -> Invalid:
    meant = [f"feature view {v.stored.name!r} of table {v.source.table!r} by {', '.join(v.keys)}" for v in (one, other)]
    how = "the two are declared differently: 'hanok apply' the project file, and ask for them by their names"
    if meant[0] != meant[1]:
        how = f"{meant[0]}, and {meant[1]}"
    return Invalid(
        f"{one.name!r} stands for two things here ({how}). Give one of them another name with view.alias(NAME, "
        "keys=...), or ask for them one after the other"
    )


def _whole(view: FeatureView) -> FeatureView:
    """All features of a view, of which a service may have chosen some."""
    stored = view.stored
    return stored if view.alias_of is None else stored.alias(view.name, keys=view.keys)


def _of_feature(
    name: str, views: Sequence[FeatureView], services: Mapping[str, FeatureService], named: Sequence[str]
) -> FeatureView:
    """The view of one feature, with that feature alone. A name that `views` do not have is one of a service's alias."""
    aliased = [v for s in services.values() for v in s.views if v.alias_of is not None]
    for candidates in (views, aliased):
        found = [view[feature] for view in map(_whole, candidates) for feature in _features(view, name)]
        for other in found[1:] if candidates is aliased else ():
            if not _alike(found[0], other):
                raise _ambiguous(found[0], other)
        if found:
            return found[0]
    known = [*named, *(c for v in views for c in view_columns(v))]
    raise FeatureViewNotFound(
        f"there is no feature service, feature view or feature {name!r}"
        f"{near(name, known) or '; there are ' + (', '.join(named) or 'none: run hanok apply')}"
    )


def _features(view: FeatureView, name: str) -> list[str]:
    """The feature of a view that a name means, if it is one of its."""
    named = zip(view.feature_names, view_columns(view), strict=True)
    return [feature for feature, column in named if name in (column, f"{view.name}:{feature}")]


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
