"""The one reader of a user's files: any of the usual forms as a table, with errors that name the place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from pathlib import Path

import orjson
import pyarrow as pa
from pyarrow import parquet as pq

from hanok.compute.guesses import guessed
from hanok.core.errors import BadData
from hanok.core.json import Json
from hanok.core.names import checked_columns, folded
from hanok.engine.delimited import NULLS, Options, Read, open_bytes, read_delimited

IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff")
ARROW_FILE, PARQUET, ZIP = b"ARROW1", b"PAR1", b"PK\x03\x04"

__all__ = ["NULLS", "Options", "Read", "batch_names", "read", "read_file", "read_images", "with_images"]


def read_file(path: Path) -> pa.Table:
    """A text file with delimiters, JSON lines, Parquet or Arrow, or a folder of images as their descriptors. Raises
    BadData."""
    return read(path).rows


def batch_names(path: Path, options: Options) -> tuple[str, str]:
    """The name of a file by its content, and of the batch that it is when it is read so: the same where it is read as
    files are without a word."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    digest = hashlib.sha256()
    for file in files:
        digest.update(
            file.read_bytes() if file == path else file.name.encode() + hashlib.sha256(file.read_bytes()).digest()
        )
    named = f"{path.name} {digest.hexdigest()[:12]}"
    if tuple(options.nulls) == NULLS and options.encoding == Options().encoding:
        return named, named
    return named, f"{named} {hashlib.sha256(repr((sorted(options.nulls), options.encoding)).encode()).hexdigest()[:6]}"


def read(
    path: Path, options: Options | None = None, *, as_text: Collection[str] = (), numbers: Collection[str] = ()
) -> Read:
    """The rows of a file, and what was guessed. Columns of a text file that are named in `as_text` stay text; those in
    `numbers` are known to be numbers, and a decimal comma is read cell by cell. Raises BadData."""
    if not path.exists():
        raise BadData(f"there is no file {path}")
    if path.is_dir():
        return Read(_read_folder(path))
    if path.stat().st_size == 0:
        raise BadData(f"{path} is empty")
    with path.open("rb") as file:
        head = file.read(8)
    suffix = path.suffix.lower()
    try:
        if head.startswith(PARQUET) or suffix in (".parquet", ".pq"):
            made = Read(pq.read_table(path))
        elif head.startswith(ARROW_FILE):
            made = Read(pa.ipc.open_file(str(path)).read_all())
        elif head.startswith(ZIP) or suffix in (".xls", ".xlsx"):
            raise BadData(f"{path} is a workbook or an archive, not a CSV or Parquet file: save its rows as CSV")
        elif (body := open_bytes(path, 64).lstrip()).startswith(b"{") or (
            body.startswith(b"[") and suffix in (".json", ".jsonl", ".ndjson")
        ):
            made = _read_json(path, as_text, numbers)
        else:
            return read_delimited(path, options or Options(), as_text, numbers)
    except (pa.ArrowInvalid, pa.ArrowKeyError, pa.ArrowNotImplementedError, OSError) as error:
        raise BadData(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    checked_columns(str(path), made.rows.column_names)
    return made


def _read_json(path: Path, as_text: Collection[str], numbers: Collection[str]) -> Read:
    """Objects, one a line or in one list. Numbers are numbers and texts are texts; times in ISO form are times. A
    column that is named in `as_text` or `numbers` and holds what is of no one type is text, for the table to read."""
    raw = open_bytes(path)
    rows: list[dict[str, Json]] = []
    whole = raw.lstrip().startswith(b"[")
    for number, piece in enumerate([raw] if whole else raw.splitlines(), 1):
        try:
            rows += (orjson.loads(piece) if whole else [orjson.loads(piece)]) if piece.strip() else []
        except orjson.JSONDecodeError as error:
            line = error.lineno if whole else number
            raise BadData(f"line {line} of {path} is not JSON: {error}") from None
    if wrong := [i for i, row in enumerate(rows, 1) if not isinstance(row, dict)]:
        raise BadData(f'entry {wrong[0]} of {path} is not an object like {{"column": value}}')
    kept, known = ({folded(n) for n in some} for some in (as_text, numbers))
    columns = {}
    for name in dict.fromkeys(n for row in rows for n in row):
        values = [row.get(name) for row in rows]
        try:
            made = of_json(path, name, values)
        except BadData:
            nested = any(_kind(v) == "other" for v in values if v is not None)  # would pass for a text
            if folded(name) not in known and (nested or folded(name) not in kept):
                raise
            made = pa.chunked_array([pa.array([_spelt(v) for v in values], pa.string())])
        if pa.types.is_string(made.type) and folded(name) not in kept:
            typed, _ = guessed(made)
            made = typed if pa.types.is_timestamp(typed.type) else made
        columns[name] = made
    return Read(pa.table(columns))


def _kind(value: Json) -> str:
    if isinstance(value, bool | str):
        return "truth" if isinstance(value, bool) else "text"
    return "number" if isinstance(value, int | float) else "other"


def _spelt(value: Json) -> str | None:
    """A value as a text file would have it: 2 and "2" are one."""
    return value if value is None or isinstance(value, str) else json.dumps(value)


def of_json(path: Path, name: str, values: Sequence[Json]) -> pa.ChunkedArray:
    kinds = {_kind(v) for v in values if v is not None}
    if len(kinds) > 1:
        raise BadData(f"column {name!r} of {path} holds {' and '.join(sorted(kinds))} values: make them one type")
    if kinds == {"number"} and any(isinstance(v, float) for v in values):
        wide = next((v for v in values if isinstance(v, int) and int(float(v)) != v), None)
        if wide is not None:
            raise BadData(f"column {name!r} of {path} holds decimals and {wide}, which is not exact beside them")
        values = [None if v is None else float(v) for v in values]  # type: ignore[arg-type]
    try:
        return pa.chunked_array([pa.array(values)])
    except (OverflowError, pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise BadData(f"column {name!r} of {path} cannot be kept: {error}") from None


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
