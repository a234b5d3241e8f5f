"""Reading a user's file as a table, with errors that name the place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import csv
from pyarrow import parquet as pq

from hanok.core.errors import BadData

NULLS = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"]
IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff")
LINES_SHOWN = 3
UTF16 = (b"\xff\xfe", b"\xfe\xff")


def read_file(path: Path) -> pa.Table:
    """A CSV (UTF-8; comma, semicolon or tab) or Parquet file, or a folder of images as their descriptors. Raises
    BadData."""
    if not path.exists():
        raise BadData(f"there is no file {path}")
    if path.is_dir():
        return _read_folder(path)
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


def read_images(paths: Sequence[str | None], folder: Path) -> pa.Table:
    """The descriptors of image files, which may lie beside `folder`; a file that is not there has no descriptors."""
    from hanok.compute.descriptors import describe_images

    files = [None if p is None else folder / p for p in paths]
    return describe_images([f.read_bytes() if f is not None and f.is_file() else None for f in files])


def with_images(rows: pa.Table, column: str, folder: Path) -> pa.Table:
    """The table with the descriptors of the images that `column` names, as columns like `COLUMN.brightness`."""
    if column not in rows.column_names:
        raise BadData(f"there is no column {column!r}; there are {', '.join(rows.column_names[:20])}")
    kind = rows.schema.field(column).type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise BadData(f"{column!r} is {kind}, not paths of images")
    found = read_images(rows.column(column).to_pylist(), folder)
    for name, values in zip(found.column_names, found.columns, strict=True):
        rows = rows.append_column(f"{column}.{name}", values)
    return rows


def _read_folder(path: Path) -> pa.Table:
    names = sorted(str(f.relative_to(path)) for f in path.rglob("*") if f.suffix.lower() in IMAGES)
    if not names:
        raise BadData(f"{path} is a folder without images ({', '.join(IMAGES)})")
    made = read_images(names, path)
    return made.add_column(0, "file", pa.array(names))


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
        row, value = _not_utf8(rows.column(raw[0]))
        raise BadData(
            f"column {raw[0]!r} of {path} is not UTF-8 text, first in row {row} ({value!r}): convert the file, for "
            "instance with 'iconv -f latin1 -t utf-8'"
        )
    return rows


def _not_utf8(column: pa.ChunkedArray) -> tuple[int, bytes]:
    """The first value that is not, and its row after the header, from 1."""
    for number, value in enumerate(column.to_pylist(), 1):
        try:
            (value or b"").decode()
        except UnicodeDecodeError:
            return number, value[:40]
    return 0, b""
