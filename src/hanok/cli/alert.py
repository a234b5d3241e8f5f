from __future__ import annotations

from pathlib import Path

import click

from hanok.cli.output import ask, common, show


@click.group()
def alert() -> None:
    """Alerts: list, show, mark as benign."""


@alert.command("list")
@click.option("--state", type=click.Choice(["open", "resolved"]), default=None)
@common
def list_(state: str | None, home: Path | None, as_json: bool) -> None:
    """Alerts, newest first."""
    show(ask(home, "alert.list", state=state or ""), as_json, columns=["id", "raised", "severity", "state", "summary"])


@alert.command("show")
@click.argument("alert")
@common
def show_(alert: str, home: Path | None, as_json: bool) -> None:
    """One alert with its facts."""
    show(ask(home, "alert.show", alert=alert), as_json)


@alert.command()
@click.argument("alert")
@click.option("--why", required=True, help="What a reader should know of it later.")
@common
def benign(alert: str, why: str, home: Path | None, as_json: bool) -> None:
    """Mark an ALERT of drift (later weeks in which the feature looks alike do not alarm) or data as benign."""
    show(ask(home, "alert.benign", alert=alert, why=why), as_json)
