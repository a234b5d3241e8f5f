from __future__ import annotations

import sys
from pathlib import Path

import click

from hanok.cli.output import ask, common, say, show

ROLE = click.Choice(["reader", "user", "editor", "owner"])


@click.group()
def user() -> None:
    """Users: add, list, disable, enable, password."""


@user.command()
@click.argument("name")
@click.option("--role", type=ROLE, help="Give a role at once.")
@click.option("--project", default="*", show_default=True, help="The project of the role; * is all.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of making one.")
@common
def add(name: str, role: str | None, project: str, password_stdin: bool, home: Path | None, as_json: bool) -> None:
    """Add a user; the password is made and shown once."""
    password = _from_stdin() if password_stdin else ""
    result = ask(home, "user.add", name=name, password=password, role=role or "", project=project)
    if "password" in result and not as_json:
        say("the password is shown once; whoever has it changes it with 'hanok user password'")
    show(result, as_json)


@user.command("list")
@common
def list_(home: Path | None, as_json: bool) -> None:
    """All users with their roles."""
    show(ask(home, "user.list"), as_json)


@user.command()
@click.argument("name")
@common
def disable(name: str, home: Path | None, as_json: bool) -> None:
    """Refuse a user at once, with all tokens and sessions."""
    show(ask(home, "user.disable", name=name), as_json)


@user.command()
@click.argument("name")
@common
def enable(name: str, home: Path | None, as_json: bool) -> None:
    """Let a disabled user in again."""
    show(ask(home, "user.enable", name=name), as_json)


@user.command("password")
@click.argument("name", required=False, default="")
@click.option("--password-stdin", is_flag=True, help="Read it from standard input instead of asking.")
@common
def password_(name: str, password_stdin: bool, home: Path | None, as_json: bool) -> None:
    """Set a password: one's own, or that of NAME."""
    new = _from_stdin() if password_stdin else click.prompt("new password", hide_input=True, confirmation_prompt=True)
    show(ask(home, "user.password", name=name, password=new), as_json)


def _from_stdin() -> str:
    return sys.stdin.readline().rstrip("\n")
