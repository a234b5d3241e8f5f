"""What a gateway to language models is declared by. Hanok keeps these declarations; it calls no model by them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Linkage = Literal["PRIMARY", "FALLBACK"]


@dataclass(frozen=True, slots=True)
class GatewaySecret:
    """Credentials of a provider. `masked` is what may be shown, `sealed` the encrypted values, which never are."""

    id: str
    name: str
    created: datetime
    updated: datetime
    provider: str = ""
    masked: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    created_by: str = ""
    updated_by: str = ""
    sealed: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class ModelDefinition:
    """A model of a provider and the secret to call it with; `secret_id` is "" once that secret is deleted."""

    id: str
    name: str
    created: datetime
    updated: datetime
    provider: str
    model_name: str
    secret_id: str = ""
    created_by: str = ""
    updated_by: str = ""


@dataclass(frozen=True, slots=True)
class EndpointModel:
    """One model behind an endpoint: by `weight` among the primary ones, by `order` among the fallbacks."""

    id: str
    definition_id: str
    linkage: Linkage
    weight: float
    created: datetime
    order: int | None = None
    created_by: str = ""


@dataclass(frozen=True, slots=True)
class Fallback:
    strategy: str = ""
    attempts: int | None = None


@dataclass(frozen=True, slots=True)
class GatewayEndpoint:
    """A name that callers use, and the models behind it. Without `usage_tracking` it has no experiment."""

    id: str
    name: str
    created: datetime
    updated: datetime
    models: tuple[EndpointModel, ...] = ()
    strategy: str = ""
    fallback: Fallback | None = None
    usage_tracking: bool = False
    experiment_id: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    created_by: str = ""
    updated_by: str = ""


@dataclass(frozen=True, slots=True)
class EndpointBinding:
    """A resource, such as a scorer, that uses an endpoint."""

    endpoint_id: str
    resource_type: str
    resource_id: str
    created: datetime
    created_by: str = ""
