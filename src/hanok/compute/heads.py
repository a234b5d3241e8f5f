"""The first rows of a table file, for a look at it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

CELL_MAX = 200


@dataclass(frozen=True, slots=True)
class Head:
    """`rows` is how many the file has, None where only its beginning was read. Cells are text."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    first: tuple[tuple[str, ...], ...]
    rows: int | None


def csv_head(text: str, *, rows: int, whole: bool) -> Head:
    """From the beginning of a CSV file; its last line is left out unless `text` is the `whole`. Raises ValueError."""
    lines = text if whole else text[: text.rfind("\n") + 1]
    sample = lines[:8192]
    delimiter = max(",;\t|", key=sample.split("\n", 1)[0].count)
    try:
        read = [row for row in csv.reader(io.StringIO(lines), delimiter=delimiter) if row]
    except csv.Error as error:
        raise ValueError(str(error)) from None
    if not read:
        return Head((), (), (), 0)
    columns, *others = read
    first = tuple(_fitted(row, len(columns)) for row in others[:rows])
    return Head(tuple(c[:CELL_MAX] for c in columns), (), first, len(others) if whole else None)


def parquet_head(source: BinaryIO, *, rows: int) -> Head:
    """From a seekable Parquet file; only the first row group is decoded. Raises ValueError for what is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(source)
        batch = next(file.iter_batches(batch_size=rows), None)
        read: Sequence[dict[str, Any]] = batch.to_pylist() if batch is not None else ()
    except (pa.ArrowException, OSError) as error:
        raise ValueError(str(error)) from None
    schema = file.schema_arrow
    first = tuple(tuple(_cell(row.get(name)) for name in schema.names) for row in read)
    return Head(tuple(schema.names), tuple(str(t) for t in schema.types), first, file.metadata.num_rows)


def _fitted(row: Sequence[str], width: int) -> tuple[str, ...]:
    return tuple(cell[:CELL_MAX] for cell in (*row, *("" for _ in range(width - len(row)))))


def _cell(value: Any) -> str:
    return "" if value is None else str(value)[:CELL_MAX]
