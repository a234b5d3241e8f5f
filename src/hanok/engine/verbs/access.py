"""Verbs of a shared server: users, tokens, roles, projects, the audit record."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from hanok.core.access import EVERY_PROJECT, Role, Token, User, role_of
from hanok.core.access import Access as A
from hanok.core.errors import Invalid
from hanok.engine.verbs.registry import verb


@verb("user.add", A.OWN)
def add_user(
    app: Any, actor: str, *, name: str, password: str = "", role: str = "", project: str = EVERY_PROJECT
) -> dict[str, Any]:
    """Add a user, with a role in a project (in all by default). Without a password one is made and shown once."""
    made = password or secrets.token_urlsafe(15)
    user = app.access.add_user(name, made)
    if role:
        app.access.grant(name, role, project)
    shown = {} if password else {"password": made}
    return _user(user, app.access.roles()) | shown


@verb("user.list", A.OWN)
def list_users(app: Any, actor: str) -> list[dict[str, Any]]:
    """All users with their roles."""
    roles = app.access.roles()
    return [_user(user, roles) for user in app.access.users()]


@verb("user.disable", A.OWN)
def disable_user(app: Any, actor: str, *, name: str) -> dict[str, Any]:
    """Refuse a user at once, with all tokens and sessions; what he did stays his."""
    return _user(app.access.set_disabled(name, True), app.access.roles())


@verb("user.enable", A.OWN)
def enable_user(app: Any, actor: str, *, name: str) -> dict[str, Any]:
    """Let a disabled user in again."""
    return _user(app.access.set_disabled(name, False), app.access.roles())


@verb("user.password", A.READ)
def set_password(app: Any, actor: str, *, password: str, name: str = "") -> dict[str, Any]:
    """Set one's own password, or, for an owner of all projects, anybody's; browsers have to log in again."""
    app.access.set_password(name or actor, password)
    return {"name": name or actor, "changed": True}


@verb("token.create", A.READ)
def create_token(
    app: Any,
    actor: str,
    *,
    name: str,
    user: str = "",
    access: str = "owner",
    project: str = "",
    days: float | None = 90,
) -> dict[str, Any]:
    """An API token of one's own; it may at most what its user may, less with `access` or `project`. Shown once."""
    token, secret = app.access.create_token(name, user=user, access=access, project=project, days=_days(days))
    return _token(token) | {"token": secret}


@verb("token.list", A.READ)
def list_tokens(app: Any, actor: str, *, user: str = "") -> list[dict[str, Any]]:
    """One's own API tokens, or, for an owner of all projects, everybody's."""
    return [_token(token) for token in app.access.tokens(user or None)]


@verb("token.revoke", A.READ)
def revoke_token(app: Any, actor: str, *, token: str) -> dict[str, Any]:
    """Refuse a token from now on, by its id or the beginning of it."""
    return _token(app.access.revoke_token(token))


@verb("role.grant", A.OWN, everywhere=False)
def grant_role(app: Any, actor: str, *, user: str, role: str, project: str = EVERY_PROJECT) -> dict[str, Any]:
    """Give a user a role in a project: reader, user, editor or owner. The caller owns the project."""
    return _role(app.access.grant(user, role, project))


@verb("role.revoke", A.OWN, everywhere=False)
def revoke_role(app: Any, actor: str, *, user: str, project: str = EVERY_PROJECT) -> dict[str, Any]:
    """Take a user's role in a project away. The caller owns the project."""
    app.access.withdraw(user, project)
    return {"user": user, "project": project, "role": ""}


@verb("role.list", A.READ)
def list_roles(app: Any, actor: str) -> list[dict[str, Any]]:
    """Roles in the projects that one owns, and one's own."""
    return [_role(role) for role in app.access.roles()]


@verb("project.list", A.READ)
def list_projects(app: Any, actor: str) -> list[dict[str, Any]]:
    """Projects that one may read, with their number of experiments and registered models."""
    return [
        {"project": name, "experiments": experiments, "models": models}
        for name, (experiments, models) in app.access.projects().items()
    ]


@verb("project.assign", A.OWN, everywhere=False)
def assign(
    app: Any, actor: str, *, project: str, experiments: Sequence[str] = (), models: Sequence[str] = ()
) -> dict[str, Any]:
    """Move experiments and registered models, by name, into a project. The caller owns both sides."""
    if not experiments and not models:
        raise Invalid("name at least one experiment or registered model to assign")
    app.access.assign(project, experiments=_names(experiments), models=_names(models))
    return {"project": project, "experiments": list(experiments), "models": list(models)}


@verb("audit", A.OWN, everywhere=False)
def audit(
    app: Any,
    actor: str,
    *,
    who: str = "",
    project: str = "",
    denied: bool = False,
    before: int = 0,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Who changed what and who was refused, newest first; the caller owns the project, or all when none is named."""
    found = app.access.audit(actor=who, project=project, denied=denied, before=int(before), limit=int(limit))
    return [asdict(entry) | {"at": entry.at.isoformat()} for entry in found]


def _names(given: Sequence[str]) -> tuple[str, ...]:
    if isinstance(given, str) or not all(isinstance(name, str) for name in given):
        raise Invalid("experiments and models are lists of names")
    return tuple(given)


def _days(given: Any) -> float | None:
    if given is None or (isinstance(given, int | float) and not isinstance(given, bool)):
        return given
    raise Invalid(f"days={str(given)[:20]!r} is not a number")


def _user(user: User, roles: Sequence[Role]) -> dict[str, Any]:
    return {
        "name": user.name,
        "roles": {role.project: role_of(role.access) for role in roles if role.user == user.name},
        "created": user.created.isoformat(),
        "disabled": user.disabled and user.disabled.isoformat(),
    }


def _token(token: Token) -> dict[str, Any]:
    instants = {name: getattr(token, name) for name in ("created", "expires", "last_used", "revoked")}
    return {
        "id": token.id,
        "user": token.user,
        "name": token.name,
        "access": role_of(token.access),
        "project": token.project or EVERY_PROJECT,
        **{name: at and at.isoformat() for name, at in instants.items()},
    }


def _role(role: Role) -> dict[str, Any]:
    return {
        "user": role.user,
        "project": role.project,
        "role": role_of(role.access),
        "granted": role.granted.isoformat(),
        "by": role.granted_by,
    }
