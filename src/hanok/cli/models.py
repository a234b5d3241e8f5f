from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from hanok.cli.output import ask, common, say, show, versioned


@click.command()
@click.argument("model")
@click.option("--reason", default="on request", show_default=True)
@click.option("--no-promote", is_flag=True, help="Register only; do not start a rollout.")
@click.option("--resume", is_flag=True, help="Go on with a search that was cut down, on the same rows.")
@common
def train(model: str, reason: str, no_promote: bool, resume: bool, home: Path | None, as_json: bool) -> None:
    """Train, judge and register a new version of MODEL."""
    from rich.console import Console

    from hanok.sdk.client import open as open_client
    from hanok.server.beside import answering_others

    with (
        Console(stderr=True).status(f"training {model}") as status,
        telling(lambda line: status.update(f"training {model}: {line}")),
        open_client(home) as client,
        answering_others(client.app),
    ):
        result = client.call("train", model=model, reason=reason, promote=not no_promote, resume=resume)
        board = [] if as_json else client.call("run.show", run=result["run_id"]).get("leaderboard", [])
    verdict = result["verdict"]
    if not as_json:
        outcome = "passed its gate" if verdict["passed"] else "was refused by its gate"
        say(f"version {result['version']} {outcome}: {verdict['why']}")
        if "not_rolled_out" in result:
            say(f"it is not rolled out: {result['not_rolled_out']}")
        if board:
            show(board_rows(board), False)
            if why := board[0].get("why"):
                say(f"chosen: {why}; {board[0]['size_bytes'] / 1e6:.1f} MB, {board[0]['row_us']:.0f} us a row")
        result = {"model": model, "version": result["version"], "run": result["run_id"], **verdict["challenger"]}
    show(result, as_json)


@contextmanager
def telling(tell: Callable[[str], None]) -> Iterator[None]:
    """While a search runs in this process, each line that it says of how far it is."""

    class Telling(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            tell(record.getMessage())

    log, handler = logging.getLogger("hanok.automl"), Telling()
    before, onwards = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)
        log.propagate = onwards


def board_rows(board: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The head of a leaderboard: a line for each candidate, and the baseline last."""
    lines = [*board[:8], *(line for line in board[8:] if line["name"] == "baseline")]
    return [
        {"candidate": line["name"]}
        | {k: round(v, 5) if v is not None else "" for k, v in line["metrics"].items()}
        | ({"error": f"{line['error']:.2g}"} if line.get("error") else {"error": ""})
        | {"weight": line.get("weight") or "", "seconds": round(line["seconds"], 1)}
        for line in lines
    ]


@click.command()
@click.argument("model")
@click.option("--version", default=0, help="The newest by default.")
@click.option("--reason", default="deployed by hand", show_default=True)
@common
def deploy(model: str, version: int, reason: str, home: Path | None, as_json: bool) -> None:
    """Let a version of MODEL answer all requests at once, without a rollout: MODEL@VERSION, or --version."""
    model, named = versioned(model)
    if named and version not in (0, named):
        raise click.UsageError(f"{model}@{named} and --version {version} name two versions")
    version = named or version
    show(ask(home, "deploy", model=model, version=version, reason=reason), as_json)


@click.command()
@click.argument("model")
@click.option("--version", default=0, help="The newest by default.")
@click.option("--reason", default="promoted by hand", show_default=True)
@click.option("--force", is_flag=True, help="Promote a version that its gate refused.")
@common
def promote(model: str, version: int, reason: str, force: bool, home: Path | None, as_json: bool) -> None:
    """Start the rollout of a version of MODEL."""
    show(ask(home, "promote", model=model, version=version, reason=reason, force=force), as_json)


@click.command()
@click.argument("model")
@click.option("--to", default=0, help="A version (default: the one that served before).")
@click.option("--reason", default="rolled back by hand", show_default=True)
@click.option("--alias", default="", help="Move this alias back, without a deployment (champion where there is none).")
@click.option("--stage", default="", help="Put the version that was in this stage before back into it.")
@common
def rollback(model: str, to: int, reason: str, alias: str, stage: str, home: Path | None, as_json: bool) -> None:
    """Let the version of MODEL that served before answer again, at once, and prove it."""
    show(ask(home, "rollback", model=model, to=to, reason=reason, alias=alias, stage=stage), as_json)


@click.command()
@click.argument("model")
@click.option(
    "--version", default=1, show_default=True, help="The version that is imagined never to have been replaced."
)
@common
def hindsight(model: str, version: int, home: Path | None, as_json: bool) -> None:
    """What a version of MODEL would have answered had it never been replaced, month by month."""
    from rich.console import Console

    with Console(stderr=True).status(f"scoring all labelled answers of {model} with version {version}"):
        result = ask(home, "hindsight", model=model, version=version)
    if not as_json:
        show(month_rows(result["months"], version), False)
        return
    show(result, as_json)


def month_rows(months: list[dict[str, Any]], version: int) -> list[dict[str, Any]]:
    """A line for each month: every metric as answered and as the version would have done."""
    return [
        {"month": m["month"], "rows": m["rows"]}
        | {
            title: round(side[metric], 4)
            for metric in m["answered"]
            for title, side in ((metric, m["answered"]), (f"{metric} of version {version}", m["version"]))
            if metric in side
        }
        for m in months
    ]


def explained(result: dict[str, Any], as_json: bool) -> None:
    """An answer, and what each input did to it, the strongest first."""
    why = None if as_json else result.pop("explanation", None)
    show(result, as_json)
    if why is not None:
        cost = f"; {why['rows_scored']} rows were scored for it" if why["rows_scored"] else ""
        of = f" of class {why['of']}" if why["of"] else ""
        say(f"{why['method']}, in {why['unit']}{of}, from {why['base']:.4g}{cost}")
        found = sorted(why["contributions"].items(), key=lambda c: -abs(c[1]))
        show([{"input": n, "contribution": v} for n, v in found], False)


def pairs(texts: tuple[str, ...]) -> dict[str, str]:
    """COLUMN=VALUE words as a dict."""
    for text in texts:
        if "=" not in text:
            raise click.UsageError(f"{text!r} is not COLUMN=VALUE, like flight=UA1545")
    return dict(text.split("=", 1) for text in texts)
