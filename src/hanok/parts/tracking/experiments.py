"""Experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hanok.core.access import PROJECT_TAG, caller
from hanok.core.clock import Clock, micros
from hanok.core.errors import ExperimentNotFound, Invalid
from hanok.core.ids import checked_name
from hanok.core.lineage import Event
from hanok.core.tracking import (
    ACTIVE,
    DELETED,
    EVERYTHING,
    Comparison,
    Experiment,
    Filter,
    Lifecycle,
    Order,
    Page,
)
from hanok.parts.tracking import checks
from hanok.parts.tracking.artifacts import Places
from hanok.parts.tracking.matching import Value, select, unknown
from hanok.stores.ports import Metadata, Repositories


class ExperimentVerbs:
    """`places` says where the artifacts of new experiments go."""

    def __init__(self, metadata: Metadata, clock: Clock, places: Places) -> None:
        self._metadata, self._clock, self.places = metadata, clock, places

    def create(self, name: str, *, location: str = "", tags: Mapping[str, str] | None = None) -> Experiment:
        """Raises AlreadyExists, also when a deleted experiment holds the name. The tag `hanok.project` says where."""
        checks.check_experiment_name(name)
        checks.check_values("experiment tag", tags or {}, checks.TAG_VALUE_MAX)
        _check_location(location)
        now, places = self._clock.now(), self.places
        project = checked_name("project", (tags or {}).get(PROJECT_TAG) or caller().home_project())
        wanted = Experiment("", name, places.absolute(location), now, now, tags=dict(tags or {}), project=project)

        def work(r: Repositories) -> Experiment:
            made = r.experiments.add(wanted, root=places.root)
            r.outbox.append(Event("experiment_created", made.id, now, {"name": name}))
            return made

        return self._metadata.write(work)

    def ensure(self, name: str) -> Experiment:
        """The experiment of this name, made when there is none."""
        found = self._metadata.read(lambda r: r.experiments.named(name))
        return found if found is not None else self.create(name)

    def get(self, experiment_id: str) -> Experiment:
        """Raises ExperimentNotFound."""
        return self._metadata.read(lambda r: r.experiments.get(experiment_id))

    def named(self, name: str) -> Experiment:
        """Raises ExperimentNotFound."""
        found = self._metadata.read(lambda r: r.experiments.named(name))
        if found is None:
            raise ExperimentNotFound(f"there is no experiment named {name[:120]!r}")
        return found

    def rename(self, experiment_id: str, name: str) -> Experiment:
        checks.check_experiment_name(name)

        def work(r: Repositories) -> Experiment:
            found = r.experiments.get(experiment_id)
            if found.lifecycle != ACTIVE:
                raise Invalid(f"experiment {experiment_id} is deleted; restore it before you rename it")
            return self._put(r, replace(found, name=name))

        return self._metadata.write(work)

    def delete(self, experiment_id: str) -> None:
        """Hide it until it is restored; its name stays taken."""
        self._move(experiment_id, ACTIVE, DELETED)

    def restore(self, experiment_id: str) -> None:
        self._move(experiment_id, DELETED, ACTIVE)

    def set_tag(self, experiment_id: str, key: str, value: str) -> None:
        checks.check_values("experiment tag", {key: value}, checks.TAG_VALUE_MAX)

        def work(r: Repositories) -> None:
            found = r.experiments.get(experiment_id)
            self._put(r, replace(found, tags={**found.tags, key: value}))

        self._metadata.write(work)

    def delete_tag(self, experiment_id: str, key: str) -> None:
        """Raises ExperimentNotFound when the experiment or its tag is not there."""

        def work(r: Repositories) -> None:
            found = r.experiments.get(experiment_id)
            if key not in found.tags:
                raise ExperimentNotFound(f"experiment {experiment_id} has no tag {key[:80]!r}")
            self._put(r, replace(found, tags={k: v for k, v in found.tags.items() if k != key}))

        self._metadata.write(work)

    def search(
        self,
        wanted: Filter = EVERYTHING,
        *,
        order: Sequence[Order] = (),
        lifecycles: Sequence[Lifecycle] = (ACTIVE,),
        limit: int = 1000,
        offset: int = 0,
    ) -> Page[Experiment]:
        """Newest first unless `order` says otherwise."""
        found = [e for e in self._metadata.read(lambda r: r.experiments.all()) if e.lifecycle in lifecycles]
        return select(found, wanted, order, _value, limit=limit, offset=offset)

    def _put(self, r: Repositories, experiment: Experiment) -> Experiment:
        changed = replace(experiment, updated=self._clock.now())
        r.experiments.put(changed)
        return changed

    def _move(self, experiment_id: str, before: Lifecycle, after: Lifecycle) -> None:
        def work(r: Repositories) -> None:
            found = r.experiments.get(experiment_id)
            if found.lifecycle != before:
                raise ExperimentNotFound(f"experiment {experiment_id} is not {before}; nothing was changed")
            self._put(r, replace(found, lifecycle=after))

        self._metadata.write(work)


def _check_location(location: str) -> None:
    """Raises Invalid for a location whose path climbs out, or that has a query or a fragment."""
    path = location.replace("\\", "/").split("/")
    if ".." in path or "%2e" in location.lower() or "?" in location or "#" in location:
        raise Invalid(f"artifact location {location[:120]!r} is not usable: no '..', '?' or '#'")


def _value(experiment: Experiment, wanted: Comparison | Order) -> Value:
    if wanted.subject == "tag":
        return experiment.tags.get(wanted.key)
    if wanted.subject == "attribute":
        if wanted.key == "name":
            return experiment.name
        if wanted.key == "experiment_id":
            return int(experiment.id) if isinstance(wanted, Order) else experiment.id
        if wanted.key == "creation_time":
            return micros(experiment.created) // 1000
        if wanted.key == "last_update_time":
            return micros(experiment.updated) // 1000
    raise unknown("experiments", wanted)
