from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hanok.cli.models import explained, pairs
from hanok.cli.output import ask, common, say, show, versioned


@click.command()
@click.argument("model")
@click.argument("match", nargs=-1, metavar="[COLUMN=VALUE...]")
@click.option("--from", "start", default="", help="With --until: predict in bulk all rows due from this instant on.")
@click.option("--until", "end", default="", help="With --from: the end of the window, not included.")
@click.option("--in", "source", default="", help="Predict all rows of this file, Delta table or table of the home.")
@click.option("--out", type=click.Path(path_type=Path), help="With --in: a .parquet, .csv or .jsonl file, or a folder.")
@click.option(
    "--key", "keys", multiple=True, metavar="NAME[=COLUMN]", help="With --in: a key of the entity. Repeatable."
)
@click.option("--at", default="", help="With --in: the column with the instant that each row is predicted for.")
@click.option("--keep", multiple=True, help="With --in: a column to stand beside the answers. Repeatable.")
@click.option("--null", "nulls", multiple=True, help="With --in: a word that means no value. Repeatable.")
@click.option("--encoding", default="", help="With --in: of a text file, like latin-1 (default: that of the table).")
@click.option("--explain", is_flag=True, help="Of one row: what each input did to the score.")
@click.option("--piece-rows", default=0, help="With --in: rows answered at once (default: by the number of columns).")
@common
def predict(
    model: str,
    match: tuple[str, ...],
    start: str,
    end: str,
    source: str,
    out: Path | None,
    keys: tuple[str, ...],
    at: str,
    keep: tuple[str, ...],
    nulls: tuple[str, ...],
    encoding: str,
    explain: bool,
    piece_rows: int,
    home: Path | None,
    as_json: bool,
) -> None:
    """Predict the row of MODEL's spine that has the given values, like flight=UA1545, all rows of a window, or all rows
    of a file or table. A file is answered by what is deployed, or by MODEL@VERSION. Asked again, also after a kill, it
    goes on where it stood, and answers no row twice."""
    if source:
        if match or start or end:
            raise click.UsageError("--in names all rows that are meant: leave COLUMN=VALUE, --from and --until out")
        name, version = versioned(model)
        named = {key: column or key for key, _, column in (k.partition("=") for k in keys)}
        options = {"version": version, "keys": named, "at": at, "keep": list(keep), "piece_rows": piece_rows}
        options |= {"nulls": list(nulls) or None, "encoding": encoding}
        result = _bulk(home, name, source, out, options)
        _tell(result, out, as_json)
        return
    if out is not None or keys or at or keep or nulls or encoding:
        raise click.UsageError("--out, --key, --at, --keep, --null and --encoding go with --in FILE_OR_TABLE")
    if start and end:
        _due(ask(home, "predict.batch", model=model, start=start, end=end), as_json)
        return
    if not match:
        raise click.UsageError(
            "say which row, like flight=UA1545, which window with --from and --until, or which file with --in"
        )
    explained(ask(home, "predict", model=model, match=pairs(match), explain=explain), as_json)


def _due(batch: dict[str, Any], as_json: bool) -> None:
    """How many rows of a window were answered, by which version, and where the answers are."""
    if as_json:
        show(batch, as_json)
        return
    model, before = batch["model"], batch["answered_before"]
    now = batch["predictions"] - before
    stay = f", {before} were answered before and stay as they were answered" if before else ""
    click.echo(f"{batch['predictions']} rows of {model} are due: {now} answered now{stay}")
    for part in batch["by_version"]:
        click.echo(f"{part['predictions']} of these answers are of version {part['version']}")
    if before and not now:
        click.echo(f"rows that were corrected since are answered anew with: hanok predict {model} --in TABLE")
    click.echo(f"see them with 'hanok prediction list {model}', all ids with --json")
    click.echo(f"answers to a file: hanok predict {model} --in TABLE_OR_FILE --out FILE")


def _bulk(home: Path | None, model: str, source: str, out: Path | None, options: dict[str, Any]) -> dict[str, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from hanok.sdk.client import open as open_client
    from hanok.server.beside import answering_others

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        Progress(*columns, console=Console(stderr=True), transient=True) as progress,
        open_client(home) as client,
        answering_others(client.app),
    ):
        task = progress.add_task(f"{model} answers {Path(source).name}", total=None)

        def told(done: int, rows: int) -> None:
            progress.update(task, completed=done, total=rows)

        return dict(client.predict_bulk(model, source, out, told=told, **options))


def _tell(batch: dict[str, Any], out: Path | None, as_json: bool) -> None:
    if as_json:
        show(batch, as_json)
    else:
        versions = ", ".join(f"version {a['version']} ({a['mode']})" for a in batch["arms"])
        answered = batch["rows"] - batch["refused"] - batch["failed"]
        say(f"{answered} of {batch['rows']} rows answered by {versions}" + (f", in {out}" if out else ""))
        show({n: batch[n] for n in ("id", "model", "source", "rows", "refused", "failed")}, False)
    if batch["refused"] or batch["failed"]:
        say(f"{batch['refused']} rows were refused and {batch['failed']} failed: their column 'error' says why")
        raise SystemExit(1)


@click.command()
@click.argument("model", metavar="MODEL@VERSION")
@click.option("--since", default="7d", show_default=True, help="So far back, or from this instant on.")
@click.option("--until", default="", help="Before this instant (default: now).")
@common
def replay(model: str, since: str, until: str, home: Path | None, as_json: bool) -> None:
    """Score what MODEL answered with another VERSION before it ships: what would have been decided otherwise, in which
    slices, how good that would have been, and how long it takes."""
    from rich.console import Console

    name, version = versioned(model)
    if not version:
        raise click.UsageError("say which version is replayed, like churn@8")
    with Console(stderr=True).status(f"version {version} of {name} answers again"):
        found = ask(home, "replay", model=name, version=version, since=since, until=until or None)
    if as_json:
        show(found, as_json)
        return
    scored = found["rows"] - found["failed"]
    share = found["otherwise"] / scored if scored else 0.0
    otherwise = f"{found['otherwise']} ({share:.1%}) would have been decided otherwise"
    say(f"version {version} scored {scored} answers: {otherwise}")
    for why, count in found["left_out"].items():
        say(f"{count} answers are left out: {why}")
    if found["failed"]:
        say(f"it fails on {found['failed']} rows: {found['failure']}")
    if found["bounded"]:
        say("only the newest of the answers were scored; a shorter --since takes all of a window")
    show({n: found[n] for n in ("directions", "change_mean", "change_quantiles", "labelled")}, False)
    titles = {"as answered": 0, f"version {version}": 1}
    metrics = [{"metric": m, **{t: v[i] for t, i in titles.items()}} for m, v in found["known"].items()]
    latency = [
        {"latency of one row": n, "p50 (us)": v["p50"], "p99 (us)": v["p99"]} for n, v in found["latency"].items()
    ]
    for rows in (metrics, latency, found["slices"], found["largest"]):
        if rows:
            show(rows, False)
