from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

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
    from hanok.engine.app import App
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
    app = App(Config(home=home, project=example / "project.py"), clock=ReplayClock(start))
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


def tell(result: dict[str, Any]) -> None:
    """The summary as text."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    for name, table in result["tables"].items():
        console.print(f"[bold]{name:<10}[/] {table['rows']:>8,} rows, {table['quarantined']} in quarantine")
    for model in result["models"]:
        console.print(
            f"\n[bold]{model['name']}[/]: {model['predictions']:,} predictions, {model['labelled']:,} labelled"
        )
        for trigger in model["triggers"]:
            console.print(f"  {trigger['at'][:10]}  retraining: {trigger['kind']}, {trigger['reason']}")
        for version in model["versions"]:
            verdict = "[green]passed[/]" if version["passed"] else "[red]refused[/]"
            console.print(f"  version {version['version']} {verdict}: {version['why']}")
        weeks = Table(box=None, header_style="bold")
        columns = list(dict.fromkeys(c for week in model["weeks"] for c in week))
        for column in columns:
            weeks.add_column(column, justify="left" if column == "week" else "right")
        for week in model["weeks"]:
            weeks.add_row(
                *(f"{week.get(c):.4f}" if isinstance(week.get(c), float) else str(week.get(c, "-")) for c in columns)
            )
        console.print(weeks)
    alerts = ", ".join(f"{count} {kind}" for kind, count in result["alerts"].items()) or "none"
    console.print(f"alerts: {alerts}")
