"""Declarations of a gateway: few of each, so each is one row with a name of its own and a document."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, text

from hanok.core.clock import micros
from hanok.core.errors import AlreadyExists, GatewayItemNotFound
from hanok.core.gateway import (
    EndpointBinding,
    EndpointModel,
    Fallback,
    GatewayEndpoint,
    GatewaySecret,
    ModelDefinition,
)
from hanok.core.records import from_body
from hanok.stores.sql.rows import at, from_json, to_json


class _Named(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def created(self) -> datetime: ...
    @property
    def updated(self) -> datetime: ...


class SqlGatewaySecrets:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def put(self, secret: GatewaySecret) -> None:
        _put(
            self._c, "gateway_secret", secret, ("provider", "masked", "settings", "created_by", "updated_by", "sealed")
        )

    def get(self, secret_id: str) -> GatewaySecret:
        return from_body(GatewaySecret, _get(self._c, "gateway_secret", secret_id))

    def all(self) -> list[GatewaySecret]:
        return [from_body(GatewaySecret, fields) for fields in _all(self._c, "gateway_secret")]

    def delete(self, secret_id: str) -> None:
        _delete(self._c, "gateway_secret", secret_id)


class SqlModelDefinitions:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def put(self, definition: ModelDefinition) -> None:
        fields = ("provider", "model_name", "secret_id", "created_by", "updated_by")
        _put(self._c, "gateway_model_definition", definition, fields)

    def get(self, definition_id: str) -> ModelDefinition:
        return from_body(ModelDefinition, _get(self._c, "gateway_model_definition", definition_id))

    def all(self) -> list[ModelDefinition]:
        return [from_body(ModelDefinition, fields) for fields in _all(self._c, "gateway_model_definition")]

    def delete(self, definition_id: str) -> None:
        _delete(self._c, "gateway_model_definition", definition_id)


class SqlGatewayEndpoints:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def put(self, endpoint: GatewayEndpoint) -> None:
        fields = ("strategy", "usage_tracking", "experiment_id", "tags", "created_by", "updated_by")
        models = [
            [m.id, m.definition_id, m.linkage, m.weight, micros(m.created), m.order, m.created_by]
            for m in endpoint.models
        ]
        fallback = None if endpoint.fallback is None else [endpoint.fallback.strategy, endpoint.fallback.attempts]
        _put(self._c, "gateway_endpoint", endpoint, fields, {"models": models, "fallback": fallback})

    def get(self, endpoint_id: str) -> GatewayEndpoint:
        return _endpoint(_get(self._c, "gateway_endpoint", endpoint_id))

    def named(self, name: str) -> GatewayEndpoint | None:
        row = self._c.execute(text("SELECT id FROM gateway_endpoint WHERE name = :name"), {"name": name}).first()
        return None if row is None else self.get(row[0])

    def all(self) -> list[GatewayEndpoint]:
        return [_endpoint(fields) for fields in _all(self._c, "gateway_endpoint")]

    def delete(self, endpoint_id: str) -> None:
        self._c.execute(text("DELETE FROM gateway_binding WHERE endpoint = :id"), {"id": endpoint_id})
        _delete(self._c, "gateway_endpoint", endpoint_id)


class SqlEndpointBindings:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def put(self, binding: EndpointBinding) -> None:
        self._c.execute(
            text(
                "INSERT INTO gateway_binding (endpoint, resource_type, resource, created, created_by) "
                "VALUES (:endpoint, :kind, :resource, :created, :by) ON CONFLICT DO NOTHING"
            ),
            {
                "endpoint": binding.endpoint_id,
                "kind": binding.resource_type,
                "resource": binding.resource_id,
                "created": micros(binding.created),
                "by": binding.created_by,
            },
        )

    def all(self) -> list[EndpointBinding]:
        rows = self._c.execute(
            text(
                "SELECT endpoint, resource_type, resource, created, created_by FROM gateway_binding "
                "ORDER BY created, endpoint, resource_type, resource"
            )
        )
        return [EndpointBinding(row[0], row[1], row[2], at(row[3]), row[4]) for row in rows]

    def delete(self, endpoint_id: str, resource_type: str, resource_id: str) -> None:
        self._c.execute(
            text("DELETE FROM gateway_binding WHERE endpoint = :e AND resource_type = :kind AND resource = :resource"),
            {"e": endpoint_id, "kind": resource_type, "resource": resource_id},
        )


def _endpoint(fields: Mapping[str, Any]) -> GatewayEndpoint:
    models = tuple(
        EndpointModel(m[0], m[1], m[2], m[3], at(m[4]), order=m[5], created_by=m[6]) for m in fields["models"]
    )
    fallback = None if fields["fallback"] is None else Fallback(*fields["fallback"])
    known = {place.name: fields[place.name] for place in dataclasses.fields(GatewayEndpoint) if place.name in fields}
    return GatewayEndpoint(**{**known, "models": models, "fallback": fallback})


def _put(
    connection: Connection, table: str, item: _Named, fields: tuple[str, ...], more: Mapping[str, Any] | None = None
) -> None:
    values = {"id": item.id, "name": item.name}
    taken = connection.execute(text(f"SELECT 1 FROM {table} WHERE name = :name AND id <> :id"), values).first()
    if taken is not None:
        raise AlreadyExists(f"there is a {_words(table)} named {item.name[:80]!r}; choose another name")
    content = {name: getattr(item, name) for name in fields} | dict(more or {})
    connection.execute(
        text(
            f"INSERT INTO {table} (id, name, created, updated, content) "
            "VALUES (:id, :name, :created, :updated, :content) "
            "ON CONFLICT (id) DO UPDATE SET name = excluded.name, updated = excluded.updated, "
            "content = excluded.content"
        ),
        values | {"created": micros(item.created), "updated": micros(item.updated), "content": to_json(content)},
    )


def _get(connection: Connection, table: str, item_id: str) -> dict[str, Any]:
    sql = f"SELECT id, name, created, updated, content FROM {table} WHERE id = :id"
    row = connection.execute(text(sql), {"id": item_id}).first()
    if row is None:
        raise GatewayItemNotFound(f"no {_words(table)} has the id {item_id[:80]!r}")
    return _fields(row)


def _all(connection: Connection, table: str) -> list[dict[str, Any]]:
    rows = connection.execute(text(f"SELECT id, name, created, updated, content FROM {table} ORDER BY created, id"))
    return [_fields(row) for row in rows]


def _delete(connection: Connection, table: str, item_id: str) -> None:
    connection.execute(text(f"DELETE FROM {table} WHERE id = :id"), {"id": item_id})


def _fields(row: Any) -> dict[str, Any]:
    return {"id": row[0], "name": row[1], "created": at(row[2]), "updated": at(row[3]), **from_json(row[4])}


def _words(table: str) -> str:
    return table.replace("_", " ")
