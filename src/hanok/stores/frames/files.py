"""A frame is its length, a CRC-32 and its bytes. A torn last frame (power cut, kill -9) is cut off on opening."""

from __future__ import annotations

import os
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

from hanok.core.errors import Corrupt
from hanok.stores.disk import full_disk_named, sync_directory

MAGIC = b"HANOKFR1"
_HEAD = struct.Struct("<II")


def read_frames(path: Path) -> Iterator[bytes]:
    """The whole frames of a file in order; stops before a torn tail. Raises Corrupt for damage before the end."""
    for payload, _ in _walk(path):
        yield payload


def _walk(path: Path) -> Iterator[tuple[bytes, int]]:
    data = path.read_bytes()
    if data[: len(MAGIC)] != MAGIC:
        if len(data) < len(MAGIC):
            return
        raise Corrupt(f"{path.name} is not a frame file")
    offset = len(MAGIC)
    while offset + _HEAD.size <= len(data):
        size, checksum = _HEAD.unpack_from(data, offset)
        end = offset + _HEAD.size + size
        if end > len(data):
            return
        payload = data[offset + _HEAD.size : end]
        if zlib.crc32(payload) != checksum:
            if end == len(data) or not any(data[end:]):
                return
            raise Corrupt(f"{path.name} is damaged at byte {offset}; restore it from a backup: hanok restore")
        yield payload, end
        offset = end


class FrameFile:
    """One writer. `append` is in the page cache on return; `sync` makes it durable."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._lock = threading.Lock()
        self._count, end = 0, len(MAGIC)
        if path.exists():
            for _, end in _walk(path):  # noqa: B007 (the last end is what we want)
                self._count += 1
        new = not path.exists() or path.stat().st_size < len(MAGIC)
        self._file = path.open("r+b" if path.exists() else "w+b", buffering=0)
        with full_disk_named(f"log file {path.name}"):
            if new:
                self._file.write(MAGIC)
                sync_directory(path.parent)
            self._file.truncate(end)
            self._file.seek(end)
        self._end = end

    @property
    def count(self) -> int:
        return self._count

    @property
    def size_bytes(self) -> int:
        return self._end

    def append(self, payload: bytes) -> int:
        frame = _HEAD.pack(len(payload), zlib.crc32(payload)) + payload
        with self._lock:
            try:
                with full_disk_named(f"a record of {self.path.name}"):
                    written = self._file.write(frame)
                    while written < len(frame):
                        written += self._file.write(frame[written:])
            except BaseException:
                self._file.truncate(self._end)
                self._file.seek(self._end)
                raise
            self._end += len(frame)
            self._count += 1
            return self._count - 1

    def sync(self) -> None:
        os.fdatasync(self._file.fileno())

    def close(self) -> None:
        with self._lock:
            if not self._file.closed:
                self.sync()
                self._file.close()
