from __future__ import annotations

from pathlib import Path

import click

from hanok.cli.output import ask, common, show


@click.group()
def project() -> None:
    """Projects: list, assign."""


@project.command("list")
@common
def list_(home: Path | None, as_json: bool) -> None:
    """Projects with their number of experiments and models."""
    show(ask(home, "project.list"), as_json)


@project.command()
@click.argument("project")
@click.option("--experiment", multiple=True, help="An experiment by name; may be repeated.")
@click.option("--model", multiple=True, help="A registered model by name; may be repeated.")
@common
def assign(project: str, experiment: tuple[str, ...], model: tuple[str, ...], home: Path | None, as_json: bool) -> None:
    """Move experiments and registered models into PROJECT."""
    result = ask(home, "project.assign", project=project, experiments=list(experiment), models=list(model))
    show(result, as_json)
