"""The declarations of a gateway in the protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from hanok.core.gateway import EndpointBinding, EndpointModel, GatewayEndpoint, GatewaySecret, ModelDefinition
from hanok.wire.mlflow.entities import Json, millis
from hanok.wire.mlflow.requests import Request, Required

Strings = dict[str, str]


class CreateSecret(Request, frozen=True, kw_only=True):
    secret_name: Required
    secret_value: Strings
    provider: str = ""
    auth_config: Strings = msgspec.field(default_factory=dict)
    created_by: str = ""


class WhichSecret(Request, frozen=True, kw_only=True):
    secret_id: str = ""
    secret_name: str = ""


class UpdateSecret(Request, frozen=True, kw_only=True):
    secret_id: Required
    secret_value: Strings = msgspec.field(default_factory=dict)
    auth_config: Strings = msgspec.field(default_factory=dict)
    updated_by: str = ""


class SecretId(Request, frozen=True, kw_only=True):
    secret_id: Required


class OfProvider(Request, frozen=True, kw_only=True):
    provider: str = ""
    secret_id: str = ""


class CreateDefinition(Request, frozen=True, kw_only=True):
    name: Required
    secret_id: Required
    provider: Required
    model_name: Required
    created_by: str = ""


class DefinitionId(Request, frozen=True, kw_only=True):
    model_definition_id: Required


class UpdateDefinition(DefinitionId, frozen=True, kw_only=True):
    name: str = ""
    secret_id: str = ""
    provider: str = ""
    model_name: str = ""
    updated_by: str = ""


class ModelConfig(Request, frozen=True, kw_only=True):
    model_definition_id: Required
    linkage_type: Literal["LINKAGE_TYPE_UNSPECIFIED", "PRIMARY", "FALLBACK"] = "PRIMARY"
    weight: float = 1.0
    fallback_order: int | None = None


class FallbackConfig(Request, frozen=True, kw_only=True):
    strategy: Literal["FALLBACK_STRATEGY_UNSPECIFIED", "SEQUENTIAL"] = "FALLBACK_STRATEGY_UNSPECIFIED"
    max_attempts: int | None = None


Strategy = Literal["", "ROUTING_STRATEGY_UNSPECIFIED", "REQUEST_BASED_TRAFFIC_SPLIT"]


class CreateEndpoint(Request, frozen=True, kw_only=True):
    name: Required
    model_configs: tuple[ModelConfig, ...]
    created_by: str = ""
    routing_strategy: Strategy = ""
    fallback_config: FallbackConfig | None = None
    experiment_id: str = ""
    usage_tracking: bool = True


class EndpointId(Request, frozen=True, kw_only=True):
    endpoint_id: Required


class WhichEndpoint(Request, frozen=True, kw_only=True):
    endpoint_id: str = ""
    name: str = ""


class UpdateEndpoint(EndpointId, frozen=True, kw_only=True):
    name: str = ""
    updated_by: str = ""
    model_configs: tuple[ModelConfig, ...] = ()
    routing_strategy: Strategy = ""
    fallback_config: FallbackConfig | None = None
    experiment_id: str = ""
    usage_tracking: bool | None = None


class Attach(EndpointId, frozen=True, kw_only=True):
    model_config: ModelConfig
    created_by: str = ""


class Detach(EndpointId, frozen=True, kw_only=True):
    model_definition_id: Required


class Bind(EndpointId, frozen=True, kw_only=True):
    resource_type: Required
    resource_id: Required
    created_by: str = ""


class WhichBindings(Request, frozen=True, kw_only=True):
    endpoint_id: str = ""
    resource_type: str = ""
    resource_id: str = ""


class SetTag(EndpointId, frozen=True, kw_only=True):
    key: Required
    value: str = ""


class DeleteTag(EndpointId, frozen=True, kw_only=True):
    key: Required


def secret(found: GatewaySecret) -> Json:
    return {
        "secret_id": found.id,
        "secret_name": found.name,
        "masked_values": dict(found.masked),
        "auth_config": dict(found.settings),
        **_said(provider=found.provider),
        **_made(found),
    }


def definition(found: ModelDefinition, secrets: Mapping[str, str]) -> Json:
    """`secrets` holds the names of secrets by id."""
    return {
        "model_definition_id": found.id,
        "name": found.name,
        "provider": found.provider,
        "model_name": found.model_name,
        **_said(secret_id=found.secret_id, secret_name=secrets.get(found.secret_id, "")),
        **_made(found),
    }


def mapping(endpoint_id: str, model: EndpointModel, definitions: Mapping[str, Json]) -> Json:
    return {
        "mapping_id": model.id,
        "endpoint_id": endpoint_id,
        "model_definition_id": model.definition_id,
        "weight": model.weight,
        "linkage_type": model.linkage,
        "created_at": millis(model.created),
        **({"model_definition": definitions[model.definition_id]} if model.definition_id in definitions else {}),
        **({} if model.order is None else {"fallback_order": model.order}),
        **_said(created_by=model.created_by),
    }


def endpoint(found: GatewayEndpoint, definitions: Mapping[str, Json]) -> Json:
    """`definitions` holds the protocol's form of model definitions by id."""
    body: Json = {
        "endpoint_id": found.id,
        "name": found.name,
        "model_mappings": [mapping(found.id, model, definitions) for model in found.models],
        "tags": [{"key": key, "value": value} for key, value in found.tags.items()],
        "usage_tracking": found.usage_tracking,
        **_said(routing_strategy=found.strategy, experiment_id=found.experiment_id),
        **_made(found),
    }
    if found.fallback is not None:
        attempts = found.fallback.attempts
        body["fallback_config"] = _said(strategy=found.fallback.strategy) | (
            {} if attempts is None else {"max_attempts": attempts}
        )
    return body


def binding(found: EndpointBinding) -> Json:
    return {
        "endpoint_id": found.endpoint_id,
        "resource_type": found.resource_type,
        "resource_id": found.resource_id,
        "created_at": millis(found.created),
        "last_updated_at": millis(found.created),
        **_said(created_by=found.created_by),
    }


def _made(found: GatewaySecret | ModelDefinition | GatewayEndpoint) -> Json:
    return {
        "created_at": millis(found.created),
        "last_updated_at": millis(found.updated),
        **_said(created_by=found.created_by, last_updated_by=found.updated_by),
    }


def _said(**texts: str) -> Json:
    return {name: text for name, text in texts.items() if text}
