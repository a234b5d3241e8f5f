"""Verbs of data: apply a project, ingest, label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from hanok.compute.values import bring
from hanok.core.access import Access
from hanok.core.errors import BadData, Conflict, DeclarationError
from hanok.core.ids import checked_name
from hanok.core.json import JsonObject
from hanok.core.keys import KeyValue
from hanok.core.labels import LabelValue
from hanok.core.names import in_any_spelling
from hanok.core.records import to_body
from hanok.core.validation import Reading
from hanok.engine.bus import Bus
from hanok.engine.config import Config
from hanok.engine.declaring import Declaring
from hanok.engine.files import NULLS, Options, batch_names, read
from hanok.engine.home import Home
from hanok.engine.ingesting import Ingesting
from hanok.engine.labelling import Labelling
from hanok.engine.project import load_project
from hanok.engine.sizes import sizes
from hanok.engine.verbs.registry import verb
from hanok.parts.access import GuardedTables
from hanok.parts.validation.service import Validation


@verb("apply", Access.EDIT, "long")
def apply(config: Config, home: Home, declaring: Declaring, *, dry_run: bool = False) -> Sequence[JsonObject]:
    """Record what the project file declares, and say what changes."""
    path = config.project or home.project()
    if path is None:
        raise DeclarationError("this directory has no project file; 'hanok init' writes one")
    project = load_project(path)
    if not project.models and not project.views and not project.services:
        raise DeclarationError(
            f"{path} declares neither a hk.Model nor a hk.FeatureView yet; add one, then apply again"
        )
    if dry_run:
        return [to_body(change) for change in declaring.told(project, declaring.plan(project))]
    home.note_project(path)
    return [to_body(change) for change in declaring.told(project, declaring.apply(project))]


@verb("ingest", Access.EDIT, "long", on_this_machine=True)
def ingest(
    validation: Validation,
    ingesting: Ingesting,
    bus: Bus,
    *,
    actor: str,
    table: str,
    path: Path,
    key: str = "",
    keys: Sequence[str] = (),
    event_time: str = "",
    arrived: str = "",
    slices: Sequence[str] = (),
    nulls: Sequence[str] | None = None,
    encoding: str = "",
) -> JsonObject:
    """Check a CSV, JSON lines or Parquet file and append it to a table; bad rows go to quarantine.

    Columns that the table has keep the text of the file and are read by the table's types; of others the type is
    guessed, and `notes` says what was guessed. `nulls` are the words that mean no value, beside an empty cell; they and
    the encoding are those of the table's first file where they are not given. The same file read otherwise is a batch
    of its own: rows that are in already are left out, and rows that were set aside are tried again.

    `arrived` names the column that says when each row became known, for history that is brought in afterwards; without
    it the rows are known from now on, and no earlier prediction or training row sees them. Of each value of the columns
    in `slices` statistics are kept apart, from this batch on.
    """
    schema = validation.schema(checked_name("table", table))
    said = Reading(None if nulls is None else tuple(nulls), encoding)
    options = _options(said, validation.readings.usual(table))
    columns = [c.name for c in schema.columns] if schema else []
    found = read(path, options, as_text=[*columns, *ingesting.as_text(table)], numbers=ingesting.numbers(table))
    rows = found.rows
    file, name = batch_names(path, options)
    name = key or name
    before = validation.batches.earlier(table, name)
    if before is not None and before.rows != rows.num_rows:
        raise Conflict(
            f"batch {name!r} of {table!r} is in already, with {before.rows} rows; this file has {rows.num_rows}. `key` "
            "names a batch, and the same key again has no effect: give another, or leave it out. Columns that identify "
            "a row are `keys`"
        )
    known = _arrivals(rows, arrived) if arrived else None
    again = validation.readings.earlier(table, file, name) if not key and before is None else ()
    result = ingesting.batch(
        table,
        rows,
        key=name,
        keys=tuple(keys),
        event_time=event_time,
        slices=tuple(slices),
        arrived=known,
        again=again,
        actor=actor,
    )
    if schema is None and said != Reading():
        validation.readings.keep(table, said)
    bus.settle()
    body = result.rows.as_dict() | {"repeated": before is not None, "notes": list(found.notes)}
    del body["statistics"]
    if result.labels:
        body["labels"] = [{n: v for n, v in told.as_dict().items() if n != "statistics"} for told in result.labels]
    return body


def _options(said: Reading, usual: Reading) -> Options:
    nulls = said.nulls if said.nulls is not None else usual.nulls
    return Options(NULLS if nulls is None else nulls, said.encoding or usual.encoding or Options().encoding)


def _arrivals(rows: pa.Table, column: str) -> pa.ChunkedArray:
    column = in_any_spelling(column, rows.column_names)
    if column not in rows.column_names:
        raise BadData(
            f"there is no column {column!r} to tell when rows arrived; there are {', '.join(rows.column_names)}"
        )
    made = bring(rows.column(column), "TIMESTAMP")
    if made.bad.any():
        raise BadData(f"column {column!r} {made.reason} ({made.first}); arrival is a time")
    if made.column.null_count:
        raise BadData(f"column {column!r} is null in {made.column.null_count} rows; every row arrived at some time")
    return made.column


@verb("label.add", Access.USE, "urgent", audited=True)
def add_label(
    labelling: Labelling,
    bus: Bus,
    *,
    actor: str,
    model: str,
    value: LabelValue,
    prediction: str = "",
    entity: Mapping[str, KeyValue] | None = None,
    key: str = "",
) -> JsonObject:
    """Tell what really happened, for a prediction id or for an entity. The same `key` again has no effect."""
    found = labelling.add(model, value, prediction=prediction, entity=entity, key=key, actor=actor)
    bus.settle()
    return to_body(found)


@verb("label.show", Access.READ, "read")
def show_labels(labelling: Labelling, *, model: str) -> JsonObject:
    """What became of a model's labels: answers that have one, and labels that do not count, with the reason."""
    return to_body(labelling.report(model))


@verb("table.list", Access.READ, "read")
def list_tables(tables: GuardedTables, validation: Validation) -> Sequence[JsonObject]:
    """All tables with their number of rows, kept and set aside, and those that count where rows were corrected;
    `damage` says why one cannot be read."""
    return [{"name": n, **sizes(tables, validation.kept, n).as_dict()} for n in tables.names() if "--" not in n]


@verb("table.show", Access.READ, "read")
def show_table(validation: Validation, tables: GuardedTables, *, name: str) -> JsonObject:
    """A table's schema, its last checks, and rows in quarantine."""
    schema = validation.schema(name)
    tables.scan(name)
    return {
        "name": name,
        "rows": tables.size(name),
        "schema": schema.as_dict() if schema else None,
        "checks": [
            {k: v for k, v in r.as_dict().items() if k != "statistics"} for r in validation.results(name, limit=10)
        ],
        "quarantine": [to_body(r) for r in validation.quarantined(name, limit=20)],
    }
