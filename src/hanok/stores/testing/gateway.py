"""What a gateway to language models is declared by."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hanok.core.errors import AlreadyExists, GatewayItemNotFound
from hanok.core.gateway import EndpointBinding, EndpointModel, Fallback, GatewayEndpoint, GatewaySecret, ModelDefinition
from hanok.stores.testing.shared import NOW

LATER = NOW + timedelta(minutes=1)
SECRET = GatewaySecret("s-1", "key", NOW, NOW, "openai", {"k": "***"}, {"mode": "x"}, "ann", "bob", "sealed text")
DEFINITION = ModelDefinition("m-1", "gpt", NOW, NOW, "openai", "gpt-4", "s-1", "ann", "bob")
ENDPOINT = GatewayEndpoint(
    "e-1",
    "chat",
    NOW,
    NOW,
    models=(
        EndpointModel("l-1", "m-1", "PRIMARY", 0.5, NOW, created_by="ann"),
        EndpointModel("l-2", "m-2", "FALLBACK", 1.0, NOW, order=0),
    ),
    strategy="REQUEST_BASED_TRAFFIC_SPLIT",
    fallback=Fallback("SEQUENTIAL", 2),
    usage_tracking=True,
    experiment_id="7",
    tags={"team": "ml"},
    created_by="ann",
)


class GatewaySecretsContract:
    def test_a_gateway_secret_comes_back_as_it_was_and_is_replaced_by_id(self, store: Any) -> None:
        store.write(lambda r: r.gateway_secrets.put(SECRET))
        assert store.read(lambda r: r.gateway_secrets.get(SECRET.id)) == SECRET
        changed = replace(SECRET, name="another", updated=LATER)
        store.write(lambda r: r.gateway_secrets.put(changed))
        assert store.read(lambda r: r.gateway_secrets.all()) == [changed]

    def test_the_name_of_a_gateway_secret_is_given_once_and_what_is_deleted_is_gone(self, store: Any) -> None:
        store.write(lambda r: r.gateway_secrets.put(SECRET))
        other = replace(SECRET, id="x-2", created=LATER)
        with pytest.raises(AlreadyExists):
            store.write(lambda r: r.gateway_secrets.put(other))
        store.write(lambda r: r.gateway_secrets.delete(SECRET.id))
        with pytest.raises(GatewayItemNotFound):
            store.read(lambda r: r.gateway_secrets.get(SECRET.id))
        store.write(lambda r: r.gateway_secrets.put(other))
        assert store.read(lambda r: r.gateway_secrets.all()) == [other]


class ModelDefinitionsContract:
    def test_a_gateway_definition_comes_back_as_it_was_and_is_replaced_by_id(self, store: Any) -> None:
        store.write(lambda r: r.model_definitions.put(DEFINITION))
        assert store.read(lambda r: r.model_definitions.get(DEFINITION.id)) == DEFINITION
        changed = replace(DEFINITION, name="another", updated=LATER)
        store.write(lambda r: r.model_definitions.put(changed))
        assert store.read(lambda r: r.model_definitions.all()) == [changed]

    def test_the_name_of_a_gateway_definition_is_given_once_and_what_is_deleted_is_gone(self, store: Any) -> None:
        store.write(lambda r: r.model_definitions.put(DEFINITION))
        other = replace(DEFINITION, id="x-2", created=LATER)
        with pytest.raises(AlreadyExists):
            store.write(lambda r: r.model_definitions.put(other))
        store.write(lambda r: r.model_definitions.delete(DEFINITION.id))
        with pytest.raises(GatewayItemNotFound):
            store.read(lambda r: r.model_definitions.get(DEFINITION.id))
        store.write(lambda r: r.model_definitions.put(other))
        assert store.read(lambda r: r.model_definitions.all()) == [other]


class GatewayEndpointsContract:
    def test_an_endpoint_is_found_by_name(self, store: Any) -> None:
        store.write(lambda r: r.gateway_endpoints.put(ENDPOINT))
        assert store.read(lambda r: r.gateway_endpoints.named("chat")) == ENDPOINT
        assert store.read(lambda r: r.gateway_endpoints.named("other")) is None

    def test_a_gateway_endpoint_comes_back_as_it_was_and_is_replaced_by_id(self, store: Any) -> None:
        store.write(lambda r: r.gateway_endpoints.put(ENDPOINT))
        assert store.read(lambda r: r.gateway_endpoints.get(ENDPOINT.id)) == ENDPOINT
        changed = replace(ENDPOINT, name="another", updated=LATER)
        store.write(lambda r: r.gateway_endpoints.put(changed))
        assert store.read(lambda r: r.gateway_endpoints.all()) == [changed]

    def test_the_name_of_a_gateway_endpoint_is_given_once_and_what_is_deleted_is_gone(self, store: Any) -> None:
        store.write(lambda r: r.gateway_endpoints.put(ENDPOINT))
        other = replace(ENDPOINT, id="x-2", created=LATER)
        with pytest.raises(AlreadyExists):
            store.write(lambda r: r.gateway_endpoints.put(other))
        store.write(lambda r: r.gateway_endpoints.delete(ENDPOINT.id))
        with pytest.raises(GatewayItemNotFound):
            store.read(lambda r: r.gateway_endpoints.get(ENDPOINT.id))
        store.write(lambda r: r.gateway_endpoints.put(other))
        assert store.read(lambda r: r.gateway_endpoints.all()) == [other]


class EndpointBindingsContract:
    def test_an_endpoint_is_found_by_name_and_takes_its_bindings_with_it(self, store: Any) -> None:
        bindings = [EndpointBinding("e-1", "scorer", name, NOW, "ann") for name in ("a", "b")]
        store.write(lambda r: r.gateway_endpoints.put(ENDPOINT))
        for binding in (*bindings, replace(bindings[0], created=LATER)):
            store.write(lambda r, b=binding: r.endpoint_bindings.put(b))
        assert store.read(lambda r: r.gateway_endpoints.named("chat")) == ENDPOINT
        assert store.read(lambda r: r.gateway_endpoints.named("other")) is None
        assert store.read(lambda r: r.endpoint_bindings.all()) == bindings
        store.write(lambda r: r.endpoint_bindings.delete("e-1", "scorer", "a"))
        assert store.read(lambda r: r.endpoint_bindings.all()) == bindings[1:]
        store.write(lambda r: r.gateway_endpoints.delete("e-1"))
        assert store.read(lambda r: r.endpoint_bindings.all()) == []
