from __future__ import annotations

from pathlib import Path

import click

from hanok.cli.output import ask, common, say, show
from hanok.cli.user import ROLE


@click.group()
def token() -> None:
    """API tokens: create, list, revoke."""


@token.command()
@click.argument("name")
@click.option("--user", default="", help="Whose token (default: one's own).")
@click.option("--access", default="owner", show_default=True, type=ROLE, help="At most this, and what the user may.")
@click.option("--project", default="", help="In this project only.")
@click.option("--days", default=90.0, show_default=True, help="How long it lives; 0 is for ever.")
@common
def create(name: str, user: str, access: str, project: str, days: float, home: Path | None, as_json: bool) -> None:
    """Make a token called NAME; it is shown once."""
    result = ask(home, "token.create", name=name, user=user, access=access, project=project, days=days or None)
    if not as_json:
        say("the token is shown once; MLflow reads it from MLFLOW_TRACKING_TOKEN, hanok from HANOK_TOKEN")
    show(result, as_json)


@token.command("list")
@click.option("--user", default="", help="Those of one user.")
@common
def list_(user: str, home: Path | None, as_json: bool) -> None:
    """One's own tokens; for an owner everybody's."""
    show(ask(home, "token.list", user=user), as_json)


@token.command()
@click.argument("token")
@common
def revoke(token: str, home: Path | None, as_json: bool) -> None:
    """Refuse a token from now on, by its id or the beginning of it."""
    show(ask(home, "token.revoke", token=token), as_json)
