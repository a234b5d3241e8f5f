"""A user's rows read in pieces, in bounded memory: files of any form, folders of Parquet, Delta tables."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO

import orjson
import pyarrow as pa
from pyarrow import csv
from pyarrow import parquet as pq

from hanok.compute.guesses import by_cell
from hanok.core.errors import BadData, SignatureMismatch, words
from hanok.core.json import Json
from hanok.core.names import checked_columns, folded
from hanok.engine.delimited import COMPRESSED, HEAD_BYTES, MARK, UNNAMED, Options, Text, looked_at, open_bytes
from hanok.engine.files import ARROW_FILE, PARQUET, of_json
from hanok.stores.delta.foreign import open_delta
from hanok.wire.inference import strict
from hanok.wire.inference.cells import EXACT
from hanok.wire.inference.columns import CELLS

BLOCK_BYTES = 4 << 20
LINES_AT_ONCE = 20_000
Batches = Iterator[pa.RecordBatch]
Reader = Callable[[Sequence[str], int], Batches]


@dataclass(frozen=True, slots=True)
class Source:
    """Rows that can be read again and again: `digest` tells whether they are still the same."""

    name: str
    digest: str
    columns: tuple[str, ...]
    rows: int
    batches: Reader
    typed: bool = True  # False: all of it is text, which may stand for numbers

    def pieces(self, columns: Sequence[str], rows: int) -> Iterator[pa.Table]:
        """Tables of exactly so many rows, the last of what is left."""
        return in_pieces(self.batches(columns, rows), rows)


def open_source(path: Path, options: Options | None = None, numbers: Collection[str] = ()) -> Source:
    """Looks at all of a text file once, so that a line that cannot be read is known before anything is made of the
    others. Of columns known to be `numbers` a decimal comma between semicolons is read. Raises BadData.
    """
    if not path.exists():
        raise BadData(f"there is no file {path}")
    try:
        source = _opened(path, options or Options(), numbers)
        if twice := [n for n in source.columns if source.columns.count(n) > 1]:
            raise BadData(f"{path} has the column {twice[0]!r} {len(twice)} times: rename all but one")
        return source
    except (pa.ArrowInvalid, pa.ArrowKeyError, pa.ArrowNotImplementedError, OSError) as error:
        raise _unreadable(path, error) from error


def _opened(path: Path, options: Options, numbers: Collection[str]) -> Source:
    if path.is_dir():
        if (path / "_delta_log").is_dir():
            delta = open_delta(path)
            return Source(path.name, delta.digest, delta.columns, delta.rows, delta.batches)
        files = sorted(f for f in path.rglob("*") if f.suffix.lower() in (".parquet", ".pq"))
        if not files:
            raise BadData(f"{path} is a folder without Parquet files, and no Delta table")
        return _parquet(path, files)
    if path.stat().st_size == 0:
        raise BadData(f"{path} is empty")
    with path.open("rb") as file:
        head = file.read(8)
    if head.startswith(PARQUET):
        return _parquet(path, [path])
    if head.startswith(ARROW_FILE):
        with pa.ipc.open_file(str(path)) as found:
            names = tuple(found.schema.names)
        return Source(path.name, _digest(path), names, _arrow_rows(path), partial(_arrow, path))
    body = open_bytes(path, 64).lstrip()
    if body.startswith(b"{"):
        return _json_lines(path)
    if body.startswith(b"["):
        raise BadData(f"{path} is one JSON list, which is read whole or not at all: write one object a line")
    return _delimited(path, options, numbers)


def in_pieces(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of so many each."""
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        while batch.num_rows:
            part = batch.slice(0, rows - count)
            batch = batch.slice(part.num_rows)
            held.append(part)
            count += part.num_rows
            if count == rows:
                yield _one(held)
                held, count = [], 0
    if held:
        yield _one(held)


def _one(batches: Sequence[pa.RecordBatch]) -> pa.Table:
    return pa.concat_tables([pa.Table.from_batches([b]) for b in batches], promote_options="permissive")


# -- columnar files ------------------------------------------------------------------------------------------------


def _parquet(path: Path, files: Sequence[Path]) -> Source:
    schema, rows = pq.read_schema(files[0]), 0
    for file in files:
        found = pq.read_metadata(file)
        if set(found.schema.to_arrow_schema().names) != set(schema.names):
            raise BadData(f"{file} has other columns than {files[0]}: read each by itself")
        rows += found.num_rows
    digest = _digest(path) if len(files) == 1 and files[0] == path else _digest_of(path, files)
    return Source(path.name, digest, tuple(schema.names), rows, partial(_parquet_batches, files))


def _parquet_batches(files: Sequence[Path], columns: Sequence[str], rows: int) -> Batches:
    for file in files:
        with pq.ParquetFile(file) as found:
            try:
                for batch in found.iter_batches(rows, columns=list(columns)):
                    yield batch.select(list(columns))
            except (OSError, pa.ArrowException) as error:  # pages are read as they are reached
                raise BadData(f"{file.name} cannot be read: {words(error)}") from None


def _arrow(path: Path, columns: Sequence[str], rows: int) -> Batches:
    with pa.memory_map(str(path)) as source:
        found = pa.ipc.open_file(source)
        for place in range(found.num_record_batches):
            yield found.get_batch(place).select(list(columns))


def _arrow_rows(path: Path) -> int:
    with pa.memory_map(str(path)) as source:
        found = pa.ipc.open_file(source)
        return sum(found.get_batch(i).num_rows for i in range(found.num_record_batches))


# -- text ----------------------------------------------------------------------------------------------------------


def _delimited(path: Path, options: Options, numbers: Collection[str]) -> Source:
    head = open_bytes(path, HEAD_BYTES)
    if not options.is_utf8:
        try:
            head = head.decode(options.encoding, errors="ignore").encode().removeprefix(MARK)
        except LookupError as error:
            raise BadData(f"{path} is not {options.encoding}: {error}") from None
    found = looked_at(path, head, options)
    names = [n.strip() or f"{UNNAMED}{i}" for i, n in enumerate(found.names, 1)]
    checked_columns(str(path), names)
    known = {folded(n) for n in numbers} if found.delimiter == ";" else set()
    commas = [n for n in names if folded(n) in known]
    reader = partial(_delimited_batches, path, names, found, options, commas)
    rows = sum(batch.num_rows for batch in reader(names, 0))
    digest = _digest(path)
    if commas or not options.is_plain:  # read otherwise, they are other rows
        said = repr((digest, sorted(options.nulls), options.encoding, commas))
        digest = hashlib.sha256(said.encode()).hexdigest()
    return Source(path.name, digest, tuple(names), rows, reader, typed=False)


def _with_points(batch: pa.RecordBatch, commas: Sequence[str]) -> pa.RecordBatch:
    for name in (n for n in commas if n in batch.schema.names):
        points = by_cell(pa.chunked_array([batch.column(name)]))
        if points is not None:
            batch = batch.set_column(batch.schema.names.index(name), name, points.combine_chunks())
    return batch


def _delimited_batches(
    path: Path,
    names: Sequence[str],
    text: Text,
    options: Options,
    commas: Sequence[str],
    columns: Sequence[str],
    rows: int,
) -> Batches:
    """All cells as text, those of `commas` with decimal points; none where a cell is empty or a word for no value."""
    delimiter = text.delimiter

    bad: list[csv.InvalidRow] = []

    def refuse(row: csv.InvalidRow) -> str:
        bad.append(row)
        return "error"

    try:
        with (
            _unpacked(path) as stream,
            csv.open_csv(
                stream,
                read_options=csv.ReadOptions(
                    column_names=list(names),
                    skip_rows=text.skipped_lines,
                    skip_rows_after_names=1,
                    block_size=BLOCK_BYTES,
                    encoding=options.encoding,
                ),
                parse_options=csv.ParseOptions(
                    delimiter=delimiter, newlines_in_values=True, invalid_row_handler=refuse
                ),
                convert_options=csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    include_columns=list(columns),
                    null_values=["", *options.nulls],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            ) as found,
        ):
            for batch in found:
                yield _with_points(batch, commas)
    except pa.ArrowInvalid as error:
        if bad:
            raise BadData(
                f"a line of {path} has {bad[0].actual_columns} values and the header {bad[0].expected_columns}: mend "
                f"it; values with a {delimiter!r} inside belong in quotes. It reads {bad[0].text[:80]!r}"
            ) from None
        raise _unreadable(path, error) from None


def _json_lines(path: Path) -> Source:
    names: dict[str, None] = {}
    rows = 0
    for objects in _objects(path, LINES_AT_ONCE):
        rows += len(objects)
        names |= dict.fromkeys(n for one in objects for n in one)
    checked_columns(str(path), list(names))
    return Source(path.name, _digest(path), tuple(names), rows, partial(_json_batches, path))


def _json_batches(path: Path, columns: Sequence[str], rows: int) -> Batches:
    for objects in _objects(path, rows):
        made = {n: _of_json(path, n, [one.get(n) for one in objects]) for n in columns}
        fields = [pa.field(n, column.type, metadata=more) for n, (column, more) in made.items()]
        yield from pa.table([column for column, _ in made.values()], schema=pa.schema(fields)).to_batches()


def _of_json(path: Path, name: str, values: Sequence[Json]) -> tuple[pa.ChunkedArray, dict[bytes, bytes]]:
    """A column, with what is told of it: values that have no type in common are the JSON of each."""
    try:
        made = of_json(path, name, values)
    except BadData:
        made = None
    if made is not None and not (
        pa.types.is_floating(made.type) and any(isinstance(v, int) and abs(v) > EXACT for v in values)
    ):
        return made, {}
    spelled = [None if v is None else json.dumps(v, ensure_ascii=False) for v in values]
    return pa.chunked_array([pa.array(spelled, pa.string())]), {CELLS: b"json"}


def _objects(path: Path, at_once: int) -> Iterator[list[dict[str, Json]]]:
    with _unpacked(path) as file:
        reader, number = io.BufferedReader(file, BLOCK_BYTES), 0  # type: ignore[type-var]
        while lines := list(islice(reader, at_once)):
            found = []
            for line in lines:
                number += 1
                if not line.strip():
                    continue
                try:
                    one = orjson.loads(line.removeprefix(MARK) if number == 1 else line)
                except orjson.JSONDecodeError as error:
                    raise BadData(f"line {number} of {path} is not JSON: {error}") from None
                if not isinstance(one, dict):
                    raise BadData(f'line {number} of {path} is not an object like {{"column": value}}')
                if not strict.surely_once(line, len(one)) and not strict.surely_once(line, strict.members(one)):
                    _check_once(path, number, line)
                found.append(one)
            yield found


def _check_once(path: Path, number: int, line: bytes) -> None:
    try:
        strict.read(line.removeprefix(MARK) if number == 1 else line)
    except SignatureMismatch as error:
        raise BadData(f"line {number} of {path}: {error.message}") from None


def _unpacked(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        head = file.read(4)
    kind = next((name for magic, name in COMPRESSED.items() if head.startswith(magic)), None)
    stream: IO[bytes] = pa.input_stream(str(path), compression=kind, buffer_size=BLOCK_BYTES)
    return stream


def _unreadable(path: Path, error: Exception) -> BadData:
    said = str(error).splitlines()[0]
    utf8 = "UTF8" in said or "UTF-8" in said
    how = "convert it, for instance with 'iconv -f latin1 -t utf-8', or name its encoding (--encoding latin-1)"
    advice = f": it is not UTF-8; {how}" if utf8 else f": {said}"
    return BadData(f"{path} cannot be read{advice}")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_of(root: Path, files: Sequence[Path]) -> str:
    said = hashlib.sha256()
    for file in files:
        said.update(f"{file.relative_to(root)} {_digest(file)}\n".encode())
    return said.hexdigest()
