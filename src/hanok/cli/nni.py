from __future__ import annotations

from pathlib import Path

import click

from hanok.cli.output import common, show

PYTHON = click.option("--python", default="python3", show_default=True, help="The Python of the environment with NNI.")


@click.group()
def nni() -> None:
    """Run an installed NNI 3 with Hanok in the place of its manager: install, uninstall, status."""


@nni.command()
@PYTHON
@click.option("--url", default="", help="A running server whose studies the experiments become (default: the home).")
@common
def install(python: str, url: str, home: Path | None, as_json: bool) -> None:
    """Let nnictl and nni.experiment of an environment start Hanok. Says what it did; uninstall undoes it."""
    from hanok.engine.config import load_config
    from hanok.sdk.nni import install as installing

    where = url or str((home or load_config(Path.cwd()).home).expanduser().resolve())
    show([{"done": line} for line in installing.install(installing.find(python), where)], as_json)


@nni.command()
@PYTHON
@common
def uninstall(python: str, home: Path | None, as_json: bool) -> None:
    """Put NNI's own manager back."""
    from hanok.sdk.nni import install as installing

    show([{"done": line} for line in installing.uninstall(installing.find(python))], as_json)


@nni.command()
@PYTHON
@common
def status(python: str, home: Path | None, as_json: bool) -> None:
    """Which manager an environment starts."""
    from hanok.sdk.nni import install as installing

    place = installing.find(python)
    manager = "Hanok" if place.is_ours else "NNI's own"
    show({"manager": manager, "nni": place.version, "folder": str(place.folder)}, as_json)
