from __future__ import annotations

from pathlib import Path

import click

from hanok.cli.output import common, say, show


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@common
def sync(folder: Path | None, home: Path | None, as_json: bool) -> None:
    """Bring runs that were logged offline (from FOLDER, by default the home's journal) to the home or the server."""
    import os

    from hanok.sdk.client import open as open_client
    from hanok.sdk.runs.run import journal_folder
    from hanok.sdk.runs.sync import sync as bring

    url = os.environ.get("HANOK_URL", "")
    with open_client(url if url and home is None else home) as client:
        outcomes = bring(folder or journal_folder(home), client, done=lambda run: say(f"run {run}"))
    show(outcomes, as_json)
