from __future__ import annotations

from pathlib import Path

import click

from hanok.cli.output import ask, common, show


@click.group()
def model() -> None:
    """Models: list, show, compare, history."""


@model.command("list")
@common
def list_(home: Path | None, as_json: bool) -> None:
    """Registered models and what serves."""
    show(ask(home, "model.list"), as_json)


@model.command("show")
@click.argument("name")
@common
def show_(name: str, home: Path | None, as_json: bool) -> None:
    """One model: versions, deployments, performance by day."""
    result = ask(home, "model.show", name=name)
    if not as_json:
        for day in result["performance"]:
            day.pop("slices", None)
    show(result, as_json)


@model.command()
@click.argument("name")
@click.argument("versions", nargs=-1, required=True, type=int)
@common
def compare(name: str, versions: tuple[int, ...], home: Path | None, as_json: bool) -> None:
    """What differs between VERSIONS of a model."""
    show(ask(home, "model.compare", name=name, versions=list(versions)), as_json)


@model.command()
@click.argument("name")
@common
def history(name: str, home: Path | None, as_json: bool) -> None:
    """What happened to NAME: registrations, moves of aliases and stages, deployments; who, when and why."""
    show(ask(home, "model.history", name=name), as_json)
