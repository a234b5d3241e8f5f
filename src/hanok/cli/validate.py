from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hanok.cli.output import ask, common, say, show

if TYPE_CHECKING:
    from hanok.engine.checking import FileCheck
    from hanok.engine.files import Options

FAILED = 1


def text_files(command: Callable[..., None]) -> Callable[..., None]:
    """The options of a command that reads text files, as `ingest` has them."""
    command = click.option("--encoding", default="utf-8", show_default=True, help="Of a text file, like latin-1.")(
        command
    )
    return click.option(
        "--null",
        "nulls",
        multiple=True,
        help="A word that means no value in a CSV, in place of NA, null ... Repeatable.",
    )(command)


def _options(nulls: tuple[str, ...], encoding: str) -> Options:
    from hanok.engine.files import NULLS, Options

    return Options(nulls=tuple(w for w in nulls if w) if nulls else NULLS, encoding=encoding)


def _note(line: str) -> None:
    say(f"note: {line}")


SIGNIFICANCE = 0.01
DRIFT_COLUMNS = ("column", "moved", "psi", "psi_noise_floor", "js_distance_base2", "p_adjusted", "null_share")


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--checks", "suite", type=click.Path(path_type=Path), help="Checks as YAML (.yaml) or DQDL (.dqdl).")
@click.option("--schema", type=click.Path(path_type=Path), help="A schema: schema.pbtxt, or YAML.")
@click.option("--environment", default="", help="The schema's environment, like TRAINING.")
@click.option("--reference", "references", multiple=True, help="Another data set for checks: NAME=FILE. Repeatable.")
@click.option("--suggest", is_flag=True, help="Write checks suggested from DATA to stdout as YAML, and check nothing.")
@click.option("--infer", is_flag=True, help="Write a schema inferred from DATA to stdout as YAML, and check nothing.")
@click.option("--accept", is_flag=True, help="Write the proposed changes into the schema file.")
@click.option(
    "--bad-rows", type=click.Path(path_type=Path), help="Write the rows that break a failed rule to this Parquet file."
)
@text_files
@common
def check(
    data: Path,
    suite: Path | None,
    schema: Path | None,
    environment: str,
    references: tuple[str, ...],
    suggest: bool,
    infer: bool,
    accept: bool,
    bad_rows: Path | None,
    nulls: tuple[str, ...],
    encoding: str,
    home: Path | None,
    as_json: bool,
) -> None:
    """Hold DATA (CSV or Parquet) to checks and a schema. Exit status 1 when an error is found: made for CI."""
    from hanok.engine import checking

    if suggest or infer:
        made = checking.suggested if suggest else checking.inferred
        click.echo(made(data, _options(nulls, encoding), _note), nl=False)
        return
    if suite is None and schema is None:
        raise click.UsageError("give --checks, --schema, or both; --suggest and --infer write a first one")
    result = checking.check_file(
        data,
        suite=suite,
        schema=schema,
        environment=environment,
        references=references,
        accept=accept,
        bad_rows=bad_rows,
        options=_options(nulls, encoding),
        tell=_note,
    )
    if as_json:
        show(result.as_dict(), True)
    else:
        _print(result)
    if result.status == "Error":
        sys.exit(FAILED)


def _print(result: FileCheck) -> None:
    if result.outcomes:
        rows = [
            {"status": o.status, "check": o.check, "rule": o.rule, "broken": o.broken, "why": o.message}
            for o in result.outcomes
        ]
        show(rows, False)
    if result.anomalies:
        show([asdict(a) for a in result.anomalies], False, columns=("path", "type", "message", "observed", "bound"))
    for line in result.changes:
        say(line)
    say(f"{result.status}: {result.rows} rows, {result.failed} of {result.checked} rules not met")


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--target", default="", help="The column to predict: each column is related to it.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the page here (HTML).")
@click.option("--images", default="", help="A column of image paths: brightness, sharpness and more become columns.")
@click.option("--since", default="", help="Of a table: from this day, month or year on.")
@click.option("--until", default="", help="Of a table: up to this day, month or year (included).")
@click.option("--slice", "slice_", default="", help="Of a table: COLUMN=VALUE.")
@text_files
@common
def profile(
    data: Path,
    target: str,
    out: Path | None,
    images: str,
    since: str,
    until: str,
    slice_: str,
    nulls: tuple[str, ...],
    encoding: str,
    home: Path | None,
    as_json: bool,
) -> None:
    """Explore DATA (CSV, Parquet, a folder of images): columns, target, leaks, duplicates, time; and the problem.

    DATA may also be a table of the home: its profile comes from the statistics kept at ingestion, and reads no row.
    """
    if _is_table(data) or since or until or slice_:
        if target or out:
            raise click.UsageError("--target and --out need the rows: export the table to a file first")
        _profile_table(str(data), since, until, slice_, home, as_json)
        return

    from hanok.engine.checking import rows_of
    from hanok.engine.files import with_images
    from hanok.ui.report import profile as made

    rows = rows_of(data, _options(nulls, encoding), _note)
    report = made(with_images(rows, images, data.parent) if images else rows, target, title=data.name)
    if out is not None:
        out.write_text(report.html(), encoding="utf-8")
    p = report.profile
    if as_json:
        body = {n: getattr(p, n) for n in ("rows", "duplicates", "warnings")}
        body |= {"columns": [asdict(c) for c in p.columns], "times": [asdict(t) for t in p.times]}
        show(body | {"problem": asdict(p.problem) if p.problem else None}, True)
        return
    if p.problem:
        show({"target": p.problem.target, "task": p.problem.task, "metric": p.problem.metric,
              "baseline": f"{p.problem.baseline:.4g} ({p.problem.baseline_says})"}, False)  # fmt: skip
    lines = [
        {"column": c.name, "type": c.type, "missing": c.missing, "distinct": c.distinct, "from": c.minimum,
         "median": c.median, "to": c.maximum, "explains": c.relation, "notes": "; ".join(c.notes)}
        for c in p.columns
    ]  # fmt: skip
    show(lines, False)
    for warning in p.warnings[:20]:
        say(f"! {warning}")
    if out is not None:
        say(f"the page is {out}")


def _is_table(data: Path) -> bool:
    return not data.suffix and not data.exists() and data.name == str(data)


def _profile_table(name: str, since: str, until: str, slice_: str, home: Path | None, as_json: bool) -> None:
    found = ask(home, "table.profile", name=name, since=since, until=until, slice=slice_)
    if as_json:
        show(found, True)
        return
    show({n: found[n] for n in ("name", "slice", "from", "to", "batches", "rows")}, False)
    lines = [
        {"column": c["name"], "type": c["type"], "missing": c["missing"], "distinct": c["distinct"],
         "from": c["minimum"], "median": c["median"], "mean": c["mean"], "to": c["maximum"],
         "notes": "; ".join(c["notes"])}
        for c in found["columns"]
    ]  # fmt: skip
    show(lines, False)
    for warning in found["warnings"][:20]:
        say(f"! {warning}")


def _drift_in_table(
    name: str, between: tuple[str, str], slice_: str, effect: float, home: Path | None, as_json: bool
) -> None:
    found = ask(home, "table.drift", name=name, between=list(between), slice=slice_, effect=effect)
    show(found if as_json else found["columns"], as_json, columns=DRIFT_COLUMNS)
    for warning in found["warnings"] if not as_json else ():
        say(f"! {warning}")
    if found["faults"] or any(c["moved"] for c in found["columns"]):
        sys.exit(FAILED)


def _drift_of_texts(reference: Path, current: Path, column: str, embed: str, as_json: bool) -> None:
    from hanok.compute.descriptors import embed_texts
    from hanok.compute.sentences import embed_sentences
    from hanok.engine.files import read_file
    from hanok.ui.story import drift as moved

    found = moved(
        read_file(reference),
        read_file(current),
        text=column,
        embed=embed_sentences if embed == "sentences" else embed_texts,
    )
    texts = found.texts
    assert texts is not None
    body = {
        "column": column,
        "auc": texts.shift.auc,
        "p_value": texts.shift.p_value,
        "moved": texts.shift.p_value < SIGNIFICANCE,
        "descriptors": [v.drift.column for v in texts.moved],
    }
    exhibits = [{"score": e.score, "text": e.text, "nearest": e.nearest} for e in texts.exhibits]
    if as_json:
        show(body | {"exhibits": exhibits}, True)
    else:
        show(body, False)
        show(exhibits, False)
    if body["moved"]:
        sys.exit(FAILED)


@click.command()
@click.argument("reference", type=click.Path(path_type=Path))
@click.argument("current", type=click.Path(path_type=Path), required=False)
@click.option("--between", nargs=2, metavar="PERIOD PERIOD", help="Of a table: like 2013-02 2013-03-01..2013-03-14.")
@click.option("--slice", "slice_", default="", help="Of a table: COLUMN=VALUE.")
@click.option("--effect", default=0.05, show_default=True, help="PSI beyond the noise floor that counts as moved.")
@click.option("--text", default="", help="Of two files: compare the texts of this column by their embeddings, too.")
@click.option(
    "--embed",
    type=click.Choice(["words", "sentences"]),
    default="words",
    show_default=True,
    help="Hash words, or take the sentence model that is installed.",
)
@text_files
@common
def drift(
    reference: Path,
    current: Path | None,
    between: tuple[str, str] | None,
    slice_: str,
    effect: float,
    text: str,
    embed: str,
    nulls: tuple[str, ...],
    encoding: str,
    home: Path | None,
    as_json: bool,
) -> None:
    """How far the columns of CURRENT have moved from REFERENCE (CSV or Parquet). Exit status 1 when one has.

    So it is when a column is gone, spelt otherwise, went empty or changed its type; what cannot be compared is said.

    With --between REFERENCE is a table of the home: its statistics of two periods are compared, and no row is read.
    """
    if between is not None:
        _drift_in_table(str(reference), between, slice_, effect, home, as_json)
        return
    if current is None:
        raise click.UsageError("give two files, or a table and --between PERIOD PERIOD")

    from hanok.compute.alarms import Policy, judge
    from hanok.compute.profiling import compare_tables
    from hanok.compute.unlike import unlike
    from hanok.engine.checking import rows_of

    if text:
        _drift_of_texts(reference, current, text, embed, as_json)
        return
    before, after = (rows_of(f, _options(nulls, encoding), _note) for f in (reference, current))
    verdicts = judge(compare_tables(before, after), policy=Policy(effect=effect))
    verdicts.sort(key=lambda v: (not v.suspect, -v.drift.effect))
    found = unlike(before, after)
    faults = {u.column: u.why for u in found if u.fault}
    rows: list[dict[str, Any]] = [
        asdict(v.drift) | {"p_adjusted": v.p_adjusted, "moved": v.suspect or v.drift.column in faults} for v in verdicts
    ]
    compared = {r["column"] for r in rows}
    rows = [{"column": n, "moved": True, "why": w} for n, w in faults.items() if n not in compared] + rows
    show(rows, as_json, columns=DRIFT_COLUMNS)
    for u in found:
        say(f"{'!' if u.fault else '-'} {u.column} {u.why}".replace("  ", " "))
    if any(r["moved"] for r in rows):
        sys.exit(FAILED)


@click.command()
@click.argument("model")
@click.option("--since", default="", help="From this day, month or year on (default: the newest week).")
@click.option("--until", default="", help="Up to this day, month or year (included).")
@click.option("--effect", default=0.05, show_default=True, help="PSI beyond the noise floor that counts as moved.")
@common
def skew(model: str, since: str, until: str, effect: float, home: Path | None, as_json: bool) -> None:
    """How far what MODEL answers lies from what it was trained on. Exit status 1 when a feature alarms."""
    found = ask(home, "skew", model=model, since=since, until=until, effect=effect)
    columns = ("column", "moved", "alarm", *DRIFT_COLUMNS[2:])
    show(found if as_json else found["features"], as_json, columns=columns)
    if not as_json:
        say(f"version {found['version']}: {found['rows']} answers from {found['from']} to {found['to']}")
    if any(f["alarm"] for f in found["features"]):
        sys.exit(FAILED)


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("report.html"), show_default=True, help="The page."
)
@click.option("--target", default="", help="The column to predict.")
@click.option("--reference", type=click.Path(path_type=Path), help="A file to compare the columns with.")
@click.option("--checks", "suite", type=click.Path(path_type=Path), help="Checks as YAML (.yaml) or DQDL (.dqdl).")
@click.option("--schema", type=click.Path(path_type=Path), help="A schema: schema.pbtxt, or YAML.")
@common
def report(
    data: Path,
    out: Path,
    target: str,
    reference: Path | None,
    suite: Path | None,
    schema: Path | None,
    home: Path | None,
    as_json: bool,
) -> None:
    """Write profile, checks and drift of DATA as one HTML file that asks nothing of any other host."""
    from dataclasses import replace

    from hanok.engine import checking
    from hanok.engine.files import read_file
    from hanok.ui.report import profile as made

    other = read_file(reference) if reference is not None else None
    page = made(read_file(data), target, title=data.name, reference=other)
    checked = checking.check_file(data, suite=suite, schema=schema) if suite or schema else None
    page = replace(page, checked=checked, reference=reference.name if reference else "")
    out.write_text(page.html(), encoding="utf-8")
    show({"written": str(out), "rows": page.profile.rows, "warnings": list(page.profile.warnings)}, as_json)
