from __future__ import annotations

import sys
from pathlib import Path

import click

from hanok.cli.output import ask, common, show


@click.group()
def run() -> None:
    """Runs: list, show, compare, export, delete, restore, move, fork."""


@run.command("list")
@click.option("--experiment", default="")
@click.option("--limit", default=50, show_default=True)
@common
def list_(experiment: str, limit: int, home: Path | None, as_json: bool) -> None:
    """Runs, newest first."""
    rows = ask(home, "run.list", experiment=experiment, limit=limit)
    if not as_json:
        rows = [
            {
                **r,
                "id": r["id"][:32],
                "metrics": {k: v for k, v in r["metrics"].items() if not k.startswith("candidate_")},
            }
            for r in rows
        ]
    show(rows, as_json, columns=["id", "experiment", "name", "status", "started", "metrics"])


@run.command("show")
@click.argument("run")
@common
def show_(run: str, home: Path | None, as_json: bool) -> None:
    """One run: params, metrics, tags, lineage."""
    result = ask(home, "run.show", run=run)
    if not as_json:
        result["lineage"] = [{"kind": n["kind"], "name": n["name"], "id": n["id"]} for n in result["lineage"]["nodes"]]
    show(result, as_json)


@run.command()
@click.argument("runs", nargs=-1, required=True)
@common
def compare(runs: tuple[str, ...], home: Path | None, as_json: bool) -> None:
    """What differs between RUNS."""
    show(ask(home, "run.compare", runs=[*runs]), as_json)


@run.command()
@click.argument("runs", nargs=-1, required=True)
@common
def delete(runs: tuple[str, ...], home: Path | None, as_json: bool) -> None:
    """Hide RUNS until they are restored, or removed by `hanok gc`."""
    show(ask(home, "run.delete", runs=[*runs]), as_json)


@run.command()
@click.argument("runs", nargs=-1, required=True)
@common
def restore(runs: tuple[str, ...], home: Path | None, as_json: bool) -> None:
    """Bring deleted RUNS (ids) back."""
    show(ask(home, "run.restore", runs=[*runs]), as_json)


@run.command()
@click.argument("runs", nargs=-1, required=True)
@click.option("--to", "experiment", required=True, help="The experiment: a name, or an id.")
@common
def move(runs: tuple[str, ...], experiment: str, home: Path | None, as_json: bool) -> None:
    """Put RUNS into another experiment."""
    show(ask(home, "run.move", runs=[*runs], experiment=experiment), as_json)


@run.command()
@click.argument("run")
@click.option("--step", type=int, help="Copy points up to this step (default: all).")
@click.option("--name", default="", help="Name of the new run.")
@common
def fork(run: str, step: int | None, name: str, home: Path | None, as_json: bool) -> None:
    """A new run that goes on from RUN: its params, tags, datasets and points."""
    show(ask(home, "run.fork", run=run, step=step, name=name), as_json)


@run.command("delete-metric")
@click.argument("run")
@click.argument("key")
@common
def delete_metric(run: str, key: str, home: Path | None, as_json: bool) -> None:
    """Forget every point of metric KEY of RUN."""
    show(ask(home, "run.delete_metric", run=run, key=key), as_json)


@run.command()
@click.option("--experiment", "experiments", multiple=True, help="Only this one; may stand more than once.")
@click.option("--filter", "filter_", default="", help="Like \"metrics.loss < 0.3 OR tags.team = 'a'\".")
@click.option("--order-by", multiple=True, help='Like "metrics.loss ASC"; may stand more than once.')
@click.option("--limit", default=0, show_default=True, help="0 means all.")
@click.option("--history", is_flag=True, help="A row for each point instead of each run.")
@click.option(
    "--format", "form", default="csv", show_default=True, type=click.Choice(["csv", "json", "arrow", "parquet"])
)
@click.option("--to", "file", type=click.Path(path_type=Path), help="Write to this file (default: stdout).")
@common
def export(
    experiments: tuple[str, ...],
    filter_: str,
    order_by: tuple[str, ...],
    limit: int,
    history: bool,
    form: str,
    file: Path | None,
    home: Path | None,
    as_json: bool,
) -> None:
    """Runs with all metrics, params and tags as a table."""
    from hanok.engine.table_formats import encoded
    from hanok.sdk.client import open as open_client

    with open_client(home) as client:
        table = client.runs(
            experiment=[*experiments], filter=filter_, order_by=[*order_by], limit=limit, history=history
        )
    content = encoded(table, "json" if as_json else form)
    if file is None:
        sys.stdout.buffer.write(content)
    else:
        file.write_bytes(content)
        show({"file": str(file), "rows": table.num_rows, "size_bytes": len(content)}, as_json)
