"""What the declarations of a gateway, and scorers, want from storage. The contract of ports.py holds here too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hanok.core.gateway import EndpointBinding, GatewayEndpoint, GatewaySecret, ModelDefinition
from hanok.core.scorers import OnlineScoring, ScorerVersion


class GatewaySecrets(Protocol):
    def put(self, secret: GatewaySecret) -> None:
        """Insert, or replace by id. Raises AlreadyExists when another one has the name."""
        ...

    def get(self, secret_id: str) -> GatewaySecret:
        """Raises GatewayItemNotFound."""
        ...

    def all(self) -> list[GatewaySecret]:
        """In the order they were made."""
        ...

    def delete(self, secret_id: str) -> None: ...


class ModelDefinitions(Protocol):
    def put(self, definition: ModelDefinition) -> None:
        """Insert, or replace by id. Raises AlreadyExists when another one has the name."""
        ...

    def get(self, definition_id: str) -> ModelDefinition:
        """Raises GatewayItemNotFound."""
        ...

    def all(self) -> list[ModelDefinition]: ...

    def delete(self, definition_id: str) -> None: ...


class GatewayEndpoints(Protocol):
    def put(self, endpoint: GatewayEndpoint) -> None:
        """Insert, or replace by id. Raises AlreadyExists when another one has the name."""
        ...

    def get(self, endpoint_id: str) -> GatewayEndpoint:
        """Raises GatewayItemNotFound."""
        ...

    def named(self, name: str) -> GatewayEndpoint | None: ...

    def all(self) -> list[GatewayEndpoint]: ...

    def delete(self, endpoint_id: str) -> None:
        """With its bindings."""
        ...


class EndpointBindings(Protocol):
    def put(self, binding: EndpointBinding) -> None:
        """What is there already stays as it is."""
        ...

    def all(self) -> list[EndpointBinding]: ...

    def delete(self, endpoint_id: str, resource_type: str, resource_id: str) -> None: ...


class Scorers(Protocol):
    def add(self, version: ScorerVersion) -> ScorerVersion:
        """Under the next number of that name in that experiment, and its `scorer_id` when there is one."""
        ...

    def versions(self, experiment_id: str, name: str) -> list[ScorerVersion]:
        """Oldest first."""
        ...

    def latest(self, experiment_id: str) -> list[ScorerVersion]:
        """The newest version of each, by name."""
        ...

    def delete(self, experiment_id: str, name: str, version: int | None = None) -> int:
        """One version, or all; how many there were. With the last version goes what is scored online."""
        ...

    def put_online(self, config: OnlineScoring) -> OnlineScoring:
        """One for each scorer; replacing keeps its id."""
        ...

    def online(self, scorer_ids: Sequence[str]) -> list[OnlineScoring]: ...
