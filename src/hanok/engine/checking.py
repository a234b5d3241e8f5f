"""Checking a file: checks, a schema, and what comes of both. No home is needed."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pyarrow as pa

from hanok.compute.analyzers import evaluate
from hanok.compute.duck import ParquetFiles, Relation, same_in_sql
from hanok.compute.states import TableState
from hanok.compute.statistics import measure
from hanok.compute.suggestions import suggest
from hanok.compute.values import unwrapped_columns
from hanok.core.checks import Check, metric
from hanok.core.errors import Invalid
from hanok.core.json import Json
from hanok.core.names import checked_columns
from hanok.engine.files import Options, read, read_file
from hanok.parts.validation.schemas import validate
from hanok.parts.validation.schemas.findings import known_environment
from hanok.parts.validation.schemas.infer import infer
from hanok.parts.validation.schemas.statistics import statistics_of
from hanok.parts.validation.schemas.views import path_text
from hanok.parts.validation.suites import SUCCESS, Outcome, SuiteResult, broken_rows, run
from hanok.wire.dqdl import parse_rules
from hanok.wire.suites import parse_checks, write_checks
from hanok.wire.tfdv import Message, from_text, to_text
from hanok.wire.tfdv.yaml import from_yaml, to_yaml

WORST_FIRST = ("Error", "Failure", "Success")


@dataclass(frozen=True, slots=True)
class Fault:
    """What a schema does not allow, at a path of it ("" is the whole data set)."""

    path: str
    type: str
    message: str
    observed: str
    bound: str


@dataclass(frozen=True, slots=True)
class FileCheck:
    """`status` is Success, Warning or Error. Outcomes that are not met come first; those that break errors before
    those that break warnings. `changes` is a diff of the schema in which the data would fit."""

    status: str
    rows: int
    checked: int
    failed: int
    outcomes: tuple[Outcome, ...] = ()
    anomalies: tuple[Fault, ...] = ()
    changes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Json]:
        return asdict(self)


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
) -> FileCheck:
    """Hold a file to checks and a schema. With `accept` the schema file takes the proposed changes. Raises Invalid for
    an environment that the schema does not name."""
    rows = relation_of(path, options, tell)
    others = dict(_reference(r) for r in references)
    declared = _declared(schema, environment)
    checks = read_checks(suite) if suite is not None else []
    state = measure(rows) if declared is not None else None
    result = run(rows, checks, references=others) if checks else SuiteResult(())
    found = FileCheck(
        result.status,
        state.rows if state is not None else row_count(rows),
        len(result.outcomes) + (schema is not None),
        sum(o.status != SUCCESS for o in result.outcomes),
        tuple(sorted(result.outcomes, key=lambda o: (WORST_FIRST.index(o.status), o.level != "error"))),
    )
    if schema is not None and declared is not None and state is not None:
        found = _held(found, state, declared, environment, schema if accept else None)
    if bad_rows is not None:
        from pyarrow import parquet as pq

        pq.write_table(broken_rows(rows, checks, references=others), bad_rows)
    return found


def _held(found: FileCheck, state: TableState, declared: Message, environment: str, accept: Path | None) -> FileCheck:
    """The check with what the schema says of the statistics; the proposed schema is written into `accept`."""
    report = validate(statistics_of(state), declared, environment=environment or None)
    faults = tuple(
        Fault(path_text(path) if path else "", r.type, r.message, r.observed, r.bound)
        for path, reasons in [*report.anomalies.items(), ((), report.dataset)]
        for r in reasons
    )
    if report.data_missing:
        faults = (Fault("", "NO_EXAMPLES", "the data has no rows", "0", "> 0"),)
    if not faults:
        return found
    changes = _diff(declared, report.proposed)
    if accept is not None:
        write_schema(accept, report.proposed)
        changes.append(f"{accept} now says so")
    return replace(found, status="Error", failed=found.failed + 1, anomalies=faults, changes=tuple(changes))


def _declared(path: Path | None, environment: str) -> Message | None:
    if path is None:
        return None
    schema = read_schema(path)
    known_environment(schema, environment, str(path))
    return schema


def row_count(rows: Relation) -> int:
    m = metric("Size")
    return int(evaluate(rows, [m])[m])


def _diff(before: Message, after: Message) -> list[str]:
    lines = difflib.unified_diff(
        to_yaml(before).splitlines(), to_yaml(after).splitlines(), "schema", "proposed", lineterm="", n=2
    )
    return list(lines)


def _reference(text: str) -> tuple[str, Relation]:
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
