from __future__ import annotations

from pathlib import Path

import click

from hanok.cli.output import ask, common, show


@click.group()
def experiment() -> None:
    """Experiments: list, delete, restore."""


@experiment.command("list")
@click.option("--deleted", is_flag=True, help="Those that are deleted.")
@common
def list_(deleted: bool, home: Path | None, as_json: bool) -> None:
    """Experiments, newest first."""
    show(ask(home, "experiment.list", deleted=deleted), as_json)


@experiment.command()
@click.argument("experiment")
@common
def delete(experiment: str, home: Path | None, as_json: bool) -> None:
    """Hide EXPERIMENT (a name, or an id) until it is restored, or removed by `hanok gc`."""
    show(ask(home, "experiment.delete", experiment=experiment), as_json)


@experiment.command()
@click.argument("experiment")
@common
def restore(experiment: str, home: Path | None, as_json: bool) -> None:
    """Bring the deleted EXPERIMENT back."""
    show(ask(home, "experiment.restore", experiment=experiment), as_json)
