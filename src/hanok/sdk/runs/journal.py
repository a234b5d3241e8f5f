"""A run on this machine's disk until it is synced: an append-only file of numbered entries, and the files beside it.

    <folder>/<run>-<writer>/journal     one line each: CRC-32 in hex, a space, a JSON object
    <folder>/<run>-<writer>/files/<sha256>

A batch of lines is fsynced before the next is taken, so kill -9 loses nothing that was written and a power cut at
most the batch under way. A last line that was cut off is not read. Who writes holds a lock on the file.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from hanok.core.errors import Conflict
from hanok.core.recording import Entry
from hanok.wire.recording import encode

NAME, FILES, DONE_MARK = "journal", "files", "synced"


class Journal:
    """The sink of a run that has nowhere else to go."""

    def __init__(self, folder: Path, run: str, writer: str) -> None:
        self.root = folder / f"{run}-{writer}"
        (self.root / FILES).mkdir(parents=True, exist_ok=True)
        self._file = (self.root / NAME).open("ab")
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._sync_folders()

    def record(self, run: str, writer: str, entries: Sequence[Entry]) -> None:
        self._append([{"entry": encode(entry)} for entry in entries])

    def upload(self, of: str, identity: str, path: str, file: Path) -> None:
        with file.open("rb") as source:
            digest = hashlib.file_digest(source, "sha256").hexdigest()
        target = self.root / FILES / digest
        if not target.exists():
            partial = target.with_suffix(".partial")
            shutil.copyfile(file, partial)
            with partial.open("rb") as copied:
                os.fsync(copied.fileno())
            partial.rename(target)
        self._append([{"upload": {"of": of, "id": identity, "path": path, "file": digest}}])

    def close(self) -> None:
        self._file.close()

    def _append(self, lines: Sequence[Mapping[str, Any]]) -> None:
        self._file.write(b"".join(_line(body) for body in lines))
        self._file.flush()
        os.fsync(self._file.fileno())

    def _sync_folders(self) -> None:
        for folder in (self.root, self.root.parent):
            descriptor = os.open(folder, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)


def journals(folder: Path) -> list[Path]:
    """Every run that waits in a folder, the oldest first: run ids begin with their time."""
    return sorted(path.parent for path in folder.glob(f"*/{NAME}"))


def identity(root: Path) -> tuple[str, str]:
    """Run and writer."""
    run, _, writer = root.name.partition("-")
    return run, writer


def locked(root: Path) -> Any:
    """The journal's file, held until it is closed. Raises Conflict while its process still writes."""
    file = (root / NAME).open("rb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise Conflict(f"run {identity(root)[0]} is still being written; sync it when its process has ended") from None
    return file


def lines(file: Any) -> Iterator[Mapping[str, Any]]:
    """Whole lines in order, up to the first that is cut off or damaged."""
    for line in file:
        checksum, space, body = line.rstrip(b"\n").partition(b" ")
        if not line.endswith(b"\n") or not space or checksum != b"%08x" % zlib.crc32(body):
            return
        yield orjson.loads(body)


def _line(body: Mapping[str, Any]) -> bytes:
    content = orjson.dumps(body)
    return b"%08x %s\n" % (zlib.crc32(content), content)
