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
@click.argument("subject")
@common
def reproduce(subject: str, home: Path | None, as_json: bool) -> None:
    """Rebuild SUBJECT (MODEL@VERSION, or a run id) from the graph and say whether it is bit-equal."""
    show(ask(home, "reproduce", subject=subject), as_json)
