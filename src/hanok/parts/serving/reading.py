"""Segments of the log read whole: as rows of its table, or as what guards look at. All of it is a function of files, so
that another process can do it: tens of thousands of records keep an interpreter from answering for seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pyarrow as pa

from hanok.core.errors import BadData
from hanok.core.ids import PredictionId
from hanok.parts.serving.entries import Entry, decode
from hanok.parts.serving.rows import INSTANT, Signatures, table_of
from hanok.parts.serving.segments import segment_of
from hanok.stores.frames import Frame, read_contents

_ODD = (BadData, pa.ArrowException, ValueError, TypeError, OverflowError, RecursionError)
Numbered = tuple[int, Entry]
FACTS = pa.schema(
    [
        ("prediction_id", pa.string()),
        ("at", INSTANT),
        ("version", pa.int64()),
        ("arm", pa.string()),
        ("error", pa.string()),
        ("microseconds", pa.float64()),
        ("rows", pa.int64()),
    ]
)


@dataclass(frozen=True, slots=True)
class RowsOf:
    """Asks for a segment as rows of a table that has the columns `known` already; see `table_of`."""

    deployment: str
    path: Path
    known: pa.Schema | None
    signatures: Signatures


@dataclass(frozen=True, slots=True)
class FactsOf:
    """Asks who answered since an instant (microseconds), in which time and with which error, by the newest records of a
    segment: `limit` at most."""

    deployment: str
    path: Path
    since: int
    limit: int


@dataclass(frozen=True, slots=True)
class Read:
    """What was read, and why that is not everything."""

    table: pa.Table
    bad: str = ""


Reader = Callable[[RowsOf | FactsOf], Read]


def read(asked: RowsOf | FactsOf) -> Read:
    """Raises FileNotFoundError when the segment is gone."""
    if isinstance(asked, FactsOf):
        entries, _ = entries_of(asked.path, last=asked.limit)
        return Read(_facts(asked.deployment, asked.path, [e for e in entries if e[1].at >= asked.since]))
    entries, bad = entries_of(asked.path)
    try:
        return Read(_rows(asked, entries), bad)
    except _ODD as error:
        entries, reason = _convertible(entries, error)
        return Read(_rows(asked, entries), bad or reason)


def entries_of(path: Path, *, last: int | None = None) -> tuple[list[Numbered], str]:
    """The entries of a segment (the newest `last`, where that is said) with their numbers, and why not all is
    readable."""
    contents = read_contents(path)
    bad = [str(damage) for damage in contents.damage]
    frames: Sequence[Frame] = contents.frames if last is None else contents.frames[-last:] if last else ()
    found: list[Numbered] = []
    for frame in frames:
        try:
            found.append((frame.number, decode(frame.payload)))
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            bad.append(f"record {frame.number} is no entry of the prediction log: {error}")
    return found, "; ".join(bad)


def ids_of(deployment: str, path: Path, entries: Sequence[Numbered]) -> list[str]:
    """The ids of entries of a segment."""
    at = segment_of(deployment, path)
    return [str(PredictionId(deployment, at.start_ms, at.segment, number, at.worker)) for number, _ in entries]


def _rows(asked: RowsOf, entries: Sequence[Numbered]) -> pa.Table:
    ids = ids_of(asked.deployment, asked.path, entries)
    return table_of([entry for _, entry in entries], ids, asked.known, signatures=asked.signatures)


def _facts(deployment: str, path: Path, entries: Sequence[Numbered]) -> pa.Table:
    each = [entry for _, entry in entries]
    columns = [
        ids_of(deployment, path, entries),
        pa.array([e.at for e in each], pa.int64()).cast(INSTANT),
        [e.version for e in each],
        [e.arm for e in each],
        [e.error for e in each],
        [e.microseconds / max(1, e.rows) for e in each],
        [e.rows for e in each],
    ]
    return pa.table(columns, schema=FACTS)


def _convertible(entries: Sequence[Numbered], error: Exception) -> tuple[list[Numbered], str]:
    """The entries that can be rows by themselves, and what is wrong with the first of the others."""
    good, reason = [], f"{type(error).__name__}: {error}"
    for number, entry in entries:
        try:
            table_of([entry], ["-"], None)
            good.append((number, entry))
        except _ODD as why:
            reason = f"record {number} cannot be a row of a table: {type(why).__name__}: {why}"
    return good, reason
