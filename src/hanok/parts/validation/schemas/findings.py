"""What a check found, and the feature as it would have to be for the data to fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from hanok.core.errors import Invalid
from hanok.core.json import Json
from hanok.wire.tfdv import Message

INACTIVE = ("PLANNED", "ALPHA", "DEPRECATED", "DEBUG_ONLY", "DISABLED")


@dataclass(frozen=True, slots=True)
class Reason:
    """One anomaly by TFDV's name: what was observed against which bound."""

    type: str
    message: str
    observed: str = ""
    bound: str = ""


@dataclass(slots=True)
class Finding:
    """All reasons about one feature. `feature` is a copy of its schema, changed so that the data would fit: the
    proposal that a person accepts or not. Checks run in order and each sees the changes of those before it."""

    feature: Message
    reasons: list[Reason] = field(default_factory=list)

    def add(self, type_: str, message: str, observed: Json = "", bound: Json = "") -> None:
        self.reasons.append(Reason(type_, message, shown(observed), shown(bound)))

    def deprecate(self) -> None:
        self.feature.set("lifecycle_stage", "DEPRECATED")


def inactive(feature: Message) -> bool:
    """Whether the schema says that a feature is not (or not yet, or no longer) to be checked."""
    kind = feature.kind.name
    return (kind != "WeightedFeature" and feature["deprecated"]) or feature["lifecycle_stage"] in INACTIVE


def in_environment(schema: Message, feature: Message, environment: str | None) -> bool:
    """Named environments win over the schema's default ones; without an environment every feature belongs."""
    if not environment or environment in feature["in_environment"]:
        return True
    if environment in feature["not_in_environment"]:
        return False
    return environment in schema["default_environment"]


def known_environment(schema: Message, environment: str, where: str) -> None:
    """Raises Invalid for an environment that the schema does not name: nothing would be checked by it."""
    known = list(dict.fromkeys([*schema["default_environment"], *_environments(schema["feature"])]))
    if environment and environment not in known:
        named = f"it names {', '.join(known)}" if known else "it names none"
        raise Invalid(
            f"{where} has no environment {environment!r}; {named}. Add it as a default_environment, or leave it out"
        )


def _environments(features: Sequence[Message]) -> Iterator[str]:
    for feature in features:
        yield from (*feature["in_environment"], *feature["not_in_environment"])
        yield from _environments(feature["struct_domain"]["feature"])


def required(schema: Message, feature: Message, environment: str | None) -> bool:
    presence = feature["presence"]
    expected = presence["min_count"] > 0 or presence["min_fraction"] > 0
    return not inactive(feature) and expected and in_environment(schema, feature, environment)


def exact(number: float) -> Fraction:
    """A decimal as it was written: 0.9 is nine tenths, so that 10 % outside a bound of 0.9 is not over it."""
    return Fraction(repr(float(number)))


def shown(value: Json) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
