"""Reading a user's file as a table, with errors that name the place."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from pyarrow import csv
from pyarrow import parquet as pq

from hanok.core.errors import BadData

NULLS = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"]
LINES_SHOWN = 3
UTF16 = (b"\xff\xfe", b"\xfe\xff")


def read_file(path: Path) -> pa.Table:
    """A CSV (UTF-8; comma, semicolon or tab) or Parquet file. Raises BadData."""
    if not path.exists():
        raise BadData(f"there is no file {path}")
    if path.stat().st_size == 0:
        raise BadData(f"{path} is empty")
    try:
        rows = pq.read_table(path) if path.suffix.lower() in (".parquet", ".pq") else _read_csv(path)
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError) as error:
        raise BadData(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    if twice := sorted({n for n in rows.column_names if rows.column_names.count(n) > 1}):
        raise BadData(
            f"{path} has the column {twice[0]!r} {rows.column_names.count(twice[0])} times: rename all but one"
        )
    if blank := [i + 1 for i, name in enumerate(rows.column_names) if not name.strip()]:
        raise BadData(f"column {blank[0]} of {path} has no name: give it one in the header, or remove it")
    return rows


def _read_csv(path: Path) -> pa.Table:
    with path.open("rb") as file:
        head = file.readline(1 << 16)
    if head.startswith(UTF16):
        raise BadData(f"{path} is UTF-16: convert it, for instance with 'iconv -f utf-16 -t utf-8'")
    delimiter = max([",", ";", "\t"], key=head.decode("utf-8", errors="replace").count)
    bad: list[csv.InvalidRow] = []

    def note(row: csv.InvalidRow) -> str:
        bad.append(row)
        return "skip"

    rows = csv.read_csv(
        path,
        read_options=csv.ReadOptions(use_threads=False),  # so that bad lines have their numbers
        parse_options=csv.ParseOptions(delimiter=delimiter, invalid_row_handler=note),
        convert_options=csv.ConvertOptions(null_values=NULLS, strings_can_be_null=True),
    )
    if bad:
        first = bad[0]
        others = f", and {len(bad) - 1} more lines like it" if len(bad) > 1 else ""
        raise BadData(
            f"line {first.number} of {path} has {first.actual_columns} values and the header {first.expected_columns}"
            f"{others}: mend them; values with a {delimiter!r} inside belong in quotes. It reads {first.text[:80]!r}"
        )
    if raw := [f.name for f in rows.schema if pa.types.is_binary(f.type)]:
        raise BadData(
            f"column {raw[0]!r} of {path} is not UTF-8 text: convert the file, for instance with "
            "'iconv -f latin1 -t utf-8'"
        )
    return rows
