from __future__ import annotations

from pathlib import Path

import click

from hanok.cli.output import ask, common, show
from hanok.cli.user import ROLE


@click.group()
def role() -> None:
    """Roles in projects: grant, list, revoke."""


@role.command()
@click.argument("user")
@click.argument("role", type=ROLE)
@click.option("--project", default="*", show_default=True, help="* is all projects.")
@common
def grant(user: str, role: str, project: str, home: Path | None, as_json: bool) -> None:
    """Give USER a role in a project."""
    show(ask(home, "role.grant", user=user, role=role, project=project), as_json)


@role.command()
@click.argument("user")
@click.option("--project", default="*", show_default=True, help="The project of the role.")
@common
def revoke(user: str, project: str, home: Path | None, as_json: bool) -> None:
    """Take the role of USER in a project away."""
    show(ask(home, "role.revoke", user=user, project=project), as_json)


@role.command("list")
@common
def list_(home: Path | None, as_json: bool) -> None:
    """Roles in the projects that one owns, and one's own."""
    show(ask(home, "role.list"), as_json)
