from __future__ import annotations

from pathlib import Path

import click

from hanok.cli.output import ask, common, show


@click.command()
@click.argument("subject")
@click.option("--day", default="", help="With a model: the day, like 2013-12-31 (default: the newest with answers).")
@click.option("--until", default="", help="With a model: the end of the window, not included (default: a day).")
@common
def why(subject: str, day: str, until: str, home: Path | None, as_json: bool) -> None:
    """Ranked causes of SUBJECT: a prediction id, an alert id, or a model's day.

    \b
    hanok why PREDICTION                      the id that 'hanok predict' prints
    hanok why ALERT                           the id in 'hanok alert list'
    hanok why MODEL --day 2026-01-31          a model's day (default: the newest with answers)
    """
    result = ask(home, "why", subject=subject, day=day, until=until)
    if as_json:
        show(result, as_json)
        return
    click.echo(result["sentence"])
    symptom = result["symptom"]
    usual = symptom["usual_mean_score"]
    click.echo(
        ("no mean score" if symptom["mean_score"] is None else f"mean score {symptom['mean_score']:.3f}")
        + (f" (usually {usual:.3f})" if usual is not None else "")
        + (f", loss {symptom['loss']:.3f}" if symptom["loss"] is not None else "")
        + (f" (usually {symptom['usual_loss']:.3f})" if None not in (symptom["loss"], symptom["usual_loss"]) else "")
        + f", {symptom['rows']} answers, {symptom['labelled']} labelled"
    )
    if result["suspects"]:
        show(result["suspects"], False, columns=["name", "kind", "explains", "since", "reason", "next"])
    if result["features"]:
        show(result["features"][:10], False, columns=["feature", "value", "typical", "moves_score_by", "flag"])


@click.command()
@click.argument("model")
@click.option("--budget", default="60s", show_default=True, help="The longest time, like 60s or 10m.")
@common
def rehearse(model: str, budget: str, home: Path | None, as_json: bool) -> None:
    """Which faults 'hanok why' would name of MODEL, tried on copies of its own past answers."""
    from rich.console import Console

    with Console(stderr=True).status(f"putting faults into copies of the answers of {model}, for {budget} at most"):
        result = ask(home, "rehearse", model=model, budget=budget)
    if as_json:
        show(result, as_json)
        return
    from hanok.core.rehearsal import REHEARSAL, by_kind

    found = REHEARSAL.open(result)
    assert found is not None
    click.echo(f"{found.sentence}\n{found.about_quiet_days}")
    kinds = by_kind(found.faults)
    names = ("kind", "tried", "harmful", "named first", "among three")
    show([dict(zip(names, (k.kind, k.tried, k.harmful, k.first, k.named), strict=True)) for k in kinds], False)
    if found.blind:
        click.echo("Harmful, and not among the first three each time (named: of how many questions):")
        columns = ("kind", "where", "how", "named", "loss", "what would show it")
        told = [(f.kind, f.where, f.strength, f.times, f.harm, f.opens) for f in found.blind]
        show([dict(zip(columns, line, strict=True)) for line in told], False)
    if found.left:
        click.echo(f"{found.left} questions were left when {budget} were over: hanok rehearse {model} --budget 10m")


@click.command()
@click.argument("subject")
@common
def reproduce(subject: str, home: Path | None, as_json: bool) -> None:
    """Rebuild SUBJECT (MODEL@VERSION, or a run id) from the graph and say whether it is bit-equal."""
    show(ask(home, "reproduce", subject=subject), as_json)
