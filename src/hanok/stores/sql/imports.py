"""Inserting under identities that another store gave."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection, text

from hanok.core.clock import micros
from hanok.core.registry import ModelVersion
from hanok.core.tracking import ARTIFACTS, Experiment
from hanok.stores.sql.registry import VERSION_COLUMNS, version_values
from hanok.stores.sql.rows import document
from hanok.stores.sql.tracking_experiments import SqlExperiments, as_key


class SqlImports:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def add_experiment(self, experiment: Experiment) -> Experiment:
        key = as_key(experiment.id)
        taken = self._c.execute(text("SELECT 1 FROM experiment WHERE key = :key"), {"key": key}).first()
        if key is None or taken:
            return SqlExperiments(self._c).add(experiment)
        location = experiment.location or f"{ARTIFACTS}{key}"
        self._c.execute(
            text(
                "INSERT INTO experiment (key, name, location, lifecycle, created, updated, tags, project) "
                "VALUES (:key, :name, :location, :lifecycle, :created, :updated, :tags, :project)"
            ),
            {
                "key": key,
                "name": experiment.name,
                "location": location,
                "lifecycle": experiment.lifecycle,
                "created": micros(experiment.created),
                "updated": micros(experiment.updated),
                "tags": document(experiment.tags),
                "project": experiment.project,
            },
        )
        if self._c.dialect.name == "postgresql":  # its sequence does not notice a key that was given
            self._c.execute(
                text("SELECT setval(pg_get_serial_sequence('experiment', 'key'), (SELECT max(key) FROM experiment))")
            )
        return replace(experiment, location=location)

    def add_version(self, version: ModelVersion) -> bool:
        names = ":id, :model, :version, :created, :run_id, :source, :package, :description, :status, :stage, :updated"
        added = self._c.execute(
            text(
                f"INSERT INTO model_version ({VERSION_COLUMNS}) VALUES ({names}, :tags, :facts) "
                "ON CONFLICT (model, version) DO NOTHING"
            ),
            version_values(version),
        )
        return added.rowcount > 0
