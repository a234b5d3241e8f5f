from __future__ import annotations

from pathlib import Path

import click

from hanok.cli.output import ask, common, show


@click.command()
@click.argument("query")
@click.option("--limit", default=10_000, show_default=True, help="Refuse an answer of more rows.")
@common
def sql(query: str, limit: int, home: Path | None, as_json: bool) -> None:
    """One SELECT over experiments, runs, params, tags, metrics (latest) and history (all points)."""
    show(ask(home, "sql", query=query, limit=limit), as_json)
