"""What serving wants from the other parts; the engine hands it over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Speller(Protocol):
    """Spells the keys of an entity as the whole house does."""

    def __call__(self, model: str, entity: Mapping[str, object]) -> dict[str, str]:
        """Key columns in their one spelling, nulls left out. Raises BadKey for a value that is none of its type."""
        ...
