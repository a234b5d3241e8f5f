"""gateway/*: what a gateway is declared by, for owners. What would call a model answers 501."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from hanok.core.access import Access
from hanok.core.gateway import GatewayEndpoint, Linkage
from hanok.parts.tracking.gateway import Link, fallback_of
from hanok.server.mlflow.endpoint import Call, Endpoint, Json
from hanok.wire.mlflow import gateway as wire
from hanok.wire.mlflow.decode import missing_value
from hanok.wire.mlflow.requests import Nothing

R = TypeVar("R", bound=msgspec.Struct)


def create_secret(call: Call, asked: wire.CreateSecret) -> Json:
    made = call.tracking.gateway_secrets.create(
        asked.secret_name,
        asked.secret_value,
        provider=asked.provider,
        settings=asked.auth_config,
        user=_user(call, asked.created_by),
    )
    return {"secret": wire.secret(made)}


def get_secret(call: Call, asked: wire.WhichSecret) -> Json:
    if not asked.secret_id and not asked.secret_name:
        raise missing_value("secret_id")
    return {"secret": wire.secret(call.tracking.gateway_secrets.get(secret_id=asked.secret_id, name=asked.secret_name))}


def update_secret(call: Call, asked: wire.UpdateSecret) -> Json:
    changed = call.tracking.gateway_secrets.update(
        asked.secret_id, asked.secret_value, settings=asked.auth_config, user=_user(call, asked.updated_by)
    )
    return {"secret": wire.secret(changed)}


def delete_secret(call: Call, asked: wire.SecretId) -> Json:
    call.tracking.gateway_secrets.delete(asked.secret_id)
    return {}


def list_secrets(call: Call, asked: wire.OfProvider) -> Json:
    return {"secrets": [wire.secret(s) for s in call.tracking.gateway_secrets.all(asked.provider)]}


def secrets_config(call: Call, asked: Nothing) -> Json:
    """Whether secrets can be kept; their key is never one that everybody knows."""
    return {"secrets_available": call.tracking.gateway_secrets.available, "using_default_passphrase": False}


def create_definition(call: Call, asked: wire.CreateDefinition) -> Json:
    made = call.tracking.gateway.define(
        asked.name,
        secret_id=asked.secret_id,
        provider=asked.provider,
        model_name=asked.model_name,
        user=_user(call, asked.created_by),
    )
    return {"model_definition": wire.definition(made, _secret_names(call))}


def get_definition(call: Call, asked: wire.DefinitionId) -> Json:
    found = call.tracking.gateway.definition(asked.model_definition_id)
    return {"model_definition": wire.definition(found, _secret_names(call))}


def update_definition(call: Call, asked: wire.UpdateDefinition) -> Json:
    changes = {name: v for name in ("name", "secret_id", "provider", "model_name") if (v := getattr(asked, name))}
    user = _user(call, asked.updated_by)
    changed = call.tracking.gateway.redefine(asked.model_definition_id, user=user, **changes)
    return {"model_definition": wire.definition(changed, _secret_names(call))}


def delete_definition(call: Call, asked: wire.DefinitionId) -> Json:
    call.tracking.gateway.undefine(asked.model_definition_id)
    return {}


def list_definitions(call: Call, asked: wire.OfProvider) -> Json:
    names = _secret_names(call)
    return {
        "model_definitions": [
            wire.definition(d, names)
            for d in call.tracking.gateway.definitions()
            if asked.provider in ("", d.provider) and asked.secret_id in ("", d.secret_id)
        ]
    }


def create_endpoint(call: Call, asked: wire.CreateEndpoint) -> Json:
    experiment_id = asked.experiment_id if asked.usage_tracking else ""
    if asked.usage_tracking and not experiment_id:
        experiment_id = call.tracking.experiments.ensure(f"gateway/{asked.name}").id
    made = call.tracking.gateway.create_endpoint(
        asked.name,
        [_link(config) for config in asked.model_configs],
        user=_user(call, asked.created_by),
        usage_tracking=asked.usage_tracking,
        experiment_id=experiment_id,
        **_routing(asked),
    )
    return {"endpoint": _shown(call, made)}


def get_endpoint(call: Call, asked: wire.WhichEndpoint) -> Json:
    if not asked.endpoint_id and not asked.name:
        raise missing_value("endpoint_id")
    found = call.tracking.gateway.endpoint(endpoint_id=asked.endpoint_id, name=asked.name)
    return {"endpoint": _shown(call, found)}


def update_endpoint(call: Call, asked: wire.UpdateEndpoint) -> Json:
    changes: dict[str, Any] = {name: v for name in ("name", "experiment_id") if (v := getattr(asked, name))}
    if asked.usage_tracking is not None:
        changes["usage_tracking"] = asked.usage_tracking
    changed = call.tracking.gateway.update_endpoint(
        asked.endpoint_id,
        [_link(config) for config in asked.model_configs],
        user=_user(call, asked.updated_by),
        **(changes | _routing(asked)),
    )
    return {"endpoint": _shown(call, changed)}


def delete_endpoint(call: Call, asked: wire.EndpointId) -> Json:
    call.tracking.gateway.delete_endpoint(asked.endpoint_id)
    return {}


def list_endpoints(call: Call, asked: wire.OfProvider) -> Json:
    definitions = _definitions(call)
    return {
        "endpoints": [
            wire.endpoint(found, definitions)
            for found in call.tracking.gateway.endpoints()
            if any(
                asked.provider in ("", d.get("provider")) and asked.secret_id in ("", d.get("secret_id"))
                for d in (definitions.get(model.definition_id, {}) for model in found.models)
            )
        ]
    }


def attach(call: Call, asked: wire.Attach) -> Json:
    made = call.tracking.gateway.attach(
        asked.endpoint_id, _link(asked.model_config), user=_user(call, asked.created_by)
    )
    return {"mapping": wire.mapping(asked.endpoint_id, made, _definitions(call))}


def detach(call: Call, asked: wire.Detach) -> Json:
    call.tracking.gateway.detach(asked.endpoint_id, asked.model_definition_id)
    return {}


def set_tag(call: Call, asked: wire.SetTag) -> Json:
    call.tracking.gateway.set_tag(asked.endpoint_id, asked.key, asked.value)
    return {}


def delete_tag(call: Call, asked: wire.DeleteTag) -> Json:
    call.tracking.gateway.delete_tag(asked.endpoint_id, asked.key)
    return {}


def bind(call: Call, asked: wire.Bind) -> Json:
    made = call.tracking.gateway.bind(
        asked.endpoint_id, asked.resource_type, asked.resource_id, user=_user(call, asked.created_by)
    )
    return {"binding": wire.binding(made)}


def unbind(call: Call, asked: wire.Bind) -> Json:
    call.tracking.gateway.unbind(asked.endpoint_id, asked.resource_type, asked.resource_id)
    return {}


def list_bindings(call: Call, asked: wire.WhichBindings) -> Json:
    found = call.tracking.gateway.bindings(
        endpoint_id=asked.endpoint_id, resource_type=asked.resource_type, resource_id=asked.resource_id
    )
    return {"bindings": [wire.binding(b) for b in found]}


def _user(call: Call, claimed: str) -> str:
    """Who is authenticated; a name that the client claims counts only where there is no login."""
    return call.actor.name if call.actor.name != "local" else claimed


def _link(config: wire.ModelConfig) -> Link:
    linkage: Linkage = "FALLBACK" if config.linkage_type == "FALLBACK" else "PRIMARY"
    return Link(config.model_definition_id, linkage, config.weight, config.fallback_order)


def _routing(asked: wire.CreateEndpoint | wire.UpdateEndpoint) -> dict[str, Any]:
    """What was said of it."""
    said: dict[str, Any] = {}
    if asked.routing_strategy not in ("", "ROUTING_STRATEGY_UNSPECIFIED"):
        said["strategy"] = asked.routing_strategy
    if asked.fallback_config is not None:
        strategy = asked.fallback_config.strategy.removesuffix("FALLBACK_STRATEGY_UNSPECIFIED")
        said["fallback"] = fallback_of(strategy, asked.fallback_config.max_attempts)
    return said


def _secret_names(call: Call) -> dict[str, str]:
    return {secret.id: secret.name for secret in call.tracking.gateway_secrets.all()}


def _definitions(call: Call) -> dict[str, Json]:
    names = _secret_names(call)
    return {d.id: wire.definition(d, names) for d in call.tracking.gateway.definitions()}


def _shown(call: Call, found: GatewayEndpoint) -> Json:
    return wire.endpoint(found, _definitions(call))


def _own(method: str, path: str, asks: type[R], answer: Callable[[Call, R], Json]) -> Endpoint:
    return Endpoint(method, f"/gateway/{path}", asks, answer, Access.OWN)


ENDPOINTS = (
    _own("POST", "secrets/create", wire.CreateSecret, create_secret),
    _own("GET", "secrets/get", wire.WhichSecret, get_secret),
    _own("POST", "secrets/update", wire.UpdateSecret, update_secret),
    _own("DELETE", "secrets/delete", wire.SecretId, delete_secret),
    _own("GET", "secrets/list", wire.OfProvider, list_secrets),
    _own("GET", "secrets/config", Nothing, secrets_config),
    _own("POST", "model-definitions/create", wire.CreateDefinition, create_definition),
    _own("GET", "model-definitions/get", wire.DefinitionId, get_definition),
    _own("POST", "model-definitions/update", wire.UpdateDefinition, update_definition),
    _own("DELETE", "model-definitions/delete", wire.DefinitionId, delete_definition),
    _own("GET", "model-definitions/list", wire.OfProvider, list_definitions),
    _own("POST", "endpoints/create", wire.CreateEndpoint, create_endpoint),
    _own("GET", "endpoints/get", wire.WhichEndpoint, get_endpoint),
    _own("POST", "endpoints/update", wire.UpdateEndpoint, update_endpoint),
    _own("DELETE", "endpoints/delete", wire.EndpointId, delete_endpoint),
    _own("GET", "endpoints/list", wire.OfProvider, list_endpoints),
    _own("POST", "endpoints/models/attach", wire.Attach, attach),
    _own("POST", "endpoints/models/detach", wire.Detach, detach),
    _own("POST", "endpoints/bindings/create", wire.Bind, bind),
    _own("DELETE", "endpoints/bindings/delete", wire.Bind, unbind),
    _own("GET", "endpoints/bindings/list", wire.WhichBindings, list_bindings),
    _own("POST", "endpoints/set-tag", wire.SetTag, set_tag),
    _own("DELETE", "endpoints/delete-tag", wire.DeleteTag, delete_tag),
)
