"""What a gateway is declared by: secrets, model definitions, endpoints, bindings. Nothing is called by them here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict, Unpack

from hanok.core.clock import Clock
from hanok.core.errors import Conflict, GatewayItemNotFound, Invalid, Unavailable
from hanok.core.gateway import (
    EndpointBinding,
    EndpointModel,
    Fallback,
    GatewayEndpoint,
    GatewaySecret,
    Linkage,
    ModelDefinition,
)
from hanok.core.ids import new_id
from hanok.parts.tracking import checks
from hanok.parts.tracking.needs import Sealer
from hanok.stores.ports import Metadata, Repositories

NAME_MAX, VALUE_MAX, MODELS_MAX = 255, 16_384, 100
MASKED_FROM = 12  # of a shorter value, the seven characters that a mask shows would be too much
RESOURCES = ("scorer",)
_ENDPOINT_NAME = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Link:
    """A model definition to put behind an endpoint."""

    definition_id: str
    linkage: Linkage = "PRIMARY"
    weight: float = 1.0
    order: int | None = None


class GatewaySecretVerbs:
    def __init__(self, metadata: Metadata, clock: Clock, sealer: Sealer | None) -> None:
        self._metadata, self._clock, self._sealer = metadata, clock, sealer

    def create(
        self, name: str, values: Mapping[str, str], *, provider: str, settings: Mapping[str, str], user: str
    ) -> GatewaySecret:
        """Raises AlreadyExists, Invalid, MissingExtra."""
        _check_name("secret", name)
        now = self._clock.now()
        secret_id = f"s-{new_id(now)}"
        sealed, masked = self._sealed(values, secret_id)
        made = GatewaySecret(secret_id, name, now, now, provider, masked, dict(settings), user, user, sealed)
        self._metadata.write(lambda r: r.gateway_secrets.put(made))
        return made

    def get(self, *, secret_id: str = "", name: str = "") -> GatewaySecret:
        """Raises GatewayItemNotFound."""
        if secret_id:
            return self._metadata.read(lambda r: r.gateway_secrets.get(secret_id))
        found = next((s for s in self.all() if s.name == name), None)
        if found is None:
            raise GatewayItemNotFound(f"no gateway secret is named {name[:80]!r}")
        return found

    def all(self, provider: str = "") -> list[GatewaySecret]:
        found = self._metadata.read(lambda r: r.gateway_secrets.all())
        return [secret for secret in found if provider in ("", secret.provider)]

    def update(
        self, secret_id: str, values: Mapping[str, str], *, settings: Mapping[str, str], user: str
    ) -> GatewaySecret:
        """What is empty stays as it is. Raises GatewayItemNotFound, Invalid, MissingExtra."""
        sealed = self._sealed(values, secret_id) if values else None

        def work(r: Repositories) -> GatewaySecret:
            held = r.gateway_secrets.get(secret_id)
            kept = held if sealed is None else replace(held, sealed=sealed[0], masked=sealed[1])
            settled = dict(settings) or held.settings
            changed = replace(kept, updated=self._clock.now(), updated_by=user, settings=settled)
            r.gateway_secrets.put(changed)
            return changed

        return self._metadata.write(work)

    def delete(self, secret_id: str) -> None:
        """Model definitions that use it stay, without a secret. Raises GatewayItemNotFound."""

        def work(r: Repositories) -> None:
            r.gateway_secrets.get(secret_id)
            r.gateway_secrets.delete(secret_id)
            for definition in r.model_definitions.all():
                if definition.secret_id == secret_id:
                    r.model_definitions.put(replace(definition, secret_id=""))

        self._metadata.write(work)

    @property
    def available(self) -> bool:
        """Whether a secret could be kept."""
        return self._sealer is not None and self._sealer.available

    def _sealed(self, values: Mapping[str, str], secret_id: str) -> tuple[str, dict[str, str]]:
        """What is kept, and what is shown."""
        if not values:
            raise Invalid("a secret needs at least one value, such as api_key")
        checks.check_values("secret", values, VALUE_MAX)
        if self._sealer is None:
            raise Unavailable("this server keeps no secrets: it was opened without a place for their key")
        return self._sealer.seal(values, secret_id), {key: _masked(value) for key, value in values.items()}


class DefinitionChange(TypedDict, total=False):
    name: str
    secret_id: str
    provider: str
    model_name: str


class Routing(TypedDict, total=False):
    strategy: str
    fallback: Fallback | None
    usage_tracking: bool
    experiment_id: str


class EndpointChange(Routing, total=False):
    name: str


class GatewayVerbs:
    """Model definitions, endpoints and bindings."""

    def __init__(self, metadata: Metadata, clock: Clock) -> None:
        self._metadata, self._clock = metadata, clock

    def define(self, name: str, *, secret_id: str, provider: str, model_name: str, user: str) -> ModelDefinition:
        """Raises AlreadyExists, GatewayItemNotFound, Invalid."""
        _check_name("model definition", name)
        now = self._clock.now()
        made = ModelDefinition(f"m-{new_id(now)}", name, now, now, provider, model_name, secret_id, user, user)

        def work(r: Repositories) -> ModelDefinition:
            r.gateway_secrets.get(secret_id)
            r.model_definitions.put(made)
            return made

        return self._metadata.write(work)

    def definition(self, definition_id: str) -> ModelDefinition:
        return self._metadata.read(lambda r: r.model_definitions.get(definition_id))

    def definitions(self) -> list[ModelDefinition]:
        return self._metadata.read(lambda r: r.model_definitions.all())

    def redefine(self, definition_id: str, *, user: str, **changes: Unpack[DefinitionChange]) -> ModelDefinition:
        """Changes name, secret_id, provider or model_name. Raises AlreadyExists, GatewayItemNotFound, Invalid."""

        def work(r: Repositories) -> ModelDefinition:
            if "name" in changes:
                _check_name("model definition", changes["name"])
            if "secret_id" in changes:
                r.gateway_secrets.get(changes["secret_id"])
            held = r.model_definitions.get(definition_id)
            changed = replace(held, updated=self._clock.now(), updated_by=user, **changes)
            r.model_definitions.put(changed)
            return changed

        return self._metadata.write(work)

    def undefine(self, definition_id: str) -> None:
        """Raises Conflict while an endpoint uses it, GatewayItemNotFound."""

        def work(r: Repositories) -> None:
            held = r.model_definitions.get(definition_id)
            for endpoint in r.gateway_endpoints.all():
                if any(model.definition_id == definition_id for model in endpoint.models):
                    raise Conflict(
                        f"model definition {held.name!r} is used by endpoint {endpoint.name!r}: detach it there first"
                    )
            r.model_definitions.delete(definition_id)

        self._metadata.write(work)

    def create_endpoint(
        self, name: str, links: Sequence[Link], *, user: str, **facts: Unpack[Routing]
    ) -> GatewayEndpoint:
        """`facts` are strategy, fallback, usage_tracking and experiment_id.
        Raises AlreadyExists, ExperimentNotFound, GatewayItemNotFound, Invalid."""
        _check_endpoint_name(name)
        now = self._clock.now()
        made = GatewayEndpoint(f"e-{new_id(now)}", name, now, now, created_by=user, updated_by=user, **facts)
        return self._metadata.write(lambda r: self._put(r, made, links, user))

    def endpoint(self, *, endpoint_id: str = "", name: str = "") -> GatewayEndpoint:
        """Raises GatewayItemNotFound."""
        if endpoint_id:
            return self._metadata.read(lambda r: r.gateway_endpoints.get(endpoint_id))
        found = self._metadata.read(lambda r: r.gateway_endpoints.named(name))
        if found is None:
            raise GatewayItemNotFound(f"no gateway endpoint is named {name[:80]!r}")
        return found

    def endpoints(self) -> list[GatewayEndpoint]:
        return self._metadata.read(lambda r: r.gateway_endpoints.all())

    def update_endpoint(
        self, endpoint_id: str, links: Sequence[Link], *, user: str, **changes: Unpack[EndpointChange]
    ) -> GatewayEndpoint:
        """Without `links` its models stay. Raises as create_endpoint does."""

        def change(r: Repositories, held: GatewayEndpoint) -> GatewayEndpoint:
            return self._put(r, replace(held, updated_by=user, **changes), links, user)

        if "name" in changes:
            _check_endpoint_name(changes["name"])
        return self._change(endpoint_id, change)

    def delete_endpoint(self, endpoint_id: str) -> None:
        def work(r: Repositories) -> None:
            r.gateway_endpoints.get(endpoint_id)
            r.gateway_endpoints.delete(endpoint_id)

        self._metadata.write(work)

    def attach(self, endpoint_id: str, link: Link, *, user: str) -> EndpointModel:
        """Raises Conflict for a definition that is attached, GatewayItemNotFound."""

        def change(r: Repositories, held: GatewayEndpoint) -> GatewayEndpoint:
            if any(model.definition_id == link.definition_id for model in held.models):
                raise Conflict(f"model definition {link.definition_id} is attached to endpoint {held.name!r} already")
            models = (*held.models, *self._models(r, [link], user))
            return self._put(r, replace(held, models=models), (), user)

        return self._change(endpoint_id, change).models[-1]

    def detach(self, endpoint_id: str, definition_id: str) -> None:
        """Raises GatewayItemNotFound."""

        def change(r: Repositories, held: GatewayEndpoint) -> GatewayEndpoint:
            kept = tuple(model for model in held.models if model.definition_id != definition_id)
            if len(kept) == len(held.models):
                raise GatewayItemNotFound(f"endpoint {held.name!r} has no model {definition_id[:80]!r}")
            return self._put(r, replace(held, models=kept), (), held.updated_by)

        self._change(endpoint_id, change)

    def set_tag(self, endpoint_id: str, key: str, value: str) -> None:
        checks.check_values("endpoint tag", {key: value}, checks.TAG_VALUE_MAX)
        self._change(endpoint_id, lambda r, e: self._put(r, replace(e, tags={**e.tags, key: value}), (), e.updated_by))

    def delete_tag(self, endpoint_id: str, key: str) -> None:
        def change(r: Repositories, held: GatewayEndpoint) -> GatewayEndpoint:
            kept = {k: v for k, v in held.tags.items() if k != key}
            return self._put(r, replace(held, tags=kept), (), held.updated_by)

        self._change(endpoint_id, change)

    def bind(self, endpoint_id: str, resource_type: str, resource_id: str, *, user: str) -> EndpointBinding:
        """Raises GatewayItemNotFound, Invalid."""
        if resource_type not in RESOURCES:
            raise Invalid(f"resource type {resource_type[:80]!r} is not known; there is {', '.join(RESOURCES)}")
        made = EndpointBinding(endpoint_id, resource_type, resource_id, self._clock.now(), user)

        def work(r: Repositories) -> EndpointBinding:
            r.gateway_endpoints.get(endpoint_id)
            r.endpoint_bindings.put(made)
            return made

        return self._metadata.write(work)

    def unbind(self, endpoint_id: str, resource_type: str, resource_id: str) -> None:
        self._metadata.write(lambda r: r.endpoint_bindings.delete(endpoint_id, resource_type, resource_id))

    def bindings(self, *, endpoint_id: str, resource_type: str, resource_id: str) -> list[EndpointBinding]:
        """Those that agree with what is not empty."""
        return [
            b
            for b in self._metadata.read(lambda r: r.endpoint_bindings.all())
            if endpoint_id in ("", b.endpoint_id)
            and resource_type in ("", b.resource_type)
            and resource_id in ("", b.resource_id)
        ]

    def _change(
        self, endpoint_id: str, change: Callable[[Repositories, GatewayEndpoint], GatewayEndpoint]
    ) -> GatewayEndpoint:
        return self._metadata.write(lambda r: change(r, r.gateway_endpoints.get(endpoint_id)))

    def _put(self, r: Repositories, endpoint: GatewayEndpoint, links: Sequence[Link], user: str) -> GatewayEndpoint:
        models = self._models(r, links, user) if links else endpoint.models
        if not 1 <= len(models) <= MODELS_MAX:
            raise Invalid(f"an endpoint has 1 to {MODELS_MAX} models; {endpoint.name!r} would have {len(models)}")
        if endpoint.experiment_id:
            r.experiments.get(endpoint.experiment_id)
        kept = replace(endpoint, models=models, updated=self._clock.now())
        r.gateway_endpoints.put(kept)
        return kept

    def _models(self, r: Repositories, links: Sequence[Link], user: str) -> tuple[EndpointModel, ...]:
        now = self._clock.now()
        if len({link.definition_id for link in links}) < len(links):
            raise Invalid("an endpoint names a model definition twice; give it one place, with its weight")
        for link in links:
            r.model_definitions.get(link.definition_id)
            if not 0 <= link.weight < float("inf"):
                raise Invalid(f"the weight of a model is {link.weight}; it must be a number of 0 or more")
        return tuple(
            EndpointModel(f"l-{new_id(now)}", link.definition_id, link.linkage, link.weight, now, link.order, user)
            for link in links
        )


def fallback_of(strategy: str, attempts: int | None) -> Fallback:
    """Raises Invalid."""
    if attempts is not None and attempts < 1:
        raise Invalid(f"max_attempts is {attempts}; at least 1 is needed")
    return Fallback(strategy, attempts)


def _masked(value: str) -> str:
    return f"{value[:3]}...{value[-4:]}" if len(value) >= MASKED_FROM else "***"


def _check_name(kind: str, name: str) -> None:
    if not 0 < len(name) <= NAME_MAX or not name.isprintable():
        raise Invalid(f"{kind} name {name[:60]!r} needs 1 to {NAME_MAX} characters that can be printed")


def _check_endpoint_name(name: str) -> None:
    _check_name("endpoint", name)
    if not _ENDPOINT_NAME.fullmatch(name):
        raise Invalid(f"endpoint name {name[:60]!r} is not usable: letters, digits, '_', '-' and '.' only")
