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
