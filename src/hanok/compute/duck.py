"""DuckDB over table snapshots: connections in UTC, results as Arrow."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from hanok.core.errors import BadData, Corrupt
from hanok.core.tables import SEQUENCE, Overlay, Scan

Relation = Any  # a Scan, ParquetFiles, or a pyarrow Table; pyarrow is untyped


@dataclass(frozen=True, slots=True)
class ParquetFiles:
    """Files of one schema that are scanned where they lie, never read whole."""

    files: tuple[str, ...]
    schema: Any

    @classmethod
    def of(cls, *paths: str | Path) -> ParquetFiles:
        """Raises BadData when the first is no Parquet file."""
        from pyarrow import parquet as pq

        try:
            schema = pq.read_schema(paths[0])
        except (pa.ArrowInvalid, OSError) as error:
            raise BadData(f"{paths[0]} cannot be read: {str(error).splitlines()[0]}") from None
        return cls(tuple(str(p) for p in paths), schema)


def same_in_sql(kind: pa.DataType) -> bool:
    """Whether DuckDB reads a Parquet column of this Arrow type as Arrow does: a duration is a bare number to it."""
    is_ = pa.types
    if is_.is_nested(kind):
        return all(same_in_sql(kind.field(i).type) for i in range(kind.num_fields))
    if is_.is_dictionary(kind):
        return bool(is_.is_string(kind.value_type) or is_.is_large_string(kind.value_type))
    whole = is_.is_boolean(kind) or is_.is_integer(kind) or is_.is_float32(kind) or is_.is_float64(kind)
    text = is_.is_string(kind) or is_.is_large_string(kind) or is_.is_binary(kind) or is_.is_large_binary(kind)
    times = is_.is_timestamp(kind) or is_.is_date32(kind) or is_.is_time(kind)
    return bool(whole or text or times or is_.is_decimal128(kind))


@contextmanager
def connect(relations: Mapping[str, Relation] | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection set to UTC in which each relation is a view of its name.

    Views are temporary, so connections do not see each other's. Raises Corrupt, with the file, when one of a table
    cannot be read.
    """
    connection = cursor()
    try:
        for name, relation in (relations or {}).items():
            add(connection, name, relation)
        yield connection
    except duckdb.Error as error:
        if isinstance(error, duckdb.FatalException | duckdb.InternalException):
            _database.cache_clear()  # DuckDB answers nothing more in a database in which this happened
        refuse_damaged((relations or {}).values(), error)
        raise
    finally:
        connection.close()


def cursor() -> duckdb.DuckDBPyConnection:
    """A connection as `connect` gives it, to be closed by the caller."""
    connection = _database().cursor()
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def refuse_damaged(relations: Iterable[Relation], error: duckdb.Error) -> None:
    """Raises Corrupt where a file of a table is why a query failed."""
    if isinstance(error, duckdb.ProgrammingError) and not isinstance(error, duckdb.InvalidInputException):
        return
    named = re.findall(r"""['"]([^'"]+/tables/[^'"]+\.parquet)""", str(error))
    for path in map(Path, [*named, *(f for r in relations if isinstance(r, Scan) for f in r.files)]):
        if why := unreadable(path):
            table = path.parent.parent.name
            raise Corrupt(
                f"{path.name} of table {table!r} is damaged: {why}. The rest of the home can be read; 'hanok doctor' "
                "says which rows it holds and what to do",
                table=table,
                file=str(path),
            ) from error


def unreadable(path: str | Path) -> str:
    """Why a Parquet file cannot be read to its end; "" when it can."""
    from pyarrow import parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                file.read_row_group(group).validate(full=True)  # texts that are no UTF-8 too
    except FileNotFoundError:
        return "it is not there"
    except (OSError, ValueError, pa.ArrowException) as error:
        return str(error).splitlines()[0][:200] or type(error).__name__
    return ""


def numbered(relation: Relation) -> str:
    """A SELECT of the view `data` with each row's position as `_row`. One Parquet file knows its positions itself, so a
    filter reads only what it needs."""
    if isinstance(relation, ParquetFiles) and len(relation.files) == 1:
        file = literal(relation.files[0])
        source = f"read_parquet({file}, file_row_number = true)"
        return f"SELECT * EXCLUDE file_row_number, file_row_number AS _row FROM {source}"
    return "SELECT *, row_number() OVER () - 1 AS _row FROM data"


@contextmanager
def closed(
    relations: Mapping[str, Relation], settings: Mapping[str, str] | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database of its own for SQL that a user wrote: it reads the given relations and no other file, host or
    variable of this process."""
    connection = duckdb.connect(":memory:")
    try:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET python_enable_replacements = false")
        for name, value in (settings or {}).items():
            connection.execute(f"SET {name} = {literal(value)}")
        files = [f for r in relations.values() if isinstance(r, Scan | ParquetFiles) for f in r.files]
        if files:
            connection.execute(f"SET allowed_paths = [{', '.join(literal(f) for f in files)}]")
        connection.execute("SET enable_external_access = false")
        for name, relation in relations.items():
            add(connection, name, relation)
        connection.execute("SET lock_configuration = true")
        yield connection
    except duckdb.Error as error:
        refuse_damaged(relations.values(), error)
        raise
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
    if isinstance(relation, ParquetFiles):
        files = ", ".join(literal(path) for path in relation.files)
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {quoted(name)} AS SELECT * FROM read_parquet([{files}])")
        return
    if not isinstance(relation, Scan):
        connection.register(name, relation)
        return
    parts, told = [], set(relation.tail.column_names if relation.tail is not None else ())
    if relation.files:
        files = ", ".join(literal(path) for path in relation.files)
        each = [columns_of(path) for path in relation.files]
        alike = each[0] is not None and all(names == each[0] for names in each)
        parts.append(f"SELECT * FROM read_parquet([{files}]{'' if alike else ', union_by_name = true'})")
        told.update(*(names if names is not None else relation.schema.names for names in each))
    if relation.tail is not None:
        connection.register(f"{name}__tail", relation.tail)
        parts.append(f"SELECT * FROM {quoted(name + '__tail')}")
    if parts and not told.issuperset(relation.schema.names):  # columns that no row of these has
        connection.register(f"{name}__shape", relation.schema.empty_table())
        parts.append(f"SELECT * FROM {quoted(name + '__shape')}")
    if not parts:
        connection.register(name, relation.schema.empty_table())
        return
    union = " UNION ALL BY NAME ".join(parts)
    chosen = "" if relation.overlay is None else _newest(relation.overlay)
    connection.execute(
        f"CREATE OR REPLACE TEMP VIEW {quoted(name)} AS "
        f"SELECT * FROM ({union}) WHERE {SEQUENCE} < {int(relation.upto)} {chosen}"
    )


@lru_cache(maxsize=1 << 14)
def columns_of(path: str) -> tuple[str, ...] | None:
    """The columns of a Parquet file of a table, which never changes; None where it cannot be read. Reading many files
    as one is twice the work for DuckDB where it has to ask each for its columns."""
    from pyarrow import parquet as pq

    try:
        return tuple(pq.read_schema(path).names)
    except (OSError, ValueError, pa.ArrowException):
        return None


def within(relation: Relation, column: str, low: Any, high: Any) -> Relation:
    """A relation without those of its files that hold nothing of a column (texts, whole numbers, instants) between
    `low` and `high`: what is asked of the rows has to say so again."""
    if not isinstance(relation, Scan) or (relation.overlay and column not in relation.overlay.row_key):
        return relation  # the newest form of a row may lie in any file
    files = tuple(path for path in relation.files if _may_hold(ends_of(path, column), low, high))
    return relation if files == relation.files else replace(relation, files=files)


def _may_hold(ends: tuple[Any, Any] | None, low: Any, high: Any) -> bool:
    if ends is None:
        return True
    if isinstance(low, datetime) and isinstance(ends[0], datetime):  # one without a zone is UTC
        ends = ends[0].replace(tzinfo=UTC), ends[1].replace(tzinfo=UTC)
    return type(ends[0]) is not type(low) or bool(ends[0] <= high and low <= ends[1])


@lru_cache(maxsize=1 << 14)
def ends_of(path: str, column: str) -> tuple[Any, Any] | None:
    """The least and the greatest value of a column of a table's Parquet file, which never changes, as far as the file
    says so: they may lie further apart than the values do. None where it does not."""
    from pyarrow import parquet as pq

    try:
        told = pq.read_metadata(path)
        place = next(i for i in range(told.num_columns) if told.schema.column(i).path == column)
        parts = [told.row_group(i).column(place).statistics for i in range(told.num_row_groups)]
        if not parts or not all(part is not None and part.has_min_max for part in parts):
            return None
        return min(part.min for part in parts), max(part.max for part in parts)
    except (OSError, ValueError, OverflowError, StopIteration, pa.ArrowException):
        return None


def _newest(overlay: Overlay) -> str:
    return f"QUALIFY row_number() OVER (PARTITION BY {one_row(overlay.row_key)} ORDER BY {SEQUENCE} DESC) = 1"


def one_row(row_key: Sequence[str], of: str = "", written: str = SEQUENCE) -> str:
    """What the forms of a row have in common, as SQL to partition or group by: its `row_key`, and of a row that lacks a
    part of it the number `written` that it alone has. `of` is the relation's name, with a dot."""
    return f"{', '.join(of + quoted(n) for n in row_key)}, {_alone(row_key, of, written)}"


def same_row(one: str, other: str, row_key: Sequence[str]) -> str:
    """Whether rows of two relations are forms of one row, as SQL to join by."""
    pairs = [(f"{one}.{quoted(n)}", f"{other}.{quoted(n)}") for n in row_key]
    pairs.append((_alone(row_key, f"{one}."), _alone(row_key, f"{other}.")))
    return " AND ".join(f"{a} IS NOT DISTINCT FROM {b}" for a, b in pairs)


def _alone(row_key: Sequence[str], of: str, written: str = SEQUENCE) -> str:
    return f"CASE WHEN {' OR '.join(f'{of}{quoted(n)} IS NULL' for n in row_key)} THEN {of}{written} END"


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
