"""Who may do what here: oneself, and for owners users, tokens, roles, projects and what was done lately."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from hanok.core.access import EVERY_PROJECT, LOCAL, Access, AuditEntry, Role, Token, User, caller, role_of
from hanok.ui.views.common import Ask

if TYPE_CHECKING:
    from hanok.engine.app import App

ENTRIES = 100


@dataclass(frozen=True, slots=True)
class AccessPage:
    """`mine` are the caller's own roles; `users` and `audit` are there for an owner of all projects. Local: a server
    without a login."""

    now: datetime
    me: str
    local: bool
    owner: bool
    mine: Mapping[str, str]
    projects: Mapping[str, tuple[int, int]]
    users: tuple[User, ...]
    roles: tuple[Role, ...]
    tokens: tuple[Token, ...]
    audit: tuple[AuditEntry, ...]
    names: Mapping[int, str]


def access_page(app: App, ask: Ask) -> AccessPage:
    actor = caller()
    owner = actor.access_everywhere >= Access.OWN
    grants = actor.grants if actor.grants is not None else {EVERY_PROJECT: actor.access}
    return AccessPage(
        app.clock.now(),
        actor.name,
        actor is LOCAL,
        owner,
        {project: role_of(level) for project, level in sorted(grants.items())},
        app.access.projects(),
        tuple(app.access.users()) if owner else (),
        tuple(app.access.roles()),
        tuple(app.access.tokens()),
        tuple(app.access.audit(limit=ENTRIES, denied=ask.text("denied") == "1")) if owner else (),
        {int(level): role_of(level) for level in Access},
    )
