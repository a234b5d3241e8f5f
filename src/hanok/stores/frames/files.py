"""A frame is its length, a CRC-32 and its bytes. A torn last frame (power cut, kill -9) is cut off on opening."""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import zlib
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

from hanok.core.errors import Corrupt
from hanok.stores.disk import full_disk_named, sync_directory

MAGIC = b"HANOKFR1"
_HEAD = struct.Struct("<II")


def read_frames(path: Path) -> Iterator[bytes]:
    """The whole frames of a file in order; stops before a torn tail. Raises Corrupt for damage before the end."""
    for payload, _ in _walk(path):
        yield payload


def read_frame(path: Path, number: int) -> bytes | None:
    """One frame, found by the lengths of those before it; None when the file has not so many. Raises Corrupt."""
    with path.open("rb") as file:
        end, offset = os.fstat(file.fileno()).st_size, len(MAGIC)
        data = file.read(1 << 16)
        start = 0  # of `data` in the file
        for _ in range(number):
            if offset + _HEAD.size > start + len(data):
                file.seek(offset)
                start, data = offset, file.read(1 << 16)
                if len(data) < _HEAD.size:
                    return None
            size, _checksum = _HEAD.unpack_from(data, offset - start)
            offset += _HEAD.size + size
            if offset > end:
                return None
        return _frame_at(file.fileno(), offset, path.name)


def _frame_at(descriptor: int, offset: int, name: str) -> bytes | None:
    head = os.pread(descriptor, _HEAD.size, offset)
    if len(head) < _HEAD.size:
        return None
    size, checksum = _HEAD.unpack(head)
    payload = os.pread(descriptor, size, offset + _HEAD.size)
    if len(payload) < size:
        return None
    if zlib.crc32(payload) != checksum:
        raise Corrupt(f"{name} is damaged at byte {offset}; restore it from a backup: hanok restore")
    return payload


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


def owned(path: Path) -> int | None:
    """Take the lock of a frame file that `FrameFile.create` made: its descriptor, to be closed; None while its writer,
    in this process or another one, is alive and has it open. Raises FileNotFoundError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink:
            return descriptor
    except BlockingIOError:
        os.close(descriptor)
        return None
    os.close(descriptor)
    raise FileNotFoundError(path)


class FrameFile:
    """One writer. `append` is in the page cache on return; `sync` makes it durable and never holds up `append`."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._lock = threading.Lock()
        self._offsets, end = array("Q"), len(MAGIC)
        if path.exists():
            for payload, end in _walk(path):
                self._offsets.append(end - len(payload) - _HEAD.size)
        new = not path.exists() or path.stat().st_size < len(MAGIC)
        self._file = path.open("r+b" if path.exists() else "w+b", buffering=0)
        with full_disk_named(f"log file {path.name}"):
            if new:
                self._file.write(MAGIC)
                sync_directory(path.parent)
            self._file.truncate(end)
            self._file.seek(end)
        self._end = end
        self._named = True

    @classmethod
    def create(cls, path: Path) -> FrameFile:
        """A new file that is locked as long as this writer has it open (see `owned`). Its name is durable after the
        first `sync`. Raises FileExistsError."""
        made = cls.__new__(cls)
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        made.path, made._lock, made._offsets = path, threading.Lock(), array("Q")
        with full_disk_named(f"log file {path.name}"):
            made._file = hidden.open("w+b", buffering=0)
            try:
                fcntl.flock(made._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                made._file.write(MAGIC)
                os.link(hidden, path)  # unlike a rename, it never replaces a file; nobody sees it without its lock
            except BaseException:
                made._file.close()
                raise
            finally:
                hidden.unlink()
        made._end, made._named = len(MAGIC), False
        return made

    @property
    def count(self) -> int:
        return len(self._offsets)

    @property
    def size_bytes(self) -> int:
        return self._end

    def append(self, payload: bytes) -> int:
        """Returns the frame's number."""
        return self.append_many((payload,))

    def append_many(self, payloads: Sequence[bytes]) -> int:
        """All or nothing, in one write; returns the number of the first."""
        frames = [_HEAD.pack(len(p), zlib.crc32(p)) + p for p in payloads]
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        with self._lock:
            try:
                with full_disk_named(f"a record of {self.path.name}"):
                    written = self._file.write(data)
                    while written < len(data):
                        written += self._file.write(data[written:])
            except BaseException:
                if not self._file.closed:
                    self._file.truncate(self._end)
                    self._file.seek(self._end)
                raise
            first = len(self._offsets)
            for frame in frames:
                self._offsets.append(self._end)
                self._end += len(frame)
            return first

    def read(self, number: int) -> bytes | None:
        """One frame of the open file; None when there are not so many. Raises Corrupt."""
        with self._lock:
            if self._file.closed or not 0 <= number < len(self._offsets):
                return None
            offset, descriptor = self._offsets[number], os.dup(self._file.fileno())
        try:
            return _frame_at(descriptor, offset, self.path.name)
        finally:
            os.close(descriptor)

    def sync(self) -> None:
        """Make what was appended durable. A file that was closed is durable already."""
        with self._lock:
            if self._file.closed:
                return
            descriptor = os.dup(self._file.fileno())
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        if not self._named:
            sync_directory(self.path.parent)
            self._named = True

    def close(self) -> None:
        """Durable on return; lets go of the lock."""
        self.sync()
        with self._lock:
            if not self._file.closed:
                os.fdatasync(self._file.fileno())
                self._file.close()
