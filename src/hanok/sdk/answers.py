"""Answers in bulk as files: the parts put together as Parquet, CSV or JSON lines, whatever types their columns have.

A value that a form has no words for is written as text: JSON of what is nested, bytes with those escaped that are no
UTF-8, ISO 8601 of instants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def storable(answers: pa.Table) -> pa.Table:
    """The table with the columns that Parquet has no type for as text."""

    for place, field in enumerate(answers.schema):
        column = answers.column(place)
        if _is_usual(field.type) or _is_stored(column):
            continue
        column = _plain(column)
        answers = answers.set_column(place, field.name, column if _is_stored(column) else texts(column))
    return answers


def _is_stored(column: pa.ChunkedArray) -> bool:
    """Whether Parquet takes this column, and gives it back."""
    import pyarrow as pa
    from pyarrow import parquet as pq

    sink = pa.BufferOutputStream()
    try:
        pq.write_table(pa.table({"column": column}), sink)
        pq.read_table(sink.getvalue())
    except (pa.ArrowException, NotImplementedError, ValueError):
        return False
    return True


def _is_usual(kind: pa.DataType) -> bool:
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_integer(kind) or types.is_float64(kind) or types.is_boolean(kind))


def _tables(paths: Sequence[Path]) -> tuple[pa.Schema, Iterator[pa.Table]]:
    """The parts under one schema: a column that is whole in one part and not in another is not, and one that is text in
    one is text in all."""
    import pyarrow as pa
    from pyarrow import parquet as pq

    schemas = [pq.read_schema(p).remove_metadata() for p in paths]
    names = list(dict.fromkeys(n for s in schemas for n in s.names))
    names = ["row", *[n for n in names if n not in ("row", "error")], "error"]
    schema = pa.schema([_one_type(n, [s.field(n) for s in schemas if n in s.names]) for n in names])
    return schema, (_as_one(pq.read_table(p), schema) for p in paths)


def _one_type(name: str, fields: Sequence[pa.Field]) -> pa.Field:
    import pyarrow as pa

    try:
        return pa.unify_schemas([pa.schema([f]) for f in fields], promote_options="permissive").field(0)
    except (pa.ArrowTypeError, pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.field(name, pa.string())


def _as_one(table: pa.Table, schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    columns = []
    for field in schema:
        if field.name not in table.column_names:
            columns.append(pa.chunked_array([pa.nulls(table.num_rows, field.type)]))
            continue
        column = table.column(field.name)
        if column.type != field.type:
            try:
                column = column.cast(field.type)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                column = texts(column).cast(field.type)
        columns.append(column)
    return pa.table(columns, schema=schema)


def write_parquet(new: Path, paths: Sequence[Path]) -> None:
    from pyarrow import parquet as pq

    schema, tables = _tables(paths)
    with pq.ParquetWriter(new, schema, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table)


def write_csv(new: Path, paths: Sequence[Path]) -> None:
    import pyarrow as pa
    from pyarrow import csv

    schema, tables = _tables(paths)
    odd = [i for i, field in enumerate(schema) if not _is_written(field.type)]
    for i in odd:
        schema = schema.set(i, pa.field(schema.names[i], pa.string()))
    with csv.CSVWriter(new, schema) as writer:
        for table in tables:
            for i in odd:
                table = table.set_column(i, schema.names[i], texts(table.column(i)))
            writer.write_table(table)


def _is_written(kind: pa.DataType) -> bool:
    """Whether Arrow writes columns of this type as CSV, in words that are read again."""
    from pyarrow import types

    return _is_usual(kind) or bool(
        types.is_floating(kind)
        or types.is_null(kind)
        or types.is_large_string(kind)
        or types.is_date(kind)
        or types.is_decimal(kind)
    )


def write_json_lines(new: Path, paths: Sequence[Path]) -> None:
    import orjson

    with new.open("wb") as file:
        for table in _tables(paths)[1]:
            columns = [_listed(c) for c in table.columns]
            rows = (dict(zip(table.column_names, row, strict=True)) for row in zip(*columns, strict=True))
            file.writelines(orjson.dumps(row, default=_said, option=orjson.OPT_APPEND_NEWLINE) for row in rows)


WRITERS: Mapping[str, Callable[[Path, Sequence[Path]], None]] = {
    ".parquet": write_parquet,
    ".csv": write_csv,
    ".jsonl": write_json_lines,
}


def texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Each value as text."""
    import orjson
    import pyarrow as pa

    column, types = _plain(column), pa.types
    if not types.is_nested(column.type) and not types.is_binary(column.type):
        try:
            return column.cast(pa.string())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            pass
    said = [v if v is None or isinstance(v, str) else orjson.dumps(v, default=_said).decode() for v in _listed(column)]
    return pa.chunked_array([pa.array(said, pa.string())])


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """What lies beneath dictionaries, run lengths, extensions and views; what only Arrow knows as text."""
    import pyarrow as pa

    from hanok.compute.values import unwrapped

    if pa.types.is_duration(column.type):
        return column
    if not pa.types.is_dictionary(column.type) or not pa.types.is_nested(column.type.value_type):
        column = unwrapped(column)
    if pa.types.is_interval(column.type) or pa.types.is_union(column.type):
        return pa.chunked_array([pa.array([_value(v) for v in column], pa.string())])
    return column


def _listed(column: pa.ChunkedArray) -> list[object]:
    """The values for JSON; those that Python or JSON have no value for as text."""
    import pyarrow as pa

    column = _plain(column)
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = _cut(column)
    try:
        values: list[object] = column.to_pylist()
    except (ValueError, OverflowError, KeyError, NotImplementedError, pa.ArrowException):  # KeyError: no such zone
        values = [_value(v) for v in column]
    return [_said(v) if isinstance(v, bytes) else v for v in values]


def _cut(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Instants of nanoseconds in microseconds, where that is all that they have, else as text."""
    import pyarrow as pa

    try:
        return column.cast(pa.timestamp("us", column.type.tz))
    except pa.ArrowInvalid:
        return column.cast(pa.timestamp("ns")).cast(pa.string())


def _value(value: pa.Scalar) -> str | None:
    """One value as text, whatever it is."""
    import orjson
    import pyarrow as pa

    if not value.is_valid:
        return None
    try:
        held = value.as_py()
        return str(held) if not isinstance(held, dict | list) else orjson.dumps(held, default=_said).decode()
    except UnicodeDecodeError:
        return bytes(value.as_buffer()).decode(errors="backslashreplace")
    except (ValueError, OverflowError, KeyError, TypeError, NotImplementedError):
        pass
    try:
        return str(value.cast(pa.string()).as_py())
    except (pa.ArrowException, ValueError, KeyError):
        return " ".join(str(pa.array([value])).split())


def _said(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return str(value)
