from __future__ import annotations

from pathlib import Path

import click

from hanok.cli.models import pairs
from hanok.cli.output import ask, common, show


@click.group()
def label() -> None:
    """Tell what really happened."""


@label.command()
@click.argument("model")
@click.argument("value")
@click.argument("entity", nargs=-1, metavar="[COLUMN=VALUE...]")
@click.option("--prediction", default="", help="The prediction id that the label is for.")
@common
def add(model: str, value: str, entity: tuple[str, ...], prediction: str, home: Path | None, as_json: bool) -> None:
    """The true VALUE for a prediction of MODEL, or for an entity."""
    show(ask(home, "label.add", model=model, value=value, prediction=prediction, entity=pairs(entity)), as_json)


@label.command(name="show")
@click.argument("model")
@common
def show_labels(model: str, home: Path | None, as_json: bool) -> None:
    """What became of MODEL's labels: joined, outside the window, or no label of the task."""
    show(ask(home, "label.show", model=model), as_json)
