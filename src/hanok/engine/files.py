"""Reading a user's file as a table, with errors that name the place."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from pyarrow import csv
from pyarrow import parquet as pq

from hanok.core.errors import BadData

NULLS = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"]


def read_file(path: Path) -> pa.Table:
    """A CSV (comma, semicolon or tab) or Parquet file. Raises BadData."""
    if not path.exists():
        raise BadData(f"there is no file {path}")
    if path.stat().st_size == 0:
        raise BadData(f"{path} is empty")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return pq.read_table(path)
        return csv.read_csv(
            path,
            parse_options=csv.ParseOptions(delimiter=_delimiter(path)),
            convert_options=csv.ConvertOptions(null_values=NULLS, strings_can_be_null=True),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError) as error:
        raise BadData(f"{path} cannot be read: {str(error).splitlines()[0]}") from error


def _delimiter(path: Path) -> str:
    with path.open("rb") as file:
        head = file.readline(1 << 16).decode("utf-8", errors="replace")
    return max([",", ";", "\t"], key=head.count)
