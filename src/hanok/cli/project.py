from __future__ import annotations

import re
from dataclasses import asdict, replace
from pathlib import Path

import click

from hanok.cli.output import common, missing_home, say, show
from hanok.cli.validate import text_files


@click.command()
@click.option("--from", "source", type=click.Path(path_type=Path), help="A CSV or Parquet file to start from.")
@click.option("--target", help="The column to predict.")
@click.option("--name", help="Name of table and model (default: the file's).")
@click.option(
    "--column",
    "columns",
    multiple=True,
    help="NAME=KIND, where values do not say it: number (integer, float), category, text, id, date, or "
    "ignored. A date may come with its spelling: 'sold=date %d.%m.%Y'. Repeatable.",
)
@text_files
@common
def init(
    source: Path | None,
    target: str | None,
    name: str | None,
    columns: tuple[str, ...],
    nulls: tuple[str, ...],
    encoding: str,
    home: Path | None,
    as_json: bool,
) -> None:
    """Write a project into this directory: for your data with --from and --target, or an empty one."""
    from hanok.engine import guessing, scaffold

    here = Path.cwd()
    if source is None:
        show({"written": [str(p) for p in scaffold.write_empty(here)]}, as_json)
        return
    if target is None:
        raise click.UsageError("--from needs --target: which column is to be predicted?")
    from hanok.compute.metrics import DEFAULT_METRIC
    from hanok.core.declare import Source
    from hanok.core.validation import Reading
    from hanok.engine.files import NULLS, Options, batch_names, read
    from hanok.engine.sources import AS_TEXT
    from hanok.sdk.client import open as open_client

    kinds = dict(_kind(c) for c in columns)
    Source("data", columns=kinds)  # refuses a kind that is none, with the near word
    texts = [n for n, kind in kinds.items() if kind.split()[0] in AS_TEXT]
    options = Options(nulls=tuple(w for w in nulls if w) if nulls else NULLS, encoding=encoding)
    given = read(source, options, as_text=texts)
    rows, unfit = guessing.prepared(given.rows, target, kinds)
    found = guessing.guess(rows, target, kinds)
    found = replace(found, reasons={**found.reasons, **unfit})
    called = name or re.sub(r"[^A-Za-z0-9_-]+", "-", source.stem).strip("-").lower() or "data"
    written = scaffold.write_project(here, called, found, guessing.dated(rows, found), DEFAULT_METRIC[found.task])
    try:
        with open_client(home) as client:
            if client.app is None:
                raise click.ClickException("a server is running on this home; stop it, or use another --home")
            if client.app.tables.size(called):
                raise click.ClickException(
                    f"the home has a table {called!r} already; give another --name, or another --home"
                )
            file, batch = batch_names(source, options)
            made = client.app.ingesting.batch(called, rows, key=batch)
            client.app.validation.readings.earlier(called, file, batch)
            if nulls or encoding != "utf-8":
                for table in (called, *(told.table for told in made.labels)):
                    client.app.validation.readings.keep(
                        table, Reading(tuple(options.nulls) if nulls else None, encoding)
                    )
            client.app.bus.drain()
    except BaseException:
        for path in written:
            path.unlink()
        raise
    for note in given.notes:
        say(note)
    for what, why in found.reasons.items():
        say(f"{what}: {why}")
    body = {k: v for k, v in asdict(found).items() if k != "holdout"} | {
        "split": found.holdout.text,
        "name": called,
        "rows": made.rows.accepted,
        "quarantined": made.rows.quarantined + sum(c.quarantined for c in made.labels),
        "written": [str(p.relative_to(here)) for p in written],
    }
    show(body, as_json)
    say(f"next: hanok train {called}")


def _kind(text: str) -> tuple[str, str]:
    name, equals, kind = text.rpartition("=")
    if not equals or not name or not kind:
        raise click.UsageError(f"--column is NAME=KIND, like zip=category; got {text!r}")
    return name, kind


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
    "NaN, nan, null, NULL, None, or as the table's first file was read.",
)
@click.option(
    "--encoding",
    default="",
    help="Of a text file, like latin-1. Default: as the table's first file was read, or utf-8.",
)
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

    begins = missing_home(home)

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
            **({"encoding": encoding} if encoding else {}),
        )
    if begins is not None:
        say(f"a home begins here, in {begins}: there was none")
    show(result, as_json)
