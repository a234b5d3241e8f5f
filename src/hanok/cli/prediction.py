from __future__ import annotations

from pathlib import Path

import click

from hanok.cli.output import ask, common, show


@click.group()
def prediction() -> None:
    """Predictions: show."""


@prediction.command("show")
@click.argument("prediction")
@common
def show_(prediction: str, home: Path | None, as_json: bool) -> None:
    """One prediction: features, version, score, later label."""
    show(ask(home, "prediction.show", prediction=prediction), as_json)
