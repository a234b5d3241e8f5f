from __future__ import annotations

from pathlib import Path

import click

from hanok.cli.output import common, say, show


@click.group(name="import")
def import_() -> None:
    """Bring another store over: mlflow."""


@import_.command()
@click.argument("uri")
@click.option(
    "--artifacts", type=click.Path(path_type=Path), help="With sqlite: the folder where its server kept artifacts."
)
@common
def mlflow(uri: str, artifacts: Path | None, home: Path | None, as_json: bool) -> None:
    """Bring over http(s)://SERVER, sqlite:///FILE or a folder (mlruns) of MLflow. Repeat it for what is new."""
    import os

    from rich.console import Console

    from hanok.sdk.client import open as open_client

    token = os.environ.get("MLFLOW_TRACKING_TOKEN", "")
    with open_client(home) as client, Console(stderr=True).status(f"reading {uri}") as status:
        if client.app is None:
            place = str(artifacts.resolve()) if artifacts else ""
            result = client.call("import.mlflow", uri=uri, artifacts=place, token=token)
        else:
            from hanok.engine.mlflow_import import import_mlflow, source_of

            count = iter(range(1, 10**9))
            result = import_mlflow(
                client.app.metadata,
                client.app.tracking,
                source_of(uri, artifacts=artifacts, token=token),
                uri,
                step=lambda name: status.update(f"{next(count)} runs and models, now {name[:60]}"),
            ).as_dict()
    if not as_json:
        for line in result["left_out"]:
            say(f"left out: {line}")
        say(f"not brought over: {', '.join(result['not_brought'])}")
        result = {k: v for k, v in result.items() if k not in ("left_out", "not_brought")} | {
            "left_out": len(result["left_out"])
        }
    show(result, as_json)
