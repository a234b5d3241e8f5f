from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hanok.cli.output import ask, common, say, show


@click.group()
def schema() -> None:
    """Schemas declared for tables: declare, show, diff, accept."""


@schema.command()
@click.argument("table")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--environment", help="The schema's environment that this table is, like TRAINING.")
@click.option(
    "--on-error",
    type=click.Choice(["rows", "batch", "report"]),
    help="What is set aside: the rows at fault (the first choice), the whole batch, or nothing.",
)
@click.option("--serving", help="The model whose served statistics skew comparators are held against.")
@common
def declare(
    table: str,
    file: Path,
    environment: str | None,
    on_error: str | None,
    serving: str | None,
    home: Path | None,
    as_json: bool,
) -> None:
    """Hold every batch of TABLE to FILE (schema.pbtxt, or YAML) from now on."""
    from hanok.engine.checking import read_schema
    from hanok.wire.tfdv import to_text

    text = to_text(read_schema(file))
    _print(
        ask(
            home,
            "schema.declare",
            table=table,
            schema=text,
            environment=environment,
            on_error=on_error,
            serving=serving,
        ),
        as_json,
    )


@schema.command("show")
@click.argument("table")
@common
def show_(table: str, home: Path | None, as_json: bool) -> None:
    """The declared schema of TABLE as protobuf text."""
    _print(ask(home, "schema.show", table=table), as_json)


@schema.command()
@click.argument("table")
@click.option("--batch", default="", help="Of this batch (default: the newest with anomalies).")
@common
def diff(table: str, batch: str, home: Path | None, as_json: bool) -> None:
    """How the declared schema of TABLE would change for a batch to fit."""
    found = ask(home, "schema.proposal", table=table, batch=batch)
    if as_json:
        show(found, True)
        return
    for line in found["diff"]:
        click.echo(line)
    say(f"accept it: hanok schema accept {table} --batch {found['batch']!r}")


@schema.command()
@click.argument("table")
@click.option("--batch", default="", help="Of this batch (default: the newest with anomalies).")
@common
def accept(table: str, batch: str, home: Path | None, as_json: bool) -> None:
    """Make the change that a batch proposes the declared schema of TABLE."""
    _print(ask(home, "schema.accept", table=table, batch=batch), as_json)


def _print(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show(found, True)
        return
    click.echo(found["schema"], nl=False)
    environment = f", environment {found['environment']}" if found["environment"] else ""
    say(f"version {found['version']} of the schema of {found['table']}{environment}; set aside: {found['on_error']}")
