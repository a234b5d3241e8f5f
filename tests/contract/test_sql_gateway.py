"""What the repositories of gateway declarations promise, on each engine."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hanok.core.errors import AlreadyExists, GatewayItemNotFound
from hanok.core.gateway import (
    EndpointBinding,
    EndpointModel,
    Fallback,
    GatewayEndpoint,
    GatewaySecret,
    ModelDefinition,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
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
KINDS = [("gateway_secrets", SECRET), ("model_definitions", DEFINITION), ("gateway_endpoints", ENDPOINT)]


@pytest.mark.parametrize(("repository", "item"), KINDS, ids=[name for name, _ in KINDS])
def test_an_item_comes_back_as_it_was_and_is_replaced_by_id(metadata, repository, item):
    metadata.write(lambda r: getattr(r, repository).put(item))
    assert metadata.read(lambda r: getattr(r, repository).get(item.id)) == item
    changed = replace(item, name="another", updated=LATER)
    metadata.write(lambda r: getattr(r, repository).put(changed))
    assert metadata.read(lambda r: getattr(r, repository).all()) == [changed]


@pytest.mark.parametrize(("repository", "item"), KINDS, ids=[name for name, _ in KINDS])
def test_a_name_is_given_once_and_what_is_deleted_is_gone(metadata, repository, item):
    metadata.write(lambda r: getattr(r, repository).put(item))
    other = replace(item, id="x-2", created=LATER)
    with pytest.raises(AlreadyExists):
        metadata.write(lambda r: getattr(r, repository).put(other))
    metadata.write(lambda r: getattr(r, repository).delete(item.id))
    with pytest.raises(GatewayItemNotFound):
        metadata.read(lambda r: getattr(r, repository).get(item.id))
    metadata.write(lambda r: getattr(r, repository).put(other))
    assert metadata.read(lambda r: getattr(r, repository).all()) == [other]


def test_an_endpoint_is_found_by_name_and_takes_its_bindings_with_it(metadata):
    bindings = [EndpointBinding("e-1", "scorer", name, NOW, "ann") for name in ("a", "b")]
    metadata.write(lambda r: r.gateway_endpoints.put(ENDPOINT))
    for binding in (*bindings, replace(bindings[0], created=LATER)):
        metadata.write(lambda r, b=binding: r.endpoint_bindings.put(b))
    assert metadata.read(lambda r: r.gateway_endpoints.named("chat")) == ENDPOINT
    assert metadata.read(lambda r: r.gateway_endpoints.named("other")) is None
    assert metadata.read(lambda r: r.endpoint_bindings.all()) == bindings
    metadata.write(lambda r: r.endpoint_bindings.delete("e-1", "scorer", "a"))
    assert metadata.read(lambda r: r.endpoint_bindings.all()) == bindings[1:]
    metadata.write(lambda r: r.gateway_endpoints.delete("e-1"))
    assert metadata.read(lambda r: r.endpoint_bindings.all()) == []
