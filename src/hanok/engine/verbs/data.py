"""Verbs of data: apply a project, ingest, label, features."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from hanok.compute.schemas import normalised
from hanok.compute.statistics import column_type
from hanok.core.access import Access
from hanok.core.clock import utc
from hanok.core.errors import BadData, DeclarationError, Invalid
from hanok.core.json import JsonObject
from hanok.core.keys import KeyValue
from hanok.core.labels import LabelValue
from hanok.core.records import to_body
from hanok.engine.app import App
from hanok.engine.files import read_file
from hanok.engine.project import load_project
from hanok.engine.verbs.registry import verb


@verb("apply", Access.EDIT)
def apply(app: Any, actor: str, *, dry_run: bool = False) -> list[dict[str, Any]]:
    """Record what the project file declares, and say what changes."""
    path = app.config.project or app.home.project()
    if path is None:
        raise DeclarationError("this directory has no project file; 'hanok init' writes one")
    project = load_project(path)
    if not project.models and not project.views:
        raise DeclarationError(
            f"{path} declares neither a hk.Model nor a hk.FeatureView yet; add one, then apply again"
        )
    return list(app.declaring.plan(project) if dry_run else app.declaring.apply(project))


@verb("ingest", Access.EDIT, on_this_machine=True)
def ingest(
    app: Any,
    actor: str,
    *,
    table: str,
    path: str,
    key: str = "",
    keys: Sequence[str] = (),
    event_time: str = "",
    arrived: str = "",
    slices: Sequence[str] = (),
) -> dict[str, Any]:
    """Check a CSV or Parquet file and append it to a table; bad rows go to quarantine.

    `arrived` names the column that says when each row became known, for history that is brought in afterwards; without
    it the rows are known from now on, and no earlier prediction or training row sees them. Of each value of the columns
    in `slices` statistics are kept apart, from this batch on.
    """
    file = Path(path)
    rows = read_file(file)
    name = key or f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"
    before = app.validation.result(table, name)
    known = _arrivals(rows, arrived) if arrived else None
    result = app.ingesting.ingest(
        table,
        rows,
        key=name,
        keys=tuple(keys),
        event_time=event_time,
        slices=tuple(slices),
        arrived=known,
        actor=actor,
    )
    app.bus.drain()
    body = result.as_dict()
    del body["statistics"]
    return body | {"repeated": before is not None}


def _arrivals(rows: pa.Table, column: str) -> pa.ChunkedArray:
    if column not in rows.column_names:
        raise BadData(
            f"there is no column {column!r} to tell when rows arrived; there are {', '.join(rows.column_names)}"
        )
    if column_type(rows.schema.field(column).type) != "TIMESTAMP":
        raise BadData(f"column {column!r} is {rows.schema.field(column).type}; arrival is a time")
    instants = normalised(rows.select([column])).column(column)
    if instants.null_count:
        raise BadData(f"column {column!r} is null in {instants.null_count} rows; every row has arrived at some time")
    return instants


@verb("label.add", Access.USE)
def add_label(
    app: App,
    actor: str,
    *,
    model: str,
    value: LabelValue,
    prediction: str = "",
    entity: Mapping[str, KeyValue] | None = None,
    key: str = "",
) -> JsonObject:
    """Tell what really happened, for a prediction id or for an entity. The same `key` again has no effect."""
    found = app.labelling.add(model, value, prediction=prediction, entity=entity, key=key, actor=actor)
    app.bus.drain()
    return to_body(found)


@verb("label.show", Access.READ)
def show_labels(app: App, actor: str, *, model: str) -> JsonObject:
    """What became of a model's labels: answers that have one, and labels that do not count, with the reason."""
    return to_body(app.labelling.report(model))


def _typed(schema: Any, name: str, value: Any) -> Any:
    """A value from the command line in the type of its column."""
    from datetime import datetime

    column = schema.column(name) if schema else None
    if column is None or not isinstance(value, str):
        return value
    try:
        if column.type == "INT":
            return int(value)
        if column.type == "FLOAT":
            return float(value)
        if column.type == "BOOL":
            return value.lower() in ("1", "true", "yes")
        if column.type == "TIMESTAMP":
            return utc(datetime.fromisoformat(value))
    except ValueError:
        raise Invalid(f"{name} is {column.type} and {value!r} is not") from None
    return value


@verb("feature.list", Access.READ)
def list_features(app: Any, actor: str) -> list[dict[str, Any]]:
    """All feature views with their keys, features and number of online entities."""
    return [
        {
            "name": v.name,
            "keys": list(v.keys),
            "source": v.source.table,
            "features": list(v.feature_names),
            "entities_online": app.features.entities_online(v.name),
        }
        for v in app.features.views()
    ]


@verb("feature.show", Access.READ)
def show_feature(app: Any, actor: str, *, name: str, entity: Sequence[Any] = ()) -> dict[str, Any]:
    """A feature view; with an entity its values as they stand now."""
    from hanok.core.declare import as_dict

    view = app.features.view(name)
    body: dict[str, Any] = {"declaration": as_dict(view)}
    if entity:
        row = app.features.online(name, [entity])[0]
        body["online"] = {**asdict(row), "event_time": row.event_time and row.event_time.isoformat()}
    return body


@verb("feature.materialize", Access.EDIT)
def materialize(app: Any, actor: str, *, name: str) -> dict[str, Any]:
    """Rebuild a view's online values from its source."""
    return {"name": name, "entities": app.features.materialize(name)}


@verb("table.list", Access.READ)
def list_tables(app: Any, actor: str) -> list[dict[str, Any]]:
    """All tables with their number of rows, kept and set aside."""
    return [
        {"name": n, "rows": app.tables.size(n), "quarantined": app.tables.size("quarantine--" + n)}
        for n in app.tables.names()
        if "--" not in n
    ]


@verb("table.show", Access.READ)
def show_table(app: Any, actor: str, *, name: str) -> dict[str, Any]:
    """A table's schema, its last checks, and rows in quarantine."""
    schema = app.validation.schema(name)
    app.tables.scan(name)
    return {
        "name": name,
        "rows": app.tables.size(name),
        "schema": schema.as_dict() if schema else None,
        "checks": [
            {k: v for k, v in r.as_dict().items() if k != "statistics"} for r in app.validation.results(name, limit=10)
        ],
        "quarantine": app.validation.quarantined(name, limit=20),
    }
