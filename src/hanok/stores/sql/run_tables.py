"""Runs and what they logged as Arrow tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from sqlalchemy import Connection, text

from hanok.stores.sql.tracking_experiments import as_key

_AT = pa.timestamp("us", tz="UTC")
_MS = pa.timestamp("ms", tz="UTC")
_POINT = "r.id, k.name, CASE WHEN p.nan = 1 THEN NULL ELSE p.value END, p.step, p.timestamp_ms, p.nan"
_QUERIES: dict[str, tuple[str, list[tuple[str, Any]]]] = {
    "experiments": (
        "SELECT CAST(r.key AS TEXT), r.name, r.lifecycle, r.created, r.updated, r.tags FROM experiment r "
        "WHERE {mine} ORDER BY r.key",
        [
            ("experiment_id", pa.string()),
            ("name", pa.string()),
            ("lifecycle", pa.string()),
            ("created", _AT),
            ("updated", _AT),
            ("tags", pa.string()),
        ],
    ),
    "runs": (
        "SELECT r.id, CAST(r.experiment AS TEXT), e.name, r.name, r.status, r.lifecycle, r.user_name, r.started, "
        "r.ended, r.artifact_uri FROM run r JOIN experiment e ON e.key = r.experiment WHERE {mine} "
        "ORDER BY r.started DESC, r.id",
        [
            ("run_id", pa.string()),
            ("experiment_id", pa.string()),
            ("experiment", pa.string()),
            ("name", pa.string()),
            ("status", pa.string()),
            ("lifecycle", pa.string()),
            ("user_name", pa.string()),
            ("started", _AT),
            ("ended", _AT),
            ("artifact_uri", pa.string()),
        ],
    ),
    **{
        name: (
            f"SELECT r.id, p.key, p.value FROM run r JOIN {table} p ON p.run = r.key WHERE {{mine}} ORDER BY r.key, 2",
            [("run_id", pa.string()), ("key", pa.string()), ("value", pa.string())],
        )
        for name, table in (("params", "run_param"), ("tags", "run_tag"))
    },
    **{
        name: (
            f"SELECT {_POINT} FROM run r JOIN {table} p ON p.run = r.key JOIN metric_key k ON k.key = p.key "
            "WHERE {mine} ORDER BY r.key, k.name, p.step, p.timestamp_ms, p.value",
            [
                ("run_id", pa.string()),
                ("key", pa.string()),
                ("value", pa.float64()),
                ("step", pa.int64()),
                ("timestamp", _MS),
                ("nan", pa.int8()),
            ],
        )
        for name, table in (("metrics", "metric_latest"), ("history", "metric_point"))
    },
}
BATCH_ROWS = 65_536


class SqlRunTables:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def table(self, name: str, experiment_ids: Sequence[str] | None = None) -> pa.Table:
        statement, columns = _QUERIES[name]
        bound: dict[str, Any] = {}
        mine = "1 = 1"
        if experiment_ids is not None:
            keys = [key for key in map(as_key, experiment_ids) if key is not None]
            bound = {f"e{i}": key for i, key in enumerate(keys)}
            column = "r.key" if name == "experiments" else "r.experiment"
            mine = f"{column} IN ({', '.join(f':{key}' for key in bound) or 'NULL'})"
        schema = pa.schema(columns)
        found = self._c.execute(text(statement.format(mine=mine)), bound)
        batches = []
        while rows := found.fetchmany(BATCH_ROWS):
            filled = zip(zip(*rows, strict=True), columns, strict=True)
            arrays = [pa.array(values, kind) for values, (_, kind) in filled]
            batches.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
        return _with_nan(pa.Table.from_batches(batches, schema))


def _with_nan(table: pa.Table) -> pa.Table:
    """NaN, which stands as a mark in the database, as the number that it is."""
    if "nan" not in table.column_names:
        return table
    from pyarrow import compute as pc

    value = pc.if_else(pc.equal(table.column("nan"), 1), float("nan"), table.column("value"))
    return table.set_column(table.column_names.index("value"), "value", value).drop_columns(["nan"])
