from __future__ import annotations

from pathlib import Path

import click

from hanok.cli.output import ask, common, show


@click.group()
def quarantine() -> None:
    """Rows set aside: list, replay."""


@quarantine.command("list")
@click.argument("table")
@click.option("--limit", default=100, show_default=True, help="At most so many rows.")
@common
def list_(table: str, limit: int, home: Path | None, as_json: bool) -> None:
    """Rows of TABLE that were set aside, the newest first."""
    show(ask(home, "quarantine.list", table=table, limit=limit), as_json)


@quarantine.command()
@click.argument("table")
@click.argument("ids", nargs=-1, required=True, type=int)
@click.option("--set", "changes", multiple=True, help="Mend a column first: COLUMN=VALUE. Repeatable.")
@click.option("--allow", multiple=True, help="Widen the schema so that this column may have such values. Repeatable.")
@click.option("--over-newer", is_flag=True, help="Also where a row with the same key came in since: this one counts.")
@common
def replay(
    table: str,
    ids: tuple[int, ...],
    changes: tuple[str, ...],
    allow: tuple[str, ...],
    over_newer: bool,
    home: Path | None,
    as_json: bool,
) -> None:
    """Try the rows IDS of TABLE again, as they are or mended."""
    pairs = {}
    for change in changes:
        column, equals, value = change.partition("=")
        if not equals:
            raise click.UsageError(f"--set is COLUMN=VALUE, got {change!r}")
        pairs[column] = value
    asked = {"changes": pairs, "allow": list(allow), "over_newer": over_newer}
    show(ask(home, "quarantine.replay", table=table, ids=list(ids), **asked), as_json)
