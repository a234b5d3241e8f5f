"""Experiments."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, text

from hanok.core.clock import micros
from hanok.core.errors import AlreadyExists, ExperimentNotFound
from hanok.core.tracking import ARTIFACTS, Experiment
from hanok.stores.sql.rows import at, document, from_json

_SELECT = "SELECT key, name, location, created, updated, lifecycle, tags, project FROM experiment"


class SqlExperiments:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def add(self, experiment: Experiment, *, root: str = ARTIFACTS) -> Experiment:
        self._refuse_taken(experiment)
        key = self._c.execute(
            text(
                "INSERT INTO experiment (name, location, lifecycle, created, updated, tags, project) "
                "VALUES (:name, :location, :lifecycle, :created, :updated, :tags, :project) RETURNING key"
            ),
            _values(experiment),
        ).scalar_one()
        location = experiment.location or f"{root}{key}"
        self._c.execute(
            text("UPDATE experiment SET location = :location WHERE key = :key"), {"location": location, "key": key}
        )
        return replace(experiment, id=str(key), location=location)

    def put(self, experiment: Experiment) -> None:
        self._refuse_taken(experiment)
        self._c.execute(
            text(
                "UPDATE experiment SET name = :name, lifecycle = :lifecycle, updated = :updated, tags = :tags, "
                "project = :project WHERE key = :key"
            ),
            _values(experiment) | {"key": int(experiment.id)},
        )

    def get(self, experiment_id: str) -> Experiment:
        key = as_key(experiment_id)
        row = None
        if key is not None:
            row = self._c.execute(text(f"{_SELECT} WHERE key = :key"), {"key": key}).first()
        if row is None:
            raise ExperimentNotFound(f"there is no experiment with id {experiment_id[:80]!r}; see: hanok run list")
        return _experiment(row)

    def named(self, name: str) -> Experiment | None:
        row = self._c.execute(text(f"{_SELECT} WHERE name = :name"), {"name": name}).first()
        return None if row is None else _experiment(row)

    def all(self) -> list[Experiment]:
        return [_experiment(row) for row in self._c.execute(text(f"{_SELECT} ORDER BY created DESC, key DESC"))]

    def _refuse_taken(self, experiment: Experiment) -> None:
        taken = self.named(experiment.name)
        if taken is not None and taken.id != experiment.id:
            state = "" if taken.lifecycle == "active" else " in deleted state; restore it or choose another name"
            raise AlreadyExists(f"experiment {experiment.name!r} already exists (id {taken.id}){state}")


def as_key(external: str) -> int | None:
    """The integer inside an experiment id; None when it cannot be one."""
    plain = external.isascii() and external.isdigit() and len(external) <= 18
    return int(external) if plain else None


def _values(experiment: Experiment) -> dict[str, Any]:
    return {
        "name": experiment.name,
        "location": experiment.location,
        "lifecycle": experiment.lifecycle,
        "created": micros(experiment.created),
        "updated": micros(experiment.updated),
        "tags": document(experiment.tags),
        "project": experiment.project,
    }


def _experiment(row: Any) -> Experiment:
    return Experiment(str(row[0]), row[1], row[2], at(row[3]), at(row[4]), row[5], from_json(row[6]), row[7])
