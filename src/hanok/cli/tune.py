from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from hanok.cli.output import common, say, show
from hanok.core.tuning import COMPLETE, FAILED, PRUNED


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--name", default="", help="The study's name (default: the file's experimentName, or its folder).")
@click.option("--trials", default=0, help="In all (default: the file's maxTrialNumber).")
@click.option("--concurrency", default=0, help="At a time (default: the file's trialConcurrency).")
@common
def tune(file: Path, name: str, trials: int, concurrency: int, home: Path | None, as_json: bool) -> None:
    """Run the trials of an experiment FILE on this machine, as NNI writes it: search space, command, tuner, limits.

    A study of that name goes on. Several machines may work on one study: run this on each, with --home or HANOK_URL
    naming the server.
    """
    from dataclasses import replace

    from hanok.sdk.client import open as open_client
    from hanok.sdk.tuning.patience import patient_call
    from hanok.wire.nni.experiment import read_experiment

    asked = read_experiment(file)
    asked = replace(
        asked,
        name=name or asked.name,
        max_trials=trials or asked.max_trials,
        concurrency=concurrency or asked.concurrency,
    )
    for notice in asked.notices:
        say(notice)
    with open_client(home) as client:
        _study(client, asked)
        _run(client, asked)
        shown = patient_call(client, "study.show", name=asked.name)
    body = shown if as_json else {k: shown[k] for k in ("name", "state", "trials", "counts", "best")}
    show(body, as_json)
    if failed := none_came_to_its_end(shown["counts"]):
        raise click.ClickException(
            f"all {failed} trials of {asked.name!r} failed, so none is the best; why: hanok study trials {asked.name}"
        )


def none_came_to_its_end(counts: Mapping[str, int]) -> int:
    """How many trials failed, where nothing but failures came of a study."""
    failed = counts.get(FAILED, 0)
    return failed if not (counts.get(COMPLETE, 0) or counts.get(PRUNED, 0)) else 0


def _study(client: Any, asked: Any) -> None:
    limits = {"max_trials": asked.max_trials, "max_seconds": asked.max_seconds, "concurrency": asked.concurrency}
    if asked.name in {s["name"] for s in client.call("study.list")}:
        client.call("study.update", name=asked.name, space=asked.space, limits=limits, state="running")
        say(f"study {asked.name} goes on")
        return
    client.call(
        "study.create",
        name=asked.name,
        space=asked.space,
        directions=[asked.direction],
        sampler=asked.sampler.name,
        sampler_arguments=asked.sampler.arguments,
        pruner=asked.pruner.name if asked.pruner else "",
        pruner_arguments=asked.pruner.arguments if asked.pruner else {},
        limits=limits,
    )


def _run(client: Any, asked: Any) -> None:
    """Work until the study is over, with a bar of the trials that have ended."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from hanok.sdk.tuning.patience import patient_call
    from hanok.sdk.tuning.pool import Pool

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        shown = client.call("study.show", name=asked.name)
        ended = sum(n for state, n in shown["counts"].items() if state not in ("running", "waiting"))
        bar = progress.add_task(asked.name, total=asked.max_trials, completed=ended)

        def tell(trial: int, state: str) -> None:
            best = patient_call(client, "study.show", name=asked.name)["best"]
            said = f"{asked.name}: best {best[0]['values'][0]:.6g}" if best else asked.name
            progress.update(bar, advance=1, description=said)

        Pool(
            client,
            asked.name,
            asked.command,
            asked.folder,
            keep=Path.home() / ".cache" / "hanok" / "trials" / asked.name,
            concurrency=asked.concurrency,
            trial_seconds=asked.trial_seconds,
            ended=tell,
        ).run()
