from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from hanok.cli.output import ask, common, say, show


@click.group()
def study() -> None:
    """Studies: list, show, stop, resume, change, add a trial, register the best, export, import, delete."""


@study.command("list")
@common
def list_(home: Path | None, as_json: bool) -> None:
    """Studies with their trials and the best so far."""
    show(ask(home, "study.list"), as_json)


@study.command("show")
@click.argument("name")
@common
def show_(name: str, home: Path | None, as_json: bool) -> None:
    """One study: space, algorithm, limits, the best trial."""
    show(ask(home, "study.show", name=name), as_json)


@study.command()
@click.argument("name")
@click.option("--state", default="", help="Only those: waiting, running, complete, pruned, failed, cancelled.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 100_000))
@common
def trials(name: str, state: str, limit: int, home: Path | None, as_json: bool) -> None:
    """The trials of a study, the newest last."""
    rows = ask(home, "study.trials", name=name, state=state, limit=limit)
    shown = ("number", "state", "values", "params", "reason")
    show(rows if as_json else [{k: r[k] for k in shown} for r in rows], as_json)


@study.command()
@click.argument("name")
@common
def stop(name: str, home: Path | None, as_json: bool) -> None:
    """Hand out no further trials. Running ones may end."""
    show(ask(home, "study.update", name=name, state="stopped"), as_json)


@study.command()
@click.argument("name")
@click.option("--trials", default=0, help="A new limit of trials in all.")
@click.option("--seconds", default=0.0, help="A new limit of seconds since the study was made.")
@click.option("--concurrency", default=0, help="A new limit of trials at a time.")
@common
def resume(name: str, trials: int, seconds: float, concurrency: int, home: Path | None, as_json: bool) -> None:
    """Let a study go on, with other limits if you like."""
    given = {"max_trials": trials, "max_seconds": seconds, "concurrency": concurrency}
    limits = {k: v for k, v in given.items() if v}
    show(ask(home, "study.update", name=name, state="running", limits=limits), as_json)


@study.command()
@click.argument("name")
@click.argument("params")
@common
def add(name: str, params: str, home: Path | None, as_json: bool) -> None:
    """Try PARAMS (a JSON object) next."""
    try:
        chosen = json.loads(params)
    except ValueError as error:
        raise click.UsageError(f"PARAMS is a JSON object, like '{{\"x\": 1}}': {error}") from None
    show(ask(home, "study.enqueue", name=name, params=chosen), as_json)


@study.command()
@click.argument("name")
@click.argument("model")
@click.option("--trial", default=None, type=click.IntRange(0), help="Its number (default: the best one).")
@click.option("--logged", default="", help="The name of the logged model, where the trial logged several.")
@common
def register(name: str, model: str, trial: int | None, logged: str, home: Path | None, as_json: bool) -> None:
    """Make what the best trial of study NAME trained the next version of MODEL."""
    asked = {"name": name, "model": model, "logged": logged} | ({} if trial is None else {"trial": trial})
    show(ask(home, "study.register", **asked), as_json)


@study.command()
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path))
@common
def export(name: str, file: Path, home: Path | None, as_json: bool) -> None:
    """Write the study with all trials to FILE (JSON)."""
    body: dict[str, Any] = ask(home, "study.export", name=name)
    file.write_text(json.dumps(body, indent=1))
    say(f"{len(body['trials'])} trials written to {file}")
    show({"file": str(file), "trials": len(body["trials"])}, as_json)


@study.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--name", default="", help="Under another name.")
@common
def import_(file: Path, name: str, home: Path | None, as_json: bool) -> None:
    """Read a study that was exported; trials of a study that is there already are added to it."""
    try:
        body = json.loads(file.read_text())
    except ValueError as error:
        raise click.UsageError(f"{file} is no exported study: {error}") from None
    show(ask(home, "study.import", study=body, name=name), as_json)


@study.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@common
def delete(name: str, yes: bool, home: Path | None, as_json: bool) -> None:
    """Remove a study and its trials; the runs stay."""
    if not yes:
        click.confirm(f"remove study {name} with its trials?", abort=True, err=True)
    show(ask(home, "study.delete", name=name), as_json)
