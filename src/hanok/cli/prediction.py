from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from hanok.cli.models import explained, pairs
from hanok.cli.output import ask, common, show

OUTCOMES = ("labelled", "unlabelled", "right", "wrong", "failed")


@click.group()
def prediction() -> None:
    """Predictions: list, show, batches."""


@prediction.command("list")
@click.argument("model")
@click.argument("match", nargs=-1, metavar="[KEY=VALUE...]")
@click.option("--day", default="", help="Of this day, like 2026-01-31.")
@click.option("--since", default="", help="From this instant on.")
@click.option("--until", default="", help="Before this instant.")
@click.option("--version", default=0, help="Of this version.")
@click.option("--outcome", default="", type=click.Choice(["", *OUTCOMES]), help=f"One of {', '.join(OUTCOMES)}.")
@click.option("--batch", default="", help="Of this batch: see 'hanok prediction batches'.")
@click.option("--shadows", is_flag=True, help="With what versions said beside the one that answered.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@common
def list_(
    model: str,
    match: tuple[str, ...],
    day: str,
    since: str,
    until: str,
    version: int,
    outcome: str,
    batch: str,
    shadows: bool,
    limit: int,
    home: Path | None,
    as_json: bool,
) -> None:
    """Answers of MODEL, the newest first, of the entity with these keys."""
    if day:
        start = _day(day)
        since, until = start.isoformat(), (start + timedelta(days=1)).isoformat()
    asked: dict[str, Any] = {"since": since or None, "until": until or None, "version": version, "outcome": outcome}
    found = ask(
        home,
        "prediction.list",
        model=model,
        entity=pairs(match),
        batch=batch,
        shadows=shadows,
        limit=limit,
        **asked,
    )
    if not as_json:
        classes = any("answer" in r for r in found)
        found = [
            {"at": r["at"][:19], "id": r["id"], "version": r["version"], "arm": r["arm"], "score": r["score"],
             **({"answer": r.get("answer", "")} if classes else {}), "entity": r["entity"],
             "label": r.get("actual", r["label"]), "right": r["right"], "error": r["error"][:60]}
            for r in found
        ]  # fmt: skip
    show(found, as_json)


@prediction.command()
@click.argument("model", default="")
@click.option("--limit", default=50, show_default=True)
@common
def batches(model: str, limit: int, home: Path | None, as_json: bool) -> None:
    """Files and tables that were answered in bulk (by MODEL), the newest first."""
    found = ask(home, "prediction.batches", model=model, limit=limit)
    if not as_json:
        columns = ("id", "model", "source", "state", "rows", "refused", "failed", "begun", "actor")
        found = [{c: str(r[c])[:19] if c == "begun" else r[c] for c in columns} for r in found]
    show(found, as_json)


@prediction.command("show")
@click.argument("prediction")
@click.option("--explain", is_flag=True, help="With what each input did to the score.")
@common
def show_(prediction: str, explain: bool, home: Path | None, as_json: bool) -> None:
    """One prediction: features, version, score, later label."""
    explained(ask(home, "prediction.show", prediction=prediction, explain=explain), as_json)


def _day(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise click.UsageError(f"--day is {text!r}, not a day like 2026-01-31") from None
