"""The tail of a table: batches that are acknowledged and not in the columnar log yet, each one frame."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from hanok.core.tables import Appended
from hanok.stores.disk import sync_directory
from hanok.stores.frames import Damage, read_contents

SET_ASIDE = "set-aside"
_UNREADABLE = (ValueError, TypeError, KeyError, pa.ArrowException, OSError)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows as they were acknowledged, under their key."""

    key: str
    appended: Appended
    rows: pa.Table

    @property
    def span(self) -> range:
        return span_of(self.appended)


@dataclass(frozen=True, slots=True)
class Tail:
    """The batches of all files in the order of their rows, and what each damaged file lost."""

    batches: tuple[Batch, ...]
    damaged: dict[Path, str]


def span_of(appended: Appended) -> range:
    """The numbers of its rows."""
    return range(appended.first, appended.first + appended.rows)


def frame(batch: Batch) -> bytes:
    head = json.dumps(key_entry(batch.key, batch.appended)).encode()
    sink = pa.BufferOutputStream()
    sink.write(len(head).to_bytes(4, "little") + head)
    with pa.ipc.new_stream(sink, batch.rows.schema) as writer:
        writer.write_table(batch.rows)
    return sink.getvalue().to_pybytes()


def unframe(payload: bytes) -> Batch:
    """Raises one of `_UNREADABLE` for other bytes."""
    size = int.from_bytes(payload[:4], "little")
    key, appended = from_key_entry(json.loads(payload[4 : 4 + size]))
    return Batch(key, appended, pa.ipc.open_stream(pa.py_buffer(payload)[4 + size :]).read_all())


def key_entry(key: str, appended: Appended) -> list[str | int]:
    return [key, appended.first, appended.rows, appended.digest]


def from_key_entry(entry: Sequence[str | int]) -> tuple[str, Appended]:
    """Entries of earlier releases have no digest. Raises ValueError, TypeError."""
    key, first, rows, *digest = entry
    return str(key), Appended(int(first), int(rows), digest=str(digest[0]) if digest else "")


def read_tail(folder: Path) -> Tail:
    """Everything in the tail that is whole, whatever is damaged beside it."""
    batches: list[Batch] = []
    damaged: dict[Path, str] = {}
    for path in sorted(folder.glob("*.seg")):
        try:
            found = read_contents(path)
            said = [f"{damage}{_told(path, damage)}" for damage in found.damage]
        except FileNotFoundError:  # its rows are in the log meanwhile
            continue
        for one in found.frames:
            try:
                batches.append(unframe(one.payload))
            except _UNREADABLE as error:
                said.append(f"record {one.number} at byte {one.start} is no batch of rows: {error}")
        if said:
            damaged[path] = "; ".join(said)
    return Tail(tuple(sorted(batches, key=lambda b: b.appended.first)), damaged)


def _told(path: Path, damage: Damage) -> str:
    """Which batch lay in the damaged bytes, where its own head can still be read."""
    data = path.read_bytes()[damage.start : damage.end]
    at = data.find(b'["')
    try:
        entry, _ = (
            json.JSONDecoder().raw_decode(data[at : at + 4096].decode("utf-8", "replace")) if at >= 0 else ([], 0)
        )
        key, appended = from_key_entry(entry)
    except (ValueError, TypeError):
        return ""
    return f" (batch {key!r}, rows {appended.first} to {appended.first + appended.rows - 1})"


def gaps(spans: Iterable[range], first: int) -> list[range]:
    """The numbers from `first` on that no span holds, but for what comes after the last."""
    missing = []
    for span in sorted(spans, key=lambda s: s.start):
        if span.start > first:
            missing.append(range(first, span.start))
        first = max(first, span.stop)
    return missing


def set_aside(path: Path, folder: Path, reason: str) -> None:
    """Keep a damaged file and why, out of the way."""
    folder.mkdir(exist_ok=True)
    number = 0
    while (target := folder / (f"{path.stem}-{number}{path.suffix}" if number else path.name)).exists():
        number += 1
    target.with_name(f"{target.name}.reason").write_text(reason, errors="backslashreplace")
    path.replace(target)
    sync_directory(folder)
