from __future__ import annotations

from pathlib import Path

import click

from hanok.cli.output import ask, common, show


@click.group()
def job() -> None:
    """Jobs: list, cancel; events that a reaction gave up: events, replay."""


@job.command("list")
@click.option("--limit", default=50, show_default=True, help="At most so many.")
@common
def list_(limit: int, home: Path | None, as_json: bool) -> None:
    """Trainings and other durable work, the newest first."""
    rows = ask(home, "job.list", limit=limit)
    if not as_json:
        columns = ("id", "kind", "model", "state", "began", "step", "says", "error")
        rows = [{c: str(r[c])[:60] for c in columns} for r in rows]
    show(rows, as_json)


@job.command()
@click.argument("id")
@common
def cancel(id: str, home: Path | None, as_json: bool) -> None:
    """End the job ID (or the beginning of it), also while it runs."""
    show(ask(home, "job.cancel", id=id), as_json)


@job.command()
@common
def events(home: Path | None, as_json: bool) -> None:
    """Events that a reaction failed on three times, and why."""
    show(ask(home, "job.events"), as_json)


@job.command()
@click.argument("reaction", default="")
@click.argument("sequence", default=0)
@common
def replay(reaction: str, sequence: int, home: Path | None, as_json: bool) -> None:
    """Hand events that were set aside to their reaction again: all, those of REACTION, or the one with SEQUENCE."""
    show(ask(home, "job.replay", reaction=reaction, sequence=sequence), as_json)
