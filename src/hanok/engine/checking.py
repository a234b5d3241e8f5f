"""Checking a file: checks, a schema, and what comes of both. No home is needed."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from hanok.compute.analyzers import evaluate
from hanok.compute.duck import ParquetFiles, Relation, same_in_sql
from hanok.compute.statistics import measure
from hanok.compute.suggestions import suggest
from hanok.compute.values import unwrapped_columns
from hanok.core.checks import Check, metric
from hanok.core.errors import Invalid
from hanok.core.names import checked_columns
from hanok.engine.files import Options, read, read_file
from hanok.parts.validation.schemas import validate
from hanok.parts.validation.schemas.infer import infer
from hanok.parts.validation.schemas.statistics import statistics_of
from hanok.parts.validation.suites import broken_rows, run
from hanok.wire.dqdl import parse_rules
from hanok.wire.suites import parse_checks, write_checks
from hanok.wire.tfdv import Message, from_text, to_text
from hanok.wire.tfdv.yaml import from_yaml, to_yaml

WORST_FIRST = ("Error", "Failure", "Success")


def read_checks(path: Path) -> list[Check]:
    """DQDL when the name ends in .dqdl, else YAML. Raises Unreadable."""
    text = _text(path)
    return [parse_rules(text, name=path.name)] if path.suffix == ".dqdl" else parse_checks(text, name=path.name)


def read_schema(path: Path) -> Message:
    """Protobuf text when the name ends in .pbtxt or .textproto, else YAML. Raises Unreadable."""
    text = _text(path)
    if path.suffix in (".pbtxt", ".textproto"):
        return from_text("Schema", text, name=path.name)
    return from_yaml("Schema", text, name=path.name)


def _unheard(note: str) -> None:
    """For callers that want no notes."""


def relation_of(path: Path, options: Options | None = None, tell: Callable[[str], None] = _unheard) -> Relation:
    """A Parquet file is scanned where it lies if SQL reads all its types as Arrow does; anything else is read, and what
    was guessed of it is told."""
    if path.suffix.lower() in (".parquet", ".pq") and path.exists():
        found = ParquetFiles.of(path)
        checked_columns(str(path), found.schema.names)
        if all(map(same_in_sql, found.schema.types)):
            return found
    return rows_of(path, options, tell)


def rows_of(path: Path, options: Options | None = None, tell: Callable[[str], None] = _unheard) -> pa.Table:
    """The rows of a file; what was guessed or changed while reading is told, a line for each."""
    made = read(path, options)
    for note in made.notes:
        tell(note)
    return unwrapped_columns(made.rows)


def write_schema(path: Path, schema: Message) -> None:
    path.write_text(to_text(schema) if path.suffix in (".pbtxt", ".textproto") else to_yaml(schema))


def suggested(path: Path, options: Options | None = None, tell: Callable[[str], None] = _unheard) -> str:
    """Checks that the file suggests, as YAML; each held on rows kept apart."""
    found = suggest(rows_of(path, options, tell))
    return write_checks([Check(path.stem, "error", tuple(s.constraint for s in found))])


def inferred(path: Path, options: Options | None = None, tell: Callable[[str], None] = _unheard) -> str:
    """A schema that fits the file, as YAML."""
    return to_yaml(infer(statistics_of(measure(relation_of(path, options, tell)))))


def check_file(
    path: Path,
    *,
    suite: Path | None = None,
    schema: Path | None = None,
    environment: str = "",
    references: Sequence[str] = (),
    accept: bool = False,
    bad_rows: Path | None = None,
    options: Options | None = None,
    tell: Callable[[str], None] = _unheard,
) -> dict[str, Any]:
    """`status` is Success, Warning or Error; outcomes that are not met come first. With `accept` the schema file takes
    the proposed changes, which `changes` shows as a diff either way. Raises Invalid for an environment that the schema
    does not name."""
    rows = relation_of(path, options, tell)
    others = dict(_reference(r) for r in references)
    outcomes: list[dict[str, Any]] = []
    anomalies: list[dict[str, Any]] = []
    changes: list[str] = []
    status = "Success"
    declared = _declared(schema, environment)
    checks = read_checks(suite) if suite is not None else []
    state = measure(rows) if schema is not None else None
    count = state.rows if state is not None else row_count(rows)
    if checks:
        result = run(rows, checks, references=others)
        status, outcomes = (
            result.status,
            sorted(result.as_dict()["outcomes"], key=lambda o: WORST_FIRST.index(o["status"])),
        )
    if schema is not None and declared is not None and state is not None:
        report = validate(statistics_of(state), declared, environment=environment or None)
        anomalies = report.as_dict()["reasons"]
        if report.data_missing:
            anomalies = [
                {"path": "", "type": "NO_EXAMPLES", "message": "the data has no rows", "observed": "0", "bound": "> 0"}
            ]
        if anomalies:
            status = "Error"
            changes = _diff(declared, report.proposed)
            if accept:
                write_schema(schema, report.proposed)
                changes.append(f"{schema} now says so")
    if bad_rows is not None:
        from pyarrow import parquet as pq

        pq.write_table(broken_rows(rows, checks, references=others), bad_rows)
    return {
        "status": status,
        "rows": count,
        "checked": len(outcomes) + (schema is not None),
        "failed": sum(o["status"] != "Success" for o in outcomes) + bool(anomalies),
        "outcomes": outcomes,
        "anomalies": anomalies,
        "changes": changes,
    }


def _declared(path: Path | None, environment: str) -> Message | None:
    if path is None:
        return None
    schema = read_schema(path)
    known = list(dict.fromkeys([*schema["default_environment"], *_environments(schema["feature"])]))
    if environment and environment not in known:
        named = f"it names {', '.join(known)}" if known else "it names none"
        raise Invalid(
            f"{path} has no environment {environment!r}; {named}. Add it as a default_environment, or leave it out"
        )
    return schema


def _environments(features: Sequence[Message]) -> Iterator[str]:
    for feature in features:
        yield from (*feature["in_environment"], *feature["not_in_environment"])
        yield from _environments(feature["struct_domain"]["feature"])


def row_count(rows: Relation) -> int:
    m = metric("Size")
    return int(evaluate(rows, [m])[m])


def _diff(before: Message, after: Message) -> list[str]:
    lines = difflib.unified_diff(
        to_yaml(before).splitlines(), to_yaml(after).splitlines(), "schema", "proposed", lineterm="", n=2
    )
    return list(lines)


def _reference(text: str) -> tuple[str, Any]:
    name, equals, path = text.partition("=")
    if not equals or not name or not path:
        raise Invalid(f"a reference is NAME=FILE, got {text!r}")
    return name, read_file(Path(path))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Invalid(f"there is no file {path}") from None
    except UnicodeDecodeError as error:
        raise Invalid(f"{path} is not UTF-8 at byte {error.start}") from None
