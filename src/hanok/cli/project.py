from __future__ import annotations

import re
from dataclasses import asdict, replace
from pathlib import Path

import click

from hanok.cli.output import common, say, show


@click.command()
@click.option("--from", "source", type=click.Path(path_type=Path), help="A CSV or Parquet file to start from.")
@click.option("--target", help="The column to predict.")
@click.option("--name", help="Name of table and model (default: the file's).")
@common
def init(source: Path | None, target: str | None, name: str | None, home: Path | None, as_json: bool) -> None:
    """Write a project into this directory: for your data with --from and --target, or an empty one."""
    from hanok.engine import scaffold

    here = Path.cwd()
    if source is None:
        show({"written": [str(p) for p in scaffold.write_empty(here)]}, as_json)
        return
    if target is None:
        raise click.UsageError("--from needs --target: which column is to be predicted?")
    from hanok.compute.metrics import DEFAULT_METRIC
    from hanok.core.clock import SystemClock
    from hanok.engine.files import read_file
    from hanok.sdk.client import open as open_client

    rows, unfit = scaffold.prepared(read_file(source), target)
    found = scaffold.guess(rows, target)
    found = replace(found, reasons={**found.reasons, **unfit})
    called = name or re.sub(r"[^A-Za-z0-9_-]+", "-", source.stem).strip("-").lower() or "data"
    spine, labels = scaffold.split_tables(rows, found, SystemClock().now())
    written = scaffold.write_project(here, called, found, rows, DEFAULT_METRIC[found.task])
    try:
        with open_client(home) as client:
            if client.app is None:
                raise click.ClickException("a server is running on this home; stop it, or use another --home")
            checks = [
                client.app.ingesting.ingest(table, part, key=f"init {source.name}")
                for table, part in ((called, spine), (f"{called}-labels", labels))
            ]
            client.app.bus.drain()
    except BaseException:
        for path in written:
            path.unlink()
        raise
    for what, why in found.reasons.items():
        say(f"{what}: {why}")
    body = asdict(found) | {
        "name": called,
        "rows": checks[0].accepted,
        "quarantined": sum(c.quarantined for c in checks),
        "written": [str(p.relative_to(here)) for p in written],
    }
    show(body, as_json)
    say(f"next: hanok train {called}")


@click.command()
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@common
def apply(dry_run: bool, home: Path | None, as_json: bool) -> None:
    """Record what the project file declares."""
    from hanok.sdk.client import open as open_client

    with open_client(home, apply=False) as client:
        changes = client.call("apply", dry_run=dry_run)
    show(changes if as_json else [{**c, "fields": ", ".join(c["fields"])} for c in changes], as_json)


@click.command()
@click.argument("table")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--key", default="", help="A name for the batch: the same again has no effect (default: the content's hash)."
)
@click.option("--keys", default="", help="Columns that identify a row, with commas between (first batch of a table).")
@click.option("--event-time", default="", help="The column that says when a row's facts hold (first batch of a table).")
@click.option("--arrived", default="", help="The column that says when each row became known (default: now).")
@click.option(
    "--slice",
    "slices",
    multiple=True,
    help="Keep statistics of each value of this column apart, from now on. Repeatable.",
)
@click.option(
    "--null",
    "nulls",
    multiple=True,
    help="A word that means no value in a CSV. Repeatable; --null '' leaves the empty cell alone. Default: NA, N/A, "
    "NaN, nan, null, NULL, None.",
)
@click.option("--encoding", default="utf-8", show_default=True, help="Of a text file, like latin-1 or utf-16.")
@common
def ingest(
    table: str,
    file: Path,
    key: str,
    keys: str,
    event_time: str,
    arrived: str,
    slices: tuple[str, ...],
    nulls: tuple[str, ...],
    encoding: str,
    home: Path | None,
    as_json: bool,
) -> None:
    """Check FILE (CSV, JSON lines or Parquet) and append it to TABLE; bad rows go to quarantine with their reasons."""
    names = [k.strip() for k in keys.split(",") if k.strip()]
    from hanok.sdk.client import open as open_client

    with open_client(home) as client:
        result = client.ingest(
            table,
            file,
            key=key,
            keys=names,
            event_time=event_time,
            arrived=arrived,
            slices=list(slices),
            **({"nulls": [w for w in nulls if w]} if nulls else {}),
            **({"encoding": encoding} if encoding != "utf-8" else {}),
        )
    show(result, as_json)
