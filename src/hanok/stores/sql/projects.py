"""Which project things belong to."""

from __future__ import annotations

from sqlalchemy import Connection, text

from hanok.core.access import Bound
from hanok.core.tracking import ARTIFACTS
from hanok.stores.sql.tracking_experiments import as_key

_OF_EXPERIMENT = "SELECT e.project FROM {table} t JOIN experiment e ON e.key = t.experiment WHERE t.id = :id"
# each by a primary key or a unique index
_OF = {
    "experiment": text("SELECT project FROM experiment WHERE key = :id"),
    "run": text(_OF_EXPERIMENT.format(table="run")),
    "logged model": text(_OF_EXPERIMENT.format(table="logged_model")),
    "trace": text(_OF_EXPERIMENT.format(table="trace")),
    "model": text("SELECT project FROM registered_model WHERE name = :id"),
    "version": text(
        "SELECT m.project FROM model_version v JOIN registered_model m ON m.name = v.model WHERE v.id = :id"
    ),
}


class SqlProjects:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def of(self, kind: Bound, thing: str) -> str | None:
        key = as_key(thing) if kind == "experiment" else thing
        return None if key is None else self._c.execute(_OF[kind], {"id": key}).scalar()

    def own_places(self) -> list[tuple[str, str]]:
        rows = self._c.execute(
            text("SELECT location, project FROM experiment WHERE location <> :tree || CAST(key AS TEXT)"),
            {"tree": ARTIFACTS},
        )
        return [(row[0], row[1]) for row in rows]

    def counts(self) -> dict[str, tuple[int, int]]:
        experiments, models = (
            {row[0]: row[1] for row in self._c.execute(text(f"SELECT project, count(*) FROM {table} GROUP BY project"))}
            for table in ("experiment", "registered_model")
        )
        return {p: (experiments.get(p, 0), models.get(p, 0)) for p in sorted({*experiments, *models})}
