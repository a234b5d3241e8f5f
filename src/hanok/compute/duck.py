"""DuckDB over table snapshots: connections in UTC, results as Arrow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import duckdb
import pyarrow as pa

from hanok.core.tables import SEQUENCE, Scan

Relation = Any  # a Scan or a pyarrow Table; pyarrow is untyped


def connect(relations: Mapping[str, Relation] | None = None) -> duckdb.DuckDBPyConnection:
    """A connection set to UTC in which each relation is a view of its name. Close it, or use it in a `with`.

    Views are temporary, so connections do not see each other's.
    """
    connection = _database().cursor()
    connection.execute("SET TimeZone = 'UTC'")
    for name, relation in (relations or {}).items():
        add(connection, name, relation)
    return connection


@contextmanager
def closed(relations: Mapping[str, Relation]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database of its own for SQL that a user wrote: it reads the given relations and no other file or host."""
    connection = duckdb.connect(":memory:")
    try:
        connection.execute("SET TimeZone = 'UTC'")
        files = [f for r in relations.values() if isinstance(r, Scan) for f in r.files]
        if files:
            connection.execute(f"SET allowed_paths = [{', '.join(literal(f) for f in files)}]")
        connection.execute("SET enable_external_access = false")
        for name, relation in relations.items():
            add(connection, name, relation)
        connection.execute("SET lock_configuration = true")
        yield connection
    finally:
        connection.close()


@cache
def _database() -> duckdb.DuckDBPyConnection:
    """The process's in-memory database: opening one costs more than most queries here.

    Extensions are neither installed nor loaded on demand: nothing here reaches another host.
    """
    config: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    return duckdb.connect(":memory:", config=config)


def add(connection: duckdb.DuckDBPyConnection, name: str, relation: Relation) -> None:
    """Make `relation` a view called `name`."""
    if not isinstance(relation, Scan):
        connection.register(name, relation)
        return
    parts = []
    if relation.files:
        files = ", ".join(literal(path) for path in relation.files)
        parts.append(f"SELECT * FROM read_parquet([{files}], union_by_name = true)")
    if relation.tail is not None:
        connection.register(f"{name}__tail", relation.tail)
        parts.append(f"SELECT * FROM {quoted(name + '__tail')}")
    if not parts:
        connection.register(name, relation.schema.empty_table())
        return
    union = " UNION ALL BY NAME ".join(parts)
    connection.execute(
        f"CREATE OR REPLACE TEMP VIEW {quoted(name)} AS SELECT * FROM ({union}) WHERE {SEQUENCE} < {int(relation.upto)}"
    )


def quoted(name: str) -> str:
    """`name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """`text` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def arrow(connection: duckdb.DuckDBPyConnection, query: str, values: Sequence[Any] = ()) -> pa.Table:
    """The result of `query` as one Arrow table; `values` fill its question marks."""
    return connection.sql(query, params=list(values) or None).to_arrow_table()


def read(relation: Relation, columns: list[str] | None = None, where: str = "") -> pa.Table:
    """Rows of a snapshot in order of their number, with the columns asked for."""
    chosen = ", ".join(quoted(c) for c in columns) if columns else "*"
    with connect({"relation": relation}) as connection:
        order = f"ORDER BY {SEQUENCE}" if isinstance(relation, Scan) else ""
        return arrow(connection, f"SELECT {chosen} FROM relation {'WHERE ' + where if where else ''} {order}")
