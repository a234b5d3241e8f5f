from __future__ import annotations

from pathlib import Path

import click

from hanok.cli.output import ask, common, show


@click.command()
@click.option("--who", default="", help="Of one user.")
@click.option("--project", default="", help="In one project.")
@click.option("--denied", is_flag=True, help="Only what was refused.")
@click.option("--before", default=0, help="Older than this sequence number.")
@click.option("--limit", default=100, show_default=True)
@common
def audit(who: str, project: str, denied: bool, before: int, limit: int, home: Path | None, as_json: bool) -> None:
    """Who did what, when, from where, and what came of it; newest first."""
    rows = ask(home, "audit", who=who, project=project, denied=denied, before=before, limit=limit)
    columns = ["sequence", "at", "actor", "address", "method", "route", "project", "resource", "status", "times"]
    show(rows, as_json, columns=columns)
