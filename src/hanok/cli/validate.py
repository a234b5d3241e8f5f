from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from hanok.cli.output import common, say, show

FAILED = 1


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--checks", "suite", type=click.Path(path_type=Path), help="Checks as YAML (.yaml) or DQDL (.dqdl).")
@click.option("--schema", type=click.Path(path_type=Path), help="A schema: schema.pbtxt, or YAML.")
@click.option("--environment", default="", help="The schema's environment, like TRAINING.")
@click.option("--reference", "references", multiple=True, help="Another data set for checks: NAME=FILE. Repeatable.")
@click.option("--suggest", is_flag=True, help="Write checks suggested from DATA to stdout as YAML, and check nothing.")
@click.option("--infer", is_flag=True, help="Write a schema inferred from DATA to stdout as YAML, and check nothing.")
@click.option("--accept", is_flag=True, help="Write the proposed changes into the schema file.")
@click.option(
    "--bad-rows", type=click.Path(path_type=Path), help="Write the rows that break a rule to this Parquet file."
)
@common
def check(
    data: Path,
    suite: Path | None,
    schema: Path | None,
    environment: str,
    references: tuple[str, ...],
    suggest: bool,
    infer: bool,
    accept: bool,
    bad_rows: Path | None,
    home: Path | None,
    as_json: bool,
) -> None:
    """Hold DATA (CSV or Parquet) to checks and a schema. Exit status 1 when an error is found: made for CI."""
    from hanok.engine import checking

    if suggest or infer:
        click.echo(checking.suggested(data) if suggest else checking.inferred(data), nl=False)
        return
    if suite is None and schema is None:
        raise click.UsageError("give --checks, --schema, or both; --suggest and --infer write a first one")
    result = checking.check_file(
        data,
        suite=suite,
        schema=schema,
        environment=environment,
        references=references,
        accept=accept,
        bad_rows=bad_rows,
    )
    if as_json:
        show(result, True)
    else:
        _print(result)
    if result["status"] == "Error":
        sys.exit(FAILED)


def _print(result: dict[str, Any]) -> None:
    if result["outcomes"]:
        rows = [
            {"status": o["status"], "check": o["check"], "rule": o["rule"], "broken": o["broken"], "why": o["message"]}
            for o in result["outcomes"]
        ]
        show(rows, False)
    if result["anomalies"]:
        show(result["anomalies"], False, columns=("path", "type", "message", "observed", "bound"))
    for line in result["changes"]:
        say(line)
    say(f"{result['status']}: {result['rows']} rows, {result['failed']} of {result['checked']} rules not met")
