from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from hanok.cli.models import month_rows
from hanok.cli.output import say


@click.command()
@click.option("--weeks", type=click.IntRange(1, 52), help="Only the first weeks (default: the whole year).")
@click.option("--headless", is_flag=True, help="End after the summary instead of serving it.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@click.option("--home", type=click.Path(path_type=Path), default=Path(".hanok/demo"), show_default=True)
@click.option("--port", default=5000, show_default=True, type=click.IntRange(0, 65535))
def demo(weeks: int | None, headless: bool, as_json: bool, home: Path, port: int) -> None:
    """Replay a year of flights (2013) day by day through the whole loop, then serve what came of it.

    Cut it down at any moment: the same command goes on where it stopped.
    """
    from hanok.core.clock import ReplayClock
    from hanok.core.durations import duration
    from hanok.engine.app import open_app
    from hanok.engine.config import Config
    from hanok.engine.project import load_module
    from hanok.engine.replay import Replay
    from hanok.engine.summary import summary
    from hanok.server.run import bind, serve

    example = example_folder("flights")
    listener = None if headless else bind("127.0.0.1", port)
    recorded, story = load_module(example / "feeds.py"), load_module(example / "story.py")
    days = weeks * 7 if weeks else story.WHOLE_YEAR_DAYS
    start = datetime.fromisoformat(recorded.START).replace(tzinfo=UTC)
    app = open_app(Config(home=home, project=example / "project.py"), clock=ReplayClock(start))
    try:
        first = duration(story.first_training(days))
        _run(Replay(app, recorded.feeds(), start=start, first_training=first, actions=story.ACTIONS), days)
        result = summary(app)
        if as_json:
            click.echo(json.dumps(result))
        else:
            tell(result)
        if listener is not None:
            serve(app, listener, ready=lambda address: say(f"\n{address}  shows it all (Ctrl-C stops)"))
    finally:
        app.close()


def example_folder(name: str) -> Path:
    """Where an example project lies: beside the package once installed, in the repository while developing."""
    import hanok

    package = Path(hanok.__file__).parent
    for folder in (package / "_examples" / name, package.parents[1] / "examples" / name):
        if folder.exists():
            return folder
    raise click.ClickException(f"this installation of Hanok has no example {name!r}")


def _run(replay: Any, days: int) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("days"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("replaying", total=days)
        replay.run(days, progress=lambda what, done, _all: bar.update(task, description=what, completed=done))


def tell(result: Mapping[str, Any]) -> None:
    """The summary as text."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    for name, table in result["tables"].items():
        console.print(f"[bold]{name:<10}[/] {table['rows']:>8,} rows, {table['quarantined']} in quarantine")
    for model in result["models"]:
        _tell_model(console, model)
    alerts = ", ".join(f"{count} {kind}" for kind, count in result["alerts"].items()) or "none"
    console.print(f"\nalerts: {alerts}")
    for cause in result["causes"]:
        console.print(f"  [bold]{cause['day']}[/] {cause['alert']}\n             why: {cause['sentence']}")


def _tell_model(console: Any, model: dict[str, Any]) -> None:
    console.print(f"\n[bold]{model['name']}[/]: {model['predictions']:,} predictions, {model['labelled']:,} labelled")
    for gap in model["gaps"]:
        groups = ", ".join(f"{g['value']} ({g['missing']:.0%})" for g in gap["groups"])
        said = f": {gap['explains']:.0%} of them with {gap['column']} {groups}" if groups else ""
        console.print(f"  view {gap['view']} gives nothing for {gap['share']:.1%} of {gap['rows']:,} rows{said}")
    for day in model["unusual_days"]:
        console.print(
            f"  {day['day']}  {day['unlabelled']:.0%} of {day['rows']} rows never got a label "
            f"(usual {day['usual']:.0%})"
        )
    for column, values in model["unseen"].items():
        named = ", ".join(f"{value} ({count})" for value, count in list(values.items())[:8])
        console.print(f"  {column} held values that the model had not seen: {named}")
    for trigger in model["triggers"]:
        console.print(f"  {trigger['at'][:10]}  retraining: {trigger['kind']}, {trigger['reason']}")
    for version in model["versions"]:
        verdict = "[green]passed[/]" if version["passed"] else "[red]refused[/]"
        console.print(f"  version {version['version']} {verdict}: {version['why']}")
    for deployment in model["deployments"]:
        if deployment["reason"].startswith("rollback"):
            console.print(f"  [yellow]{deployment['at'][:10]}  {deployment['reason']}[/]")
    harmless = [d for d in model["drift"] if d["harmless"]]
    if harmless:
        named = ", ".join(f"{d['feature']} (PSI {d['psi']:.1f}, {d['harmless']} days)" for d in harmless[:6])
        console.print(f"  drifted without harm: {named}")
    console.print(_table(month_rows(model["months"], 1) or model["weeks"]))


def _table(rows: list[dict[str, Any]]) -> Any:
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    columns = list(dict.fromkeys(c for row in rows for c in row))
    for column in columns:
        table.add_column(column, justify="left" if column in ("week", "month") else "right")
    for row in rows:
        cells = (row.get(c) for c in columns)
        table.add_row(*("-" if c is None else f"{c:.4f}" if isinstance(c, float) else f"{c}" for c in cells))
    return table
