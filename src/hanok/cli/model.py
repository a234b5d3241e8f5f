from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hanok.cli.output import ask, common, say, show, versioned


@click.group()
def model() -> None:
    """Models: list, show, compare, history."""


@model.command("list")
@common
def list_(home: Path | None, as_json: bool) -> None:
    """Registered models and what serves."""
    show(ask(home, "model.list"), as_json)


@model.command("show")
@click.argument("name")
@common
def show_(name: str, home: Path | None, as_json: bool) -> None:
    """One model: versions, deployments, performance by day."""
    result = ask(home, "model.show", name=name)
    if not as_json:
        for day in result["performance"]:
            day.pop("slices", None)
    show(result, as_json)


@model.command()
@click.argument("name")
@click.argument("versions", nargs=-1, required=True, type=int)
@common
def compare(name: str, versions: tuple[int, ...], home: Path | None, as_json: bool) -> None:
    """What differs between VERSIONS of a model."""
    show(ask(home, "model.compare", name=name, versions=list(versions)), as_json)


@model.command()
@click.argument("name")
@common
def history(name: str, home: Path | None, as_json: bool) -> None:
    """What happened to NAME: registrations, moves of aliases and stages, deployments; who, when and why."""
    show(ask(home, "model.history", name=name), as_json)


@model.command("import")
@click.argument("model")
@click.option("--data", type=click.Path(exists=True, dir_okay=False), help="Rows of its inputs (CSV, Parquet).")
@click.option("--approve", default="", help="The SHA-256 of a pickle that may be loaded in this process.")
@common
def import_(model: str, data: str | None, approve: str, home: Path | None, as_json: bool) -> None:
    """Make a version servable that an MLflow client logged: MODEL@VERSION, converted and proven in this process."""
    from hanok.engine.files import read_file
    from hanok.sdk.client import open as open_client
    from hanok.sdk.importing import import_model

    name, version = versioned(model)
    if not version:
        raise click.UsageError("say which version, like churn@3")
    rows = None if data is None else read_file(Path(data))
    with open_client(home) as client:
        show(import_model(client, name, version, data=rows, approve=approve), as_json)


@model.command()
@click.argument("model", metavar="MODEL@VERSION")
@click.option("--hash", "hash_", default="", help="The hash of its files: you trust what they do, with your rights.")
@click.option("--python", default="", help="An interpreter of the server's machine that has the model's libraries.")
@click.option("--task", default="", type=click.Choice(["", "regression", "binary", "multiclass"]))
@click.option("--classes", default="", help="Of classes: their names in order, like no,yes.")
@click.option("--revoke", is_flag=True, help="Take the approval back: its process ends, in every server.")
@common
def approve(
    model: str, hash_: str, python: str, task: str, classes: str, revoke: bool, home: Path | None, as_json: bool
) -> None:
    """Let a version that cannot be converted run as it was logged, in a process of its own. Without --hash: say what it
    is, and which hash to approve."""
    name, version = versioned(model)
    if not version:
        raise click.UsageError("say which version, like churn@3")
    if revoke:
        if hash_ or python or task or classes:
            raise click.UsageError("--revoke takes nothing beside MODEL@VERSION")
        taken = ask(home, "model.revoke", model=name, version=version)
        show(taken, as_json)
        if taken["answers"] and not as_json:
            say(f"it is deployed, and its requests are refused now. Let another version answer: hanok rollback {name}")
        return
    named = [c.strip() for c in classes.split(",") if c.strip()]
    options = {"hash": hash_, "python": python, "task": task, "classes": named}
    found = ask(home, "model.approve", model=name, version=version, **options)
    show(found, as_json)
    if not hash_ and not as_json:
        say(f"if you trust who logged it: hanok model approve {model} --hash {found['hash']}")


@click.command()
@click.argument("model")
@common
def measure(model: str, home: Path | None, as_json: bool) -> None:
    """Measure now how good MODEL is with the labels that came, and how far what it sees has moved."""
    from hanok.core.monitoring import FEW_ANSWERS

    result = ask(home, "measure", model=model)
    if as_json:
        show(result, as_json)
        return
    say(f"{model} measured at {result['measured_at'][:19]}")
    days = [{"day": d["day"], "version": d["version"], "role": d["role"], "rows": d["rows"], **d["metrics"]}
            for d in result["days"]]  # fmt: skip
    if not result["answered"]:
        say(f"{model} has answered nothing yet, so there is nothing to measure: hanok predict {model} COLUMN=VALUE")
        return
    if days:
        show(days, as_json)
    else:
        say(f"no answer of the week up to {result['newest_day']} has its label yet")
    say(f"earlier days: hanok model show {model}")
    for feature in result["moved"]:
        alarm = "alarm" if feature["alarm"] else "harmless" if feature["harmless"] else "not an alarm yet"
        say(f"{feature['feature']} has moved by {result['newest_day']}: PSI {feature['psi']:.2f}, {alarm}")
    if not result["moved"] and result["judged_rows"] < FEW_ANSWERS:
        said = f"{result['judged_rows']} answers up to {result['newest_day']} are too few to tell"
        say(f"{said} whether a feature has moved")
        say(f"over a longer time: hanok skew {model} --since DAY")
    elif not result["moved"]:
        say(f"no feature lies otherwise than in training by {result['newest_day']}")


@click.command()
@click.argument("model")
@click.option("--window", type=click.Choice(["week", "day"]), default="week", show_default=True)
@click.option("--limit", default=12, show_default=True, type=click.IntRange(1, 1000), help="Windows to list.")
@common
def estimate(model: str, window: str, limit: int, home: Path | None, as_json: bool) -> None:
    """How good MODEL is estimated to be before its labels come, and how earlier estimates turned out."""
    result = ask(home, "estimate", model=model, window=window, limit=limit)
    if as_json:
        show(result, as_json)
        return
    say(_sentence(result))
    show(result["windows"], as_json)


def _sentence(result: dict[str, Any]) -> str:
    newest, counts = result["newest"], result["record"]
    if newest is None:
        return "nothing estimated yet: estimates are made once a model answers"
    if not newest["reliable"]:
        said = f"no estimate for the {result['window']} of {newest['start']}: {newest['why']}"
    else:
        interval = f"{newest['low']:.3f} to {newest['high']:.3f}"
        said = f"{newest['metric']} estimated {newest['estimated']:.3f} ({interval}), if {newest['assumption']}"
    if newest["known"] is not None:
        said += f"\nlabels so far {newest['labelled']:.0%}, known {newest['known']:.3f}"
    if usual := newest["usual_error"]:
        said += f"\n{usual['share']:.0%} of the last {usual['windows']} were within {usual['within']:.3f} of the truth"
    said += f"\nof {counts['checked']} checked {counts['inside']} were right"
    if counts["held"]:
        said += f", {counts['held_inside']} of the {counts['held']} whose calibration held"
    return said + "\n"
