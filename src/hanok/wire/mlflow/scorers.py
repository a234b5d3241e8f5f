"""Scorers in the protocol: a client's own JSON text, from which only the gateway endpoint that it asks is read."""

from __future__ import annotations

from typing import Any

import msgspec

from hanok.core.scorers import OnlineScoring, ScorerVersion
from hanok.wire.mlflow.decode import invalid_value
from hanok.wire.mlflow.entities import Json, millis
from hanok.wire.mlflow.requests import Request, Required

GATEWAY = "gateway:/"
_JUDGES = ("instructions_judge_pydantic_data", "builtin_scorer_pydantic_data", "third_party_scorer_data")
_WRAPPED, _INSIDE = "memory_augmented_judge_data", "base_judge"


class Register(Request, frozen=True, kw_only=True):
    experiment_id: Required
    name: Required
    serialized_scorer: Required

    @property
    def endpoint(self) -> str:
        """The name of the gateway endpoint that it asks; "" for none. Raises Invalid."""
        try:
            found = msgspec.json.decode(self.serialized_scorer)
        except (msgspec.DecodeError, RecursionError) as error:
            raise invalid_value("serialized_scorer", self.serialized_scorer[:200], f"JSON is needed: {error}") from None
        if not isinstance(found, dict):
            raise invalid_value("serialized_scorer", self.serialized_scorer[:200], "a JSON object is needed")
        model = _model(found)
        return model.removeprefix(GATEWAY) if model.startswith(GATEWAY) else ""


class OfExperiment(Request, frozen=True, kw_only=True):
    experiment_id: Required


class Named(OfExperiment, frozen=True, kw_only=True):
    name: Required


class Versioned(Named, frozen=True, kw_only=True):
    version: int | None = None


class ScoreOnline(Named, frozen=True, kw_only=True):
    sample_rate: float
    filter_string: str | None = None


class OnlineOf(Request, frozen=True, kw_only=True):
    scorer_ids: tuple[str, ...]


def registered(made: ScorerVersion) -> Json:
    return {
        "version": made.version,
        "scorer_id": made.scorer_id,
        "experiment_id": made.experiment_id,
        "name": made.name,
        "serialized_scorer": made.body,
        "creation_time": millis(made.created),
    }


def scorer(found: ScorerVersion) -> Json:
    return {
        "experiment_id": int(found.experiment_id),
        "scorer_name": found.name,
        "scorer_version": found.version,
        "serialized_scorer": found.body,
        "creation_time": millis(found.created),
        "scorer_id": found.scorer_id,
    }


def online(found: OnlineScoring) -> Json:
    return {
        "online_scoring_config_id": found.id,
        "scorer_id": found.scorer_id,
        "sample_rate": found.sample_rate,
        "experiment_id": found.experiment_id,
        "filter_string": found.filter,
    }


def _model(held: Any) -> str:
    """At any depth: a judge may wrap another one."""
    while isinstance(held, dict) and isinstance(held.get(_WRAPPED), dict):
        held = held[_WRAPPED].get(_INSIDE)
    if not isinstance(held, dict):
        return ""
    judge: dict[str, Any] = next((held[name] for name in _JUDGES if isinstance(held.get(name), dict)), {})
    model = judge.get("model")
    return model if isinstance(model, str) else ""
