from __future__ import annotations

from pathlib import Path

import click

from hanok.cli.output import ask, common, show


@click.group()
def table() -> None:
    """Tables: list, show, statistics."""


@table.command("list")
@common
def list_(home: Path | None, as_json: bool) -> None:
    """All tables with rows kept and set aside."""
    show(ask(home, "table.list"), as_json)


@table.command("show")
@click.argument("name")
@common
def show_(name: str, home: Path | None, as_json: bool) -> None:
    """A table's schema, checks and quarantine."""
    result = ask(home, "table.show", name=name)
    if not as_json and result["schema"]:
        result["schema"] = result["schema"]["columns"]
    show(result, as_json)


@table.command()
@click.argument("name")
@click.option("--batch", default="", help="Of one batch alone.")
@common
def statistics(name: str, batch: str, home: Path | None, as_json: bool) -> None:
    """The merged statistics of a table as TFDV's protobuf text."""
    result = ask(home, "table.statistics", name=name, batch=batch)
    if as_json:
        show(result, True)
    else:
        click.echo(result["statistics"], nl=False)
