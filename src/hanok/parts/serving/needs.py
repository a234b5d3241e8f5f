"""What serving wants from the other parts; the engine hands it over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from datetime import datetime
from typing import Protocol

import pyarrow as pa

from hanok.compute.keys import canonical_column, holds_keys, key_type
from hanok.compute.runtimes.encoded import Scored
from hanok.core.keys import KeyType
from hanok.core.serving import Signature


class EntityKeys(Protocol):
    """Spells the keys of a model's entities as the whole house does."""

    def spelled(self, model: str, entity: Mapping[str, object]) -> dict[str, str]:
        """Key columns in their one spelling, nulls left out. Raises BadKey for a value that is none of its type, and
        Invalid for a key that the model does not have."""
        ...

    def spelled_columns(
        self, model: str, columns: Mapping[str, pa.ChunkedArray], *, strict: bool = True
    ) -> dict[str, pa.ChunkedArray]:
        """The same for the key columns of many rows; nulls stay. With `strict=False` a value that is none of its type
        becomes null: it equals no key."""
        ...


class ForeignRuntimes(Protocol):
    """Opens models that run code of their own."""

    def open(self, signature: Signature, files: Mapping[str, str], read: Callable[[str], bytes]) -> Scored:
        """`files` are digests by name, `read` gives the bytes of one. Raises Unsafe for files that nobody approved."""
        ...

    def follow(self) -> Set[str]:
        """End what nobody approves any more. Gives the content hashes of what was ended."""
        ...

    def close(self) -> None:
        """End what was begun for them."""
        ...


class UndeclaredKeys:
    """Keys of models of which nobody has declared the keys: spelled by the type that each value has."""

    def spelled(self, model: str, entity: Mapping[str, object]) -> dict[str, str]:
        return {name: _text(value) for name, value in entity.items() if value is not None}

    def spelled_columns(
        self, model: str, columns: Mapping[str, pa.ChunkedArray], *, strict: bool = True
    ) -> dict[str, pa.ChunkedArray]:
        kinds = {
            n: key_type(c.type, name=n) if strict or holds_keys(c.type) else KeyType.TEXT for n, c in columns.items()
        }
        return {n: canonical_column(kinds[n], c, name=n, strict=strict) for n, c in columns.items()}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, datetime) else str(value)
