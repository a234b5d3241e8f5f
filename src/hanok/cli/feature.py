from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hanok.cli.output import ask, common, say, show


@click.group()
def feature() -> None:
    """Features: views and services, values now, training sets."""


@feature.command("list")
@common
def list_(home: Path | None, as_json: bool) -> None:
    """All feature views and feature services."""
    show(ask(home, "feature.list"), as_json)


@feature.command("show")
@click.argument("name")
@click.argument("entity", nargs=-1)
@common
def show_(name: str, entity: tuple[str, ...], home: Path | None, as_json: bool) -> None:
    """A feature view or service and who uses it; with an ENTITY (its keys in order, or KEY=VALUE) a view's values."""
    show(ask(home, "feature.show", name=name, entity=list(entity)), as_json)


@feature.command()
@click.argument("name")
@click.argument("entity", nargs=-1, required=True)
@common
def get(name: str, entity: tuple[str, ...], home: Path | None, as_json: bool) -> None:
    """Features as they stand now: of a service, view or feature NAME, for ENTITY like origin=JFK carrier=UA. Several
    entities are told apart by a comma that stands alone."""
    entities: list[dict[str, str]] = [{}]
    for word in entity:
        key, equals, value = word.partition("=")
        if word == ",":
            entities.append({})
        elif not equals or not key:
            raise click.UsageError(f"an entity is KEY=VALUE, like origin=JFK; got {word!r}")
        else:
            entities[-1][key] = value
    found = ask(home, "feature.online", features=[name], entities=entities)
    if as_json:
        show(found, as_json)
        return
    for row in found:
        if len(found) > 1:
            click.echo(", ".join(f"{k}={v}" for k, v in row["entity"].items()))
        show([_line(row, column) for column in row["values"]], False)


def _line(row: dict[str, Any], column: str) -> dict[str, Any]:
    return {
        "feature": column,
        "value": row["values"][column],
        "status": row["statuses"][column],
        "event_time": row["event_times"][column],
    }


@feature.command()
@click.argument("name")
@common
def stats(name: str, home: Path | None, as_json: bool) -> None:
    """What the values of a view or service NAME are now, over its entities (at most 200,000): nulls, mean, quartiles,
    newest event."""
    found = ask(home, "feature.stats", name=name)
    columns = list(dict.fromkeys(key for row in found for key in row if key != "of_entities"))
    show([{c: row.get(c) for c in columns} for row in found] if not as_json else found, as_json, columns=columns)
    if short := [r for r in found if r["entities"] < r.get("of_entities", 0)]:
        say(f"of {short[0]['of_entities']:,} entities the first {short[0]['entities']:,} by their keys were looked at")


@feature.command("training-set")
@click.argument("spine")
@click.option("--features", multiple=True, required=True, help="A service, view or feature; repeatable.")
@click.option("--at", default="", help="The instant of a row: a column, or 'scheduled - 2h'.")
@click.option("--any-time", is_flag=True, help="Rows that became known late count from their event time on.")
@click.option("--out", type=click.Path(path_type=Path), help="The Parquet file to write.")
@common
def training_set(
    spine: str,
    features: tuple[str, ...],
    at: str,
    any_time: bool,
    out: Path | None,
    home: Path | None,
    as_json: bool,
) -> None:
    """Features as they were known at the instant of each row of SPINE: a Parquet or CSV file, a table, or one SELECT
    over tables. The set is recorded, and 'hanok feature reproduce' makes it again."""
    from hanok.sdk.client import open as open_client

    with open_client(home) as client:
        made = client.training_set(spine, list(features), at=at, known_time=not any_time)
    if out is not None:
        made.write_parquet(out)
    body = {
        "training_set": made.id,
        "rows": len(made),
        "columns": made.rows.column_names,
        "digest": made.digest,
        "written": None if out is None else str(out),
    }
    show(body, as_json)
    if out is None:
        say("it is recorded and kept; --out FILE writes it to a Parquet file")


@feature.command()
@click.argument("training_set")
@click.option("--out", type=click.Path(path_type=Path), help="The Parquet file to write.")
@common
def reproduce(training_set: str, out: Path | None, home: Path | None, as_json: bool) -> None:
    """Make a TRAINING_SET again, by its id, and compare the bytes."""
    path = None if out is None else str(out.resolve())
    show(ask(home, "feature.reproduce", training_set=training_set, out=path), as_json)


@feature.command()
@click.argument("name")
@common
def materialize(name: str, home: Path | None, as_json: bool) -> None:
    """Rebuild a view's online values from its source."""
    show(ask(home, "feature.materialize", name=name), as_json)
