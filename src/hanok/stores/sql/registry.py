"""Registered models, versions and aliases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, bindparam, text

from hanok.core.clock import micros
from hanok.core.errors import StaleGeneration
from hanok.core.registry import AliasChange, ModelVersion, RegisteredModel
from hanok.stores.sql.rows import at, document, from_json, instant, moment

VERSION_COLUMNS = (
    "id, model, version, created, run_id, source, package, description, status, stage, updated, tags, facts"
)


class SqlRegistry:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def put_model(self, model: RegisteredModel) -> None:
        self._c.execute(
            text(
                "INSERT INTO registered_model (name, created, updated, description, tags, project) "
                "VALUES (:name, :created, :updated, :description, :tags, :project) ON CONFLICT (name) DO UPDATE SET "
                "updated = excluded.updated, description = excluded.description, tags = excluded.tags, "
                "project = excluded.project"
            ),
            {
                "name": model.name,
                "created": micros(model.created),
                "updated": micros(model.updated),
                "description": model.description,
                "tags": document(model.tags),
                "project": model.project,
            },
        )

    def models(self, name: str | None = None) -> list[RegisteredModel]:
        where, values = ("", {}) if name is None else ("WHERE name = :name", {"name": name})
        rows = self._c.execute(
            text(
                f"SELECT name, created, updated, description, tags, project FROM registered_model {where} ORDER BY name"
            ),
            values,
        ).all()
        aliases = self._aliases([row[0] for row in rows])
        return [
            RegisteredModel(row[0], at(row[1]), at(row[2]), row[3], from_json(row[4]), aliases.get(row[0], {}), row[5])
            for row in rows
        ]

    def add_version(self, version: ModelVersion) -> ModelVersion:
        newest = self._c.execute(
            text("SELECT max(version) FROM model_version WHERE model = :model"), {"model": version.model}
        ).scalar()
        stored = replace(version, version=(newest or 0) + 1)
        self._c.execute(
            text(
                f"INSERT INTO model_version ({VERSION_COLUMNS}) VALUES (:id, :model, :version, :created, :run_id, "
                ":source, :package, :description, :status, :stage, :updated, :tags, :facts)"
            ),
            version_values(stored),
        )
        return stored

    def versions(self, model: str, version: int | None = None) -> list[ModelVersion]:
        where, values = "model = :model AND status <> 'DELETED'", {"model": model, "version": version}
        if version is not None:
            where += " AND version = :version"
        rows = self._c.execute(
            text(f"SELECT {VERSION_COLUMNS} FROM model_version WHERE {where} ORDER BY version DESC"),
            {k: v for k, v in values.items() if v is not None},
        ).all()
        aliases = self._aliases([model]).get(model, {})
        return [_version(row, aliases) for row in rows]

    def versions_of_all(self) -> list[ModelVersion]:
        """Of every model, the last changed first."""
        rows = self._c.execute(
            text(
                f"SELECT {VERSION_COLUMNS} FROM model_version WHERE status <> 'DELETED' "
                "ORDER BY updated DESC, model, version DESC"
            )
        ).all()
        aliases = self._aliases(sorted({row[1] for row in rows}))
        return [_version(row, aliases.get(row[1], {})) for row in rows]

    def put_version(self, version: ModelVersion) -> None:
        self._c.execute(
            text(
                "UPDATE model_version SET description = :description, status = :status, stage = :stage, "
                "updated = :updated, tags = :tags, facts = :facts, package = :package, source = :source "
                "WHERE model = :model AND version = :version"
            ),
            version_values(version),
        )

    def move_alias(self, change: AliasChange) -> None:
        stands = self._aliases([change.model]).get(change.model, {}).get(change.alias)
        if stands != change.before:
            raise StaleGeneration(
                f"alias {change.alias!r} of {change.model!r} stands at version {stands}, not at {change.before}: "
                "somebody moved it; look again and repeat"
            )
        values = {"model": change.model, "alias": change.alias, "version": change.after}
        if change.after is None:
            self._c.execute(text("DELETE FROM alias WHERE model = :model AND alias = :alias"), values)
        else:
            self._c.execute(
                text(
                    "INSERT INTO alias (model, alias, version) VALUES (:model, :alias, :version) "
                    "ON CONFLICT (model, alias) DO UPDATE SET version = excluded.version"
                ),
                values,
            )
        self._c.execute(
            text(
                "INSERT INTO alias_change (id, model, alias, before, after, at, actor, reason) "
                "VALUES (:id, :model, :alias, :before, :after, :at, :actor, :reason)"
            ),
            {
                "id": change.id,
                "model": change.model,
                "alias": change.alias,
                "before": change.before,
                "after": change.after,
                "at": micros(change.at),
                "actor": change.actor,
                "reason": change.reason,
            },
        )

    def alias_history(self, model: str, alias: str | None = None) -> list[AliasChange]:
        where = "model = :model" + ("" if alias is None else " AND alias = :alias")
        rows = self._c.execute(
            text(
                f"SELECT id, model, alias, before, after, at, actor, reason FROM alias_change WHERE {where} "
                "ORDER BY sequence DESC"
            ),
            {"model": model} | ({} if alias is None else {"alias": alias}),
        )
        return [AliasChange(r[0], r[1], r[2], r[3], r[4], at(r[5]), r[6], r[7]) for r in rows]

    def _aliases(self, models: list[str]) -> dict[str, dict[str, int]]:
        if not models:
            return {}
        query = text("SELECT model, alias, version FROM alias WHERE model IN :models ORDER BY alias").bindparams(
            bindparam("models", expanding=True)
        )
        found: dict[str, dict[str, int]] = {}
        for model, alias, version in self._c.execute(query, {"models": models}):
            found.setdefault(model, {})[alias] = version
        return found


def version_values(version: ModelVersion) -> dict[str, Any]:
    return {
        "id": version.id,
        "model": version.model,
        "version": version.version,
        "created": micros(version.created),
        "updated": instant(version.updated),
        "run_id": version.run_id,
        "source": version.source,
        "package": version.package,
        "description": version.description,
        "status": version.status,
        "stage": version.stage,
        "tags": document(version.tags),
        "facts": document(version.facts),
    }


def _version(row: Any, aliases: dict[str, int]) -> ModelVersion:
    return ModelVersion(
        id=row[0],
        model=row[1],
        version=row[2],
        created=at(row[3]),
        run_id=row[4],
        source=row[5],
        package=row[6],
        description=row[7],
        status=row[8],
        stage=row[9],
        updated=moment(row[10]),
        tags=from_json(row[11]),
        facts=from_json(row[12]),
        aliases=tuple(name for name, number in aliases.items() if number == row[2]),
    )
