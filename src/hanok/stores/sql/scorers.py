"""Scorers in versions, and what they are scored on online."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, bindparam, text

from hanok.core.clock import micros
from hanok.core.scorers import OnlineScoring, ScorerVersion
from hanok.stores.sql.rows import at
from hanok.stores.sql.tracking_experiments import as_key
from hanok.stores.sql.tracking_metrics import chunks

_COLUMNS = "scorer, experiment, name, version, body, created, endpoint"


class SqlScorers:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def add(self, version: ScorerVersion) -> ScorerVersion:
        held = self.versions(version.experiment_id, version.name)
        made = replace(version, version=held[-1].version + 1, scorer_id=held[-1].scorer_id) if held else version
        self._c.execute(
            text(
                f"INSERT INTO scorer_version ({_COLUMNS}) "
                "VALUES (:scorer, :experiment, :name, :version, :body, :created, :endpoint)"
            ),
            {
                "scorer": made.scorer_id,
                "experiment": as_key(made.experiment_id),
                "name": made.name,
                "version": made.version,
                "body": made.body,
                "created": micros(made.created),
                "endpoint": made.endpoint,
            },
        )
        return made

    def versions(self, experiment_id: str, name: str) -> list[ScorerVersion]:
        # index: primary key of scorer_version
        rows = self._c.execute(
            text(
                f"SELECT {_COLUMNS} FROM scorer_version WHERE experiment = :experiment AND name = :name "
                "ORDER BY version"
            ),
            {"experiment": as_key(experiment_id), "name": name},
        )
        return [_version(row) for row in rows]

    def latest(self, experiment_id: str) -> list[ScorerVersion]:
        rows = self._c.execute(
            text(
                f"SELECT {_COLUMNS} FROM scorer_version s WHERE s.experiment = :experiment AND s.version = "
                "(SELECT MAX(o.version) FROM scorer_version o WHERE o.experiment = s.experiment AND o.name = s.name) "
                "ORDER BY s.name"
            ),
            {"experiment": as_key(experiment_id)},
        )
        return [_version(row) for row in rows]

    def delete(self, experiment_id: str, name: str, version: int | None = None) -> int:
        held = self.versions(experiment_id, name)
        gone = [v for v in held if version is None or v.version == version]
        for one in gone:
            self._c.execute(
                text(
                    "DELETE FROM scorer_version WHERE experiment = :experiment AND name = :name AND version = :version"
                ),
                {"experiment": as_key(experiment_id), "name": name, "version": one.version},
            )
        if gone and len(gone) == len(held):
            self._c.execute(text("DELETE FROM online_scoring WHERE scorer = :id"), {"id": held[0].scorer_id})
        return len(gone)

    def put_online(self, config: OnlineScoring) -> OnlineScoring:
        held = self.online([config.scorer_id])
        kept = replace(config, id=held[0].id) if held else config
        self._c.execute(
            text(
                "INSERT INTO online_scoring (scorer, id, experiment, sample_rate, filter) "
                "VALUES (:scorer, :id, :experiment, :rate, :filter) ON CONFLICT (scorer) DO UPDATE SET "
                "sample_rate = excluded.sample_rate, filter = excluded.filter"
            ),
            {
                "scorer": kept.scorer_id,
                "id": kept.id,
                "experiment": as_key(kept.experiment_id),
                "rate": kept.sample_rate,
                "filter": kept.filter,
            },
        )
        return kept

    def online(self, scorer_ids: Sequence[str]) -> list[OnlineScoring]:
        query = text(
            "SELECT id, scorer, experiment, sample_rate, filter FROM online_scoring WHERE scorer IN :ids ORDER BY id"
        ).bindparams(bindparam("ids", expanding=True))
        return [
            OnlineScoring(row[0], row[1], str(row[2]), row[3], row[4])
            for some in chunks(list(scorer_ids))
            for row in self._c.execute(query, {"ids": some})
        ]


def _version(row: Any) -> ScorerVersion:
    return ScorerVersion(row[0], str(row[1]), row[2], row[3], row[4], at(row[5]), row[6])
