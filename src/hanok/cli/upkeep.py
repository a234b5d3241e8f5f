from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hanok.cli.output import ask, common, say, show

if TYPE_CHECKING:
    from hanok.core.errors import HanokError
    from hanok.core.json import JsonObject


@click.command()
@click.argument("node")
@click.option("--depth", default=20, show_default=True)
@common
def lineage(node: str, depth: int, home: Path | None, as_json: bool) -> None:
    """All that NODE (an id, or MODEL@VERSION) came from and all that came from it."""
    result = ask(home, "lineage", node=node, depth=depth)
    if not as_json:
        names = {n["id"]: f"{n['kind']} {n['name']}" for n in result["nodes"]}
        for edge in result["edges"]:
            click.echo(f"{names[edge['source']]}  --{edge['kind']}-->  {names[edge['target']]}")
        return
    show(result, as_json)


@click.command()
@click.option("--repair", is_flag=True, help="Remove leftovers, and damaged artifacts that nothing names.")
@common
def doctor(repair: bool, home: Path | None, as_json: bool) -> None:
    """Read everything that lies in the home, and say what is damaged and what to do."""
    from hanok.core.errors import Conflict, HanokError

    try:
        rows = ask(home, "doctor", repair=repair)
    except Conflict:
        raise
    except HanokError as error:  # too damaged to be opened: its files can be read all the same
        rows = _without_opening(home, error)
    show(rows, as_json)
    if not all(row["ok"] for row in rows):
        sys.exit(1)


def _without_opening(home: Path | None, error: HanokError) -> list[JsonObject]:
    from hanok.engine.config import load_config
    from hanok.engine.doctor import Finding, check_home
    from hanok.engine.home import Home

    config = load_config(Path.cwd())
    place = Home(home or config.home)
    if not place.root.is_dir():
        raise error
    found = list(check_home(place))
    if all(f.ok for f in found):
        raise error
    return [f.as_dict() for f in [Finding("home", False, f"cannot be opened: {error.message}"), *found]]


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@common
def backup(file: Path, home: Path | None, as_json: bool) -> None:
    """Copy the whole home into FILE, also while it is in use."""
    show(ask(home, "backup", path=str(file.resolve())), as_json)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@common
def restore(file: Path, home: Path | None, as_json: bool) -> None:
    """Make a home from a backup FILE, and check it."""
    from hanok.core.errors import Corrupt
    from hanok.engine import backup as backups
    from hanok.engine.app import open_app
    from hanok.engine.config import load_config
    from hanok.engine.doctor import check_batches, check_blobs, check_home
    from hanok.engine.home import Home

    config = load_config(Path.cwd())
    if home is not None:
        config = replace(config, home=home)
    root = backups.restore(file.resolve(), Home(config.home))
    app = open_app(replace(config, home=root))
    try:
        for view in app.features.views():
            with suppress(Corrupt):  # what is damaged is told below
                if app.tables.size(view.source.table):
                    app.features.materialize(view.name)
        batches = check_batches(app.validation.batches, app.tables)
        found = [*check_home(app.home), *batches, *check_blobs(app.metadata, app.blobs)]
        rows = [f.as_dict() for f in found]
    finally:
        app.close()
    if not as_json:
        say(f"restored into {root}")
    show(rows, as_json)
    if not all(f.ok for f in found):
        sys.exit(1)
