"""The shape of what JSON can say: the type of a body that leaves the house or lies in a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias, Union

Json: TypeAlias = Union[str, int, float, bool, Sequence["Json"], Mapping[str, "Json"], None]  # noqa: UP007 (recursive)
JsonObject: TypeAlias = Mapping[str, Json]
