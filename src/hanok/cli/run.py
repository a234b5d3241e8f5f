from __future__ import annotations

from pathlib import Path

import click

from hanok.cli.output import ask, common, show


@click.group()
def run() -> None:
    """Runs: list, show, compare."""


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
    show(ask(home, "run.compare", runs=list(runs)), as_json)
