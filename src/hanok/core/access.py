"""Who may do what: levels of access, projects, and the caller on whose behalf the present work runs."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Literal


class Access(IntEnum):
    """What a route asks of its caller; each level includes those below it."""

    PUBLIC = 0
    READ = 1
    USE = 2
    EDIT = 3
    OWN = 4


ROLES: Mapping[str, Access] = {
    "reader": Access.READ,
    "user": Access.USE,
    "editor": Access.EDIT,
    "owner": Access.OWN,
}
DEFAULT_PROJECT = "default"
"""Where experiments and registered models are that nobody assigned."""
EVERY_PROJECT = "*"
Bound = Literal["experiment", "run", "logged model", "model", "version", "trace"]
"""What belongs to a project."""
PROJECT_TAG = "hanok.project"
"""A new experiment or registered model with this tag is made in that project."""
TOKEN_PREFIX = "hanok_"
"""How an API token begins, so that scanners for leaked secrets know one."""


def role_named(name: str) -> Access | None:
    return ROLES.get(name)


def role_of(access: Access) -> str:
    """The role with this access; "" for none."""
    return next((name for name, level in ROLES.items() if level is access), "")


@dataclass(frozen=True, slots=True)
class Actor:
    """The authenticated caller. `name` is what histories and audit records keep, `access` the highest that it holds
    anywhere, `grants` what it holds in which project ("*": in all). Without `grants` it holds `access` in all."""

    name: str
    access: Access
    grants: Mapping[str, Access] | None = None
    token: str = ""

    def access_in(self, project: str) -> Access:
        if self.grants is None:
            return self.access
        return max(self.grants.get(project, Access.PUBLIC), self.grants.get(EVERY_PROJECT, Access.PUBLIC))

    @property
    def access_everywhere(self) -> Access:
        return self.access_in(EVERY_PROJECT)

    def home_project(self) -> str:
        """Where new experiments and models go: `default`, or the only project that it may edit."""
        if self.grants is None or self.access_in(DEFAULT_PROJECT) >= Access.EDIT:
            return DEFAULT_PROJECT
        editable = [p for p, held in self.grants.items() if held >= Access.EDIT]
        return editable[0] if len(editable) == 1 else DEFAULT_PROJECT


LOCAL = Actor("local", Access.OWN)
"""Whoever reaches a server on loopback, or opens a home in his own process."""
SYSTEM = Actor("system", Access.OWN)
"""Reactions to events and the work that the clock starts."""
ANONYMOUS = Actor("", Access.PUBLIC, {})


@dataclass(slots=True)
class Call:
    """One request while it is answered. `touched` collects (project, resource) of what it changed; `gone`: its caller
    has hung up, and nobody waits for the answer."""

    actor: Actor
    touched: list[tuple[str, str]] = field(default_factory=list)
    gone: bool = False


_CALL: ContextVar[Call | None] = ContextVar("hanok-call", default=None)


class acting:
    """Everything inside, threads of `asyncio.to_thread` too, is done on behalf of `actor`."""

    __slots__ = ("_call", "_token")

    def __init__(self, actor: Actor) -> None:
        self._call = Call(actor)

    def __enter__(self) -> Call:
        self._token = _CALL.set(self._call)
        return self._call

    def __exit__(self, *_: object) -> None:
        _CALL.reset(self._token)


def current_call() -> Call | None:
    """None where nobody said on whose behalf the work runs."""
    return _CALL.get()


def caller() -> Actor:
    """On whose behalf the present work runs; the local owner where nobody said so."""
    call = _CALL.get()
    return LOCAL if call is None else call.actor


@dataclass(frozen=True, slots=True)
class User:
    """`disabled` since when, if so."""

    name: str
    created: datetime
    disabled: datetime | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """An API token or the session of a browser (`kind`), without its secret. `project` "" stands for all projects."""

    id: str
    user: str
    name: str
    kind: str
    access: Access
    project: str
    created: datetime
    expires: datetime | None = None
    last_used: datetime | None = None
    revoked: datetime | None = None


@dataclass(frozen=True, slots=True)
class Role:
    """What a user holds in a project."""

    user: str
    project: str
    access: Access
    granted: datetime
    granted_by: str


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what, when, from where, on what, and what came of it. `times` counts equal requests in a row."""

    at: datetime
    actor: str
    token: str
    address: str
    method: str
    route: str
    project: str
    resource: str
    status: int
    times: int = 1
    sequence: int = 0
