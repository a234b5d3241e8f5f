"""Verbs of a shared server: users, tokens, roles, projects, the audit record."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import asdict

from hanok.core.access import EVERY_PROJECT, Role, Token, User, role_of
from hanok.core.access import Access as A
from hanok.core.errors import Invalid
from hanok.core.json import Json, JsonObject
from hanok.engine.arguments import Count
from hanok.engine.verbs.registry import verb
from hanok.parts.access import AccessVerbs


@verb("user.add", A.OWN, "read")
def add_user(
    users: AccessVerbs, *, name: str, password: str = "", role: str = "", project: str = EVERY_PROJECT
) -> JsonObject:
    """Add a user, with a role in a project (in all by default). Without a password one is made and shown once."""
    made = password or secrets.token_urlsafe(15)
    user = users.add_user(name, made)
    if role:
        users.grant(name, role, project)
    shown = {} if password else {"password": made}
    return _user(user, users.roles()) | shown


@verb("user.list", A.OWN, "read")
def list_users(users: AccessVerbs) -> Sequence[JsonObject]:
    """All users with their roles."""
    roles = users.roles()
    return [_user(user, roles) for user in users.users()]


@verb("user.disable", A.OWN, "urgent")
def disable_user(users: AccessVerbs, *, name: str) -> JsonObject:
    """Refuse a user at once, with all tokens and sessions; what he did stays his."""
    return _user(users.set_disabled(name, True), users.roles())


@verb("user.enable", A.OWN, "read")
def enable_user(users: AccessVerbs, *, name: str) -> JsonObject:
    """Let a disabled user in again."""
    return _user(users.set_disabled(name, False), users.roles())


@verb("user.password", A.READ, "read")
def set_password(users: AccessVerbs, *, actor: str, password: str, name: str = "") -> JsonObject:
    """Set one's own password, or, for an owner of all projects, anybody's; browsers have to log in again."""
    users.set_password(name or actor, password)
    return {"name": name or actor, "changed": True}


@verb("token.create", A.READ, "read")
def create_token(
    users: AccessVerbs, *, name: str, user: str = "", access: str = "owner", project: str = "", days: float | None = 90
) -> JsonObject:
    """An API token of one's own; it may at most what its user may, less with `access` or `project`. Shown once."""
    token, secret = users.create_token(name, user=user, access=access, project=project, days=days)
    return _token(token) | {"token": secret}


@verb("token.list", A.READ, "read")
def list_tokens(users: AccessVerbs, *, user: str = "") -> Sequence[JsonObject]:
    """One's own API tokens, or, for an owner of all projects, everybody's."""
    return [_token(token) for token in users.tokens(user or None)]


@verb("token.revoke", A.READ, "urgent")
def revoke_token(users: AccessVerbs, *, token: str) -> JsonObject:
    """Refuse a token from now on, by its id or the beginning of it."""
    return _token(users.revoke_token(token))


@verb("role.grant", A.OWN, "read", everywhere=False)
def grant_role(users: AccessVerbs, *, user: str, role: str, project: str = EVERY_PROJECT) -> JsonObject:
    """Give a user a role in a project: reader, user, editor or owner. The caller owns the project."""
    return _role(users.grant(user, role, project))


@verb("role.revoke", A.OWN, "urgent", everywhere=False)
def revoke_role(users: AccessVerbs, *, user: str, project: str = EVERY_PROJECT) -> JsonObject:
    """Take a user's role in a project away. The caller owns the project."""
    users.withdraw(user, project)
    return {"user": user, "project": project, "role": ""}


@verb("role.list", A.READ, "read")
def list_roles(users: AccessVerbs) -> Sequence[JsonObject]:
    """Roles in the projects that one owns, and one's own."""
    return [_role(role) for role in users.roles()]


@verb("project.list", A.READ, "read")
def list_projects(users: AccessVerbs) -> Sequence[JsonObject]:
    """Projects that one may read, with their number of experiments and registered models."""
    return [
        {"project": name, "experiments": experiments, "models": models}
        for name, (experiments, models) in users.projects().items()
    ]


@verb("project.assign", A.OWN, "read", everywhere=False)
def assign(
    users: AccessVerbs, *, project: str, experiments: Sequence[str] = (), models: Sequence[str] = ()
) -> JsonObject:
    """Move experiments and registered models, by name, into a project. The caller owns both sides."""
    if not experiments and not models:
        raise Invalid("name at least one experiment or registered model to assign")
    users.assign(project, experiments=tuple(experiments), models=tuple(models))
    return {"project": project, "experiments": list(experiments), "models": list(models)}


@verb("audit", A.OWN, "read", everywhere=False)
def audit(
    users: AccessVerbs,
    *,
    actor: str,
    who: str = "",
    project: str = "",
    denied: bool = False,
    before: Count = 0,
    limit: Count = 100,
) -> Sequence[JsonObject]:
    """Who changed what and who was refused, newest first; the caller owns the project, or all when none is named."""
    found = users.audit(actor=who, project=project, denied=denied, before=before, limit=limit)
    return [asdict(entry) | {"at": entry.at.isoformat()} for entry in found]


def _user(user: User, roles: Sequence[Role]) -> dict[str, Json]:
    return {
        "name": user.name,
        "roles": {role.project: role_of(role.access) for role in roles if role.user == user.name},
        "created": user.created.isoformat(),
        "disabled": user.disabled.isoformat() if user.disabled else None,
    }


def _token(token: Token) -> dict[str, Json]:
    instants = {name: getattr(token, name) for name in ("created", "expires", "last_used", "revoked")}
    return {
        "id": token.id,
        "user": token.user,
        "name": token.name,
        "access": role_of(token.access),
        "project": token.project or EVERY_PROJECT,
        **{name: at and at.isoformat() for name, at in instants.items()},
    }


def _role(role: Role) -> dict[str, Json]:
    return {
        "user": role.user,
        "project": role.project,
        "role": role_of(role.access),
        "granted": role.granted.isoformat(),
        "by": role.granted_by,
    }
