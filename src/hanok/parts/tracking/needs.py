"""What tracking wants from others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from hanok.core.webhooks import Reply


class Sender(Protocol):
    """The way out."""

    @property
    def allow_private(self) -> bool: ...

    def check(self, url: str) -> None:
        """Raises Unsafe for an address that must not be reached."""
        ...

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Never raises."""
        ...


class Sealer(Protocol):
    """Encrypts what is kept and never shown."""

    @property
    def available(self) -> bool: ...

    def seal(self, values: Mapping[str, str], about: str) -> str:
        """`about` is the id of what the values belong to: a sealed text moved elsewhere does not open.
        Raises MissingExtra where the means to encrypt are not installed."""
        ...
