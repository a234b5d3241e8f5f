"""Delimited text as people have it: commas, semicolons, tabs, pipes; quotes, line breaks in cells, marks and `sep=`."""

from __future__ import annotations

import csv as plain_csv
import io
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from hanok.compute.guesses import by_cell, guessed, with_points
from hanok.core.errors import BadData
from hanok.core.names import checked_columns, folded

NULLS = ("NA", "N/A", "NaN", "nan", "null", "NULL", "None")
DELIMITERS = (",", ";", "\t", "|")
UNNAMED = "column_"  # and its number, where the header has no name
HEAD_BYTES = 1 << 18
LINES_LOOKED_AT = 30
BLOCK_MIN, BLOCK_MAX = 1 << 20, 1 << 29
COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd"}
UTF16 = (b"\xff\xfe", b"\xfe\xff")
MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Options:
    """How a text file is read. `nulls`: the words, outside quotes, that mean no value, beside an empty cell."""

    nulls: Sequence[str] = NULLS
    encoding: str = "utf-8"
    delimiter: str = ""

    @property
    def is_utf8(self) -> bool:
        return self.encoding.lower().replace("_", "-") in ("utf-8", "utf8")

    @property
    def is_plain(self) -> bool:
        """Whether files are read so without a word."""
        return tuple(self.nulls) == NULLS and self.is_utf8


@dataclass(frozen=True, slots=True)
class Read:
    """Rows of a file, and what was guessed or changed while reading, a line for each."""

    rows: pa.Table
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Text:
    """Where the header begins, its names, and what stands between cells."""

    delimiter: str
    skipped_lines: int
    names: tuple[str, ...]


def read_delimited(path: Path, options: Options, as_text: Collection[str] = (), numbers: Collection[str] = ()) -> Read:
    """The rows of a text file. Columns named in `as_text` (in any spelling) keep the text of the file, others get the
    type that holds what they say. In those of `numbers` each cell with a decimal comma is one. Raises BadData."""
    raw = _bytes(path, options)
    if len(raw) == 0 or not raw[:HEAD_BYTES].strip():
        raise BadData(f"{path} is empty")
    found = looked_at(path, raw[:HEAD_BYTES], options)
    names = [n.strip() for n in found.names]
    unnamed = [i for i, n in enumerate(names) if not n]
    names = [n or f"{UNNAMED}{i}" for i, n in enumerate(names, 1)]
    checked_columns(str(path), names)
    texts = _read(path, raw, found, options.nulls)
    notes = [f"column {i + 1} has no name in the header and is called {names[i]}" for i in unnamed]
    notes += _words_for_null(raw, found, options.nulls, texts, names)
    kept, known = ({folded(n) for n in some} for some in (as_text, numbers))
    columns = []
    for name, column in zip(names, texts.columns, strict=True):
        pointed = by_cell if folded(name) in known else with_points
        if found.delimiter == ";" and (points := pointed(column)) is not None:
            dots = pc.any(pc.and_(pc.match_substring(column, "."), pc.not_equal(points, column))).as_py()
            notes.append(f"{name}: its commas are read as decimal points{', its dots as thousands' if dots else ''}")
            column = points
        remark = ""
        if folded(name) not in kept:
            column, remark = guessed(column)
        notes += [f"{name} {remark}"] if remark else []
        columns.append(column)
    return Read(pa.table(columns, names), tuple(notes))


def open_bytes(path: Path, size: int = -1) -> bytes:
    """What a file holds, unpacked where it is compressed, without a byte order mark."""
    with path.open("rb") as file:
        head = file.read(4)
    kind = next((name for magic, name in COMPRESSED.items() if head.startswith(magic)), None)
    try:
        with pa.input_stream(str(path), compression=kind) as stream:
            return bytes(stream.read(size) if size >= 0 else stream.read()).removeprefix(MARK)
    except OSError as error:
        raise BadData(f"{path} cannot be unpacked ({kind}): {str(error).splitlines()[0]}") from None


def _bytes(path: Path, options: Options) -> bytes:
    raw = open_bytes(path)
    if options.is_utf8:
        return raw
    try:
        return raw.decode(options.encoding).encode().removeprefix(MARK)
    except (UnicodeError, LookupError) as error:  # of a codec, and no codec at all
        raise BadData(f"{path} is not {options.encoding}: {error}") from None


def looked_at(path: Path, head: bytes, options: Options) -> Text:
    if head.startswith(UTF16) or b"\0" in head[:1000]:
        if head.startswith(UTF16) or head[1::2].count(0) > len(head) / 8 or head[::2].count(0) > len(head) / 8:
            raise BadData(
                f"{path} is UTF-16: convert it, for instance with 'iconv -f utf-16 -t utf-8', or name its encoding "
                "(--encoding utf-16)"
            )
        raise BadData(f"{path} is not a CSV, JSON lines or Parquet file")
    cut = head[: head.rfind(b"\n") + 1] or head if len(head) == HEAD_BYTES else head
    skipped = _blank_lines(cut)
    header = cut.split(b"\n", skipped)[-1].split(b"\n", 1)[0]
    try:
        header.decode()
    except UnicodeDecodeError as error:
        raise BadData(
            f"the header of {path} is not UTF-8 text ({header[error.start : error.start + 12]!r}): convert the file, "
            "for instance with 'iconv -f latin1 -t utf-8', or name its encoding (--encoding latin-1)"
        ) from None
    text = cut.decode(errors="replace")
    rest = text.split("\n", skipped)[-1]
    declared = re.match(r"\"?sep=(.)\"?\r?\n", rest, re.IGNORECASE)
    if declared:
        skipped, rest = skipped + 1, rest.split("\n", 1)[1]
    delimiter = options.delimiter or (declared[1] if declared else _delimiter(rest))
    names = next(plain_csv.reader(io.StringIO(rest, newline=""), delimiter=delimiter), [])
    return Text(delimiter, skipped, tuple(names))


def _blank_lines(head: bytes) -> int:
    return head[: len(head) - len(head.lstrip(b"\r\n"))].count(b"\n")


def _delimiter(text: str) -> str:
    """The one under which the first lines have most often as many cells as the header, and the header most."""

    def fit(delimiter: str) -> tuple[bool, float, int]:
        reader = plain_csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        sizes: list[int] = []
        try:
            for row in reader:
                sizes += [len(row)] if row else []
                if len(sizes) > LINES_LOOKED_AT:
                    break
        except plain_csv.Error:
            pass
        if not sizes:
            return False, 0.0, 0
        alike = sum(s == sizes[0] for s in sizes[1:]) / max(1, len(sizes) - 1) if len(sizes) > 1 else 1.0
        return sizes[0] > 1, alike, sizes[0]

    return max(DELIMITERS, key=fit)


def _read(path: Path, raw: bytes, found: Text, nulls: Sequence[str], columns: Sequence[int] | None = None) -> pa.Table:
    """All cells as text; no value where a cell is empty or one of the words, outside quotes."""
    bad: list[csv.InvalidRow] = []

    def note(row: csv.InvalidRow) -> str:
        bad.append(row)
        return "skip"

    places = [str(i) for i in range(len(found.names))]
    kept = places if columns is None else [places[i] for i in columns]
    try:
        rows = csv.read_csv(
            pa.BufferReader(raw if raw.endswith(b"\n") else raw + b"\n"),
            read_options=csv.ReadOptions(
                use_threads=False,  # so that bad lines have their numbers
                column_names=places,
                skip_rows=found.skipped_lines,
                skip_rows_after_names=1,
                block_size=min(max(len(raw) + 1, BLOCK_MIN), BLOCK_MAX),
            ),
            parse_options=csv.ParseOptions(
                delimiter=found.delimiter, invalid_row_handler=note, newlines_in_values=True
            ),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(places, pa.binary()),
                include_columns=kept,
                null_values=["", *nulls],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        raise BadData(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    if bad:
        first = bad[0]
        others = f", and {len(bad) - 1} more lines like it" if len(bad) > 1 else ""
        raise BadData(
            f"line {first.number} of {path} has {first.actual_columns} values and the header {first.expected_columns}"
            f"{others}: mend them; values with a {found.delimiter!r} inside belong in quotes. It reads "
            f"{first.text[:80]!r}"
        )
    made = []
    for i, column in zip(range(len(found.names)) if columns is None else columns, rows.columns, strict=True):
        try:
            made.append(column.cast(pa.string()))
        except pa.ArrowInvalid:
            row, value = _not_utf8(column)
            raise BadData(
                f"column {found.names[i].strip()!r} of {path} is not UTF-8 text, first in row {row} ({value!r}): "
                "convert the file, for instance with 'iconv -f latin1 -t utf-8', or name its encoding "
                "(--encoding latin-1)"
            ) from None
    return pa.table(made, [str(i) for i in range(len(made))])


def _words_for_null(raw: bytes, found: Text, nulls: Sequence[str], texts: pa.Table, names: Sequence[str]) -> list[str]:
    """How many cells of each column were a word for null, and which: 'c: 3 cells NA count as null'."""
    there = [w for w in nulls if w.encode() in raw]
    with_nulls = [i for i, column in enumerate(texts.columns) if column.null_count]
    if not there or not with_nulls:
        return []
    as_they_stand = _read(Path(), raw, found, (), with_nulls)
    notes = []
    for i, column in zip(with_nulls, as_they_stand.columns, strict=True):
        words = pc.value_counts(column.filter(texts.column(i).is_null()).drop_null()).to_pylist()
        for w in sorted(words, key=lambda w: -w["counts"]):
            cells = "cell" if w["counts"] == 1 else "cells"
            notes.append(f"{names[i]}: {w['counts']} {cells} {w['values']} count as null (in quotes they are text)")
    return notes


def _not_utf8(column: pa.ChunkedArray) -> tuple[int, bytes]:
    """The first value that is not, and its row after the header, from 1."""
    for number, value in enumerate(column.to_pylist(), 1):
        try:
            (value or b"").decode()
        except UnicodeDecodeError:
            return number, value[:40]
    return 0, b""
