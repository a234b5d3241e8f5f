from __future__ import annotations

import sys
from pathlib import Path

import click

from hanok.cli.output import ask, common, show


@click.group()
def table() -> None:
    """Tables: list, show, statistics, history, slice."""


@table.command("list")
@common
def list_(home: Path | None, as_json: bool) -> None:
    """All tables with rows kept and set aside."""
    show(ask(home, "table.list"), as_json)


@table.command("show")
@click.argument("name")
@common
def show_(name: str, home: Path | None, as_json: bool) -> None:
    """A table's schema, checks and quarantine."""
    result = ask(home, "table.show", name=name)
    if not as_json and result["schema"]:
        result["schema"] = [{n: v for n, v in c.items() if n != "usual"} for c in result["schema"]["columns"]]
    show(result, as_json)


@table.command()
@click.argument("name")
@click.option("--batch", default="", help="Of one batch alone.")
@click.option("--since", default="", help="From this day, month or year on.")
@click.option("--until", default="", help="Up to this day, month or year (included).")
@click.option("--slice", "slice_", default="", help="COLUMN=VALUE.")
@common
def statistics(name: str, batch: str, since: str, until: str, slice_: str, home: Path | None, as_json: bool) -> None:
    """The merged statistics of a table as TFDV's protobuf text."""
    result = ask(home, "table.statistics", name=name, batch=batch, since=since, until=until, slice=slice_)
    if as_json:
        show(result, True)
    else:
        click.echo(result["statistics"], nl=False)


@table.command("slice")
@click.argument("name")
@click.argument("columns", nargs=-1)
@common
def slice_by(name: str, columns: tuple[str, ...], home: Path | None, as_json: bool) -> None:
    """Keep statistics of each value of COLUMNS apart, from the next batch on; none ends it."""
    show(ask(home, "table.slice", name=name, columns=list(columns)), as_json)


@table.command()
@click.argument("name")
@click.option("--column", "columns", multiple=True, help="Only this column. Repeatable.")
@click.option("--since", default="", help="From this day, month or year on.")
@click.option("--until", default="", help="Up to this day, month or year (included).")
@click.option("--slice", "slice_", default="", help="COLUMN=VALUE.")
@common
def history(
    name: str, columns: tuple[str, ...], since: str, until: str, slice_: str, home: Path | None, as_json: bool
) -> None:
    """Statistics of each day of a table, from what was kept at ingestion."""
    found = ask(home, "table.history", name=name, columns=list(columns), since=since, until=until, slice=slice_)
    if as_json:
        show(found, True)
        return
    rows = [
        {"day": part["partition"] or "-", "rows": part["rows"], "column": column, "nulls": c["nulls"],
         "distinct": c["distinct"], "minimum": c["minimum"], "mean": c["mean"], "maximum": c["maximum"]}
        for part in found
        for column, c in part["columns"].items()
    ]  # fmt: skip
    show(rows, False)


@table.command()
@click.argument("name")
@click.argument("metric")
@click.argument("column", default="")
@click.option("--strategy", default="OnlineNormal", show_default=True, help="One of Deequ's, like HoltWinters.")
@click.option("--set", "settings", multiple=True, help="A setting of the strategy: NAME=NUMBER. Repeatable.")
@click.option("--last", default=1, show_default=True, help="Judge so many of the newest days.")
@click.option("--since", default="", help="From this day, month or year on.")
@click.option("--until", default="", help="Up to this day, month or year (included).")
@click.option("--slice", "slice_", default="", help="COLUMN=VALUE.")
@common
def anomalies(
    name: str,
    metric: str,
    column: str,
    strategy: str,
    settings: tuple[str, ...],
    last: int,
    since: str,
    until: str,
    slice_: str,
    home: Path | None,
    as_json: bool,
) -> None:
    """Whether METRIC (of COLUMN) of the newest days is anomalous after its history. Exit status 1 when one is."""
    found = ask(
        home,
        "table.anomalies",
        name=name,
        metric=metric,
        column=column,
        strategy=strategy,
        settings=dict(_setting(s) for s in settings),
        last=last,
        since=since,
        until=until,
        slice=slice_,
    )
    show(found if as_json else found["history"][-max(14, last) :], as_json)
    if found["anomalies"]:
        sys.exit(1)


def _setting(text: str) -> tuple[str, float | bool]:
    name, equals, value = text.partition("=")
    if value in ("true", "false"):
        return name, value == "true"
    try:
        number = float(value)
    except ValueError:
        equals = ""
    if not equals or not name:
        raise click.UsageError(f"--set is NAME=NUMBER, got {text!r}")
    return name, int(number) if number.is_integer() else number
