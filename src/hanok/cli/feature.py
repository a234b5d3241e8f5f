from __future__ import annotations

from pathlib import Path

import click

from hanok.cli.output import ask, common, show


@click.group()
def feature() -> None:
    """Feature views: list, show, materialize."""


@feature.command("list")
@common
def list_(home: Path | None, as_json: bool) -> None:
    """All feature views."""
    show(ask(home, "feature.list"), as_json)


@feature.command("show")
@click.argument("name")
@click.argument("entity", nargs=-1)
@common
def show_(name: str, entity: tuple[str, ...], home: Path | None, as_json: bool) -> None:
    """A feature view; with the key values of an ENTITY its values as they stand now."""
    show(ask(home, "feature.show", name=name, entity=list(entity)), as_json)


@feature.command()
@click.argument("name")
@common
def materialize(name: str, home: Path | None, as_json: bool) -> None:
    """Rebuild a view's online values from its source."""
    show(ask(home, "feature.materialize", name=name), as_json)
