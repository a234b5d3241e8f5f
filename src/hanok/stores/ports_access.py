"""What users, roles and projects want from storage. The contract of ports.py holds here too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from hanok.core.access import AuditEntry, Bound, Role, Token, User


class Projects(Protocol):
    """Which project things belong to: experiments and registered models by a column, the rest through them."""

    def of(self, kind: Bound, thing: str) -> str | None:
        """By id, a registered model by name, a version by its lineage node; None for what does not exist."""
        ...

    def own_places(self) -> list[tuple[str, str]]:
        """Artifact location and project of experiments that keep their artifacts in a place of their own choice."""
        ...

    def counts(self) -> dict[str, tuple[int, int]]:
        """Number of experiments and of registered models by project."""
        ...


class Users(Protocol):
    def put(self, user: User) -> None:
        """Insert, or replace when it is disabled."""
        ...

    def set_password(self, name: str, derived: str) -> None:
        """`derived` is what a slow hash made of the password."""
        ...

    def password(self, name: str) -> str:
        """What `set_password` was given; "" for none."""
        ...

    def get(self, name: str) -> User | None: ...

    def all(self) -> list[User]:
        """By name."""
        ...


class Tokens(Protocol):
    """API tokens and browser sessions, found by the SHA-256 of their secret."""

    def add(self, token: Token, digest: str) -> None: ...

    def find(self, digest: str) -> Token | None:
        """Revoked and expired ones too."""
        ...

    def list(self, user: str | None = None) -> list[Token]:
        """Newest first."""
        ...

    def revoke(self, token_id: str, at: datetime) -> bool:
        """Whether there was one that was not revoked yet."""
        ...

    def revoke_of(self, user: str, kind: str, at: datetime) -> int: ...

    def used(self, at: Mapping[str, datetime]) -> None:
        """When tokens were last used, by id."""
        ...

    def remove_expired(self, kind: str, before: datetime) -> int: ...


class Roles(Protocol):
    def grant(self, role: Role) -> None:
        """Insert or replace."""
        ...

    def revoke(self, user: str, project: str) -> bool:
        """Whether there was one."""
        ...

    def of(self, user: str) -> list[Role]: ...

    def all(self) -> list[Role]:
        """By project and user."""
        ...

    def generation(self) -> int:
        """A number that grows whenever what was remembered about users, tokens, roles or projects may be wrong."""
        ...

    def changed(self) -> None:
        """Make it grow."""
        ...


class AuditLog(Protocol):
    """Append-only."""

    def append(self, entries: Sequence[AuditEntry]) -> None: ...

    def list(
        self, *, actor: str = "", project: str = "", denied: bool = False, before: int = 0, limit: int = 100
    ) -> list[AuditEntry]:
        """Newest first; `before` a sequence number, `denied` only those that were refused (401, 403, 429)."""
        ...
