from __future__ import annotations

from pathlib import Path

import click

from hanok.cli.output import ask, common, say, show


@click.command()
@click.option("--dry-run", is_flag=True, help="Show what would go, and remove nothing.")
@click.option("--older-than", default="0d", show_default=True, help="Only what was deleted longer ago, like 30d.")
@click.option("--run", "runs", multiple=True, help="Only this deleted run (an id); may stand more than once.")
@click.option("--experiment", "experiments", multiple=True, help="Only this deleted experiment, with all its runs.")
@click.option("--grace", default="15m", show_default=True, help="Content that was stored within this time stays.")
@common
def gc(
    dry_run: bool,
    older_than: str,
    runs: tuple[str, ...],
    experiments: tuple[str, ...],
    grace: str,
    home: Path | None,
    as_json: bool,
) -> None:
    """Remove deleted runs, experiments and logged models for good, with their artifacts."""
    result = ask(
        home,
        "gc",
        dry_run=dry_run,
        older_than=older_than,
        runs=list(runs),
        experiments=list(experiments),
        grace=grace,
    )
    if not as_json:
        say("this would be removed:" if dry_run else "removed for good:")
        result = {k: len(v) if isinstance(v, list) else v for k, v in result.items() if k != "dry_run"}
    show(result, as_json)
