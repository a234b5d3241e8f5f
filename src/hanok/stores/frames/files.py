"""Files of checksummed frames (see format.py): one writer, any number of readers."""

from __future__ import annotations

import fcntl
import os
import threading
import zlib
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

from hanok.core.errors import Corrupt
from hanok.stores.disk import full_disk_named, sync_directory
from hanok.stores.frames.format import MAGIC_1, MAGIC_2, MAGIC_BYTES, Contents, contents, head_at, head_size, packed


def read_contents(path: Path) -> Contents:
    """All whole frames of a file, and what is damaged between them. Raises FileNotFoundError."""
    return contents(path.read_bytes())


def read_frames(path: Path) -> Iterator[bytes]:
    """The payloads of a file in order, without a last frame that was never finished. Raises Corrupt for damage, after
    the frames before it."""
    found = read_contents(path)
    sound = found.damage[0].start if found.damage else found.end
    yield from (frame.payload for frame in found.frames if frame.start < sound)
    found.refuse_damage(path.name)


def read_frame(path: Path, number: int) -> bytes | None:
    """One frame by its number; None when the file has not so many. Raises Corrupt when it is damaged."""
    with path.open("rb") as file:
        format = 1 if file.read(MAGIC_BYTES) == MAGIC_1 else 2
        end, offset, start, data = os.fstat(file.fileno()).st_size, MAGIC_BYTES, 0, b""
        for turn in range(number + 1):
            if (head := head_at(data, offset - start, format)) is None:
                file.seek(offset)
                start, data = offset, file.read(1 << 16)
                if len(data) < head_size(format):
                    return None
                head = head_at(data, 0, format)
            if head is None or (head[0] is not None and head[0] != turn) or offset + head_size(format) + head[1] > end:
                break  # damage, or the end: the whole file is read
            if turn == number:
                payload = os.pread(file.fileno(), head[1], offset + head_size(format))
                if zlib.crc32(payload) == head[2]:
                    return payload
            offset += head_size(format) + head[1]
    return _searched(path, number)


def _searched(path: Path, number: int) -> bytes | None:
    found = read_contents(path)
    for frame in found.frames:
        if frame.number == number:
            return frame.payload
    lost = [d for d in found.damage if d.lost is None or number in d.lost]
    if lost:
        raise Corrupt(f"{path.name} is {lost[0]}; restore it from a backup: hanok restore")
    return None


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


def _rewritten(path: Path, found: Contents) -> Contents:
    """A file of format 1 in the present one, whose frames are found again behind damage."""
    beside = path.with_name(f".{path.name}.new")
    frames = (packed(f.payload, zlib.crc32(f.payload), f.number, 2) for f in found.frames)
    with full_disk_named(f"log file {path.name}"), beside.open("wb") as file:
        file.write(MAGIC_2 + b"".join(frames))
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)
    sync_directory(path.parent)
    return read_contents(path)


class FrameFile:
    """One writer. `append` is in the page cache on return; `sync` makes it durable and never holds up `append`."""

    def __init__(self, path: Path) -> None:
        """Append behind what is there: a last frame that was never finished is cut off, what is damaged stays."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._lock = threading.Lock()
        found = read_contents(path) if path.exists() else Contents(end=0)
        if found.format == 1 and not found.damage:
            found = _rewritten(path, found)
        self.format, self.damage = found.format, tuple(found.damage)
        self._offsets = array("Q", [frame.start for frame in found.frames])
        self._next = found.next_number
        self._file = path.open("r+b" if path.exists() else "w+b", buffering=0)
        with full_disk_named(f"log file {path.name}"):
            if not found.end:
                self.format = 2
                self._file.truncate(0)
                self._file.write(MAGIC_2)
                sync_directory(path.parent)
                found.end = MAGIC_BYTES
            self._file.truncate(found.end)
            self._file.seek(found.end)
        self._end = found.end
        self._named = True

    @classmethod
    def create(cls, path: Path) -> FrameFile:
        """A new file that is locked as long as this writer has it open (see `owned`). Its name is durable after the
        first `sync`. Raises FileExistsError."""
        made = cls.__new__(cls)
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        made.path, made._lock, made._offsets = path, threading.Lock(), array("Q")
        made.format, made.damage, made._next = 2, (), 0
        with full_disk_named(f"log file {path.name}"):
            made._file = hidden.open("w+b", buffering=0)
            try:
                fcntl.flock(made._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                made._file.write(MAGIC_2)
                os.link(hidden, path)  # unlike a rename, it never replaces a file; nobody sees it without its lock
            except BaseException:
                made._file.close()
                raise
            finally:
                hidden.unlink()
        made._end, made._named = MAGIC_BYTES, False
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
        checksums = [zlib.crc32(payload) for payload in payloads]
        with self._lock:
            first = self._next
            both = enumerate(zip(payloads, checksums, strict=True), first)
            frames = [packed(payload, checksum, number, self.format) for number, (payload, checksum) in both]
            data = frames[0] if len(frames) == 1 else b"".join(frames)
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
            for frame in frames:
                self._offsets.append(self._end)
                self._end += len(frame)
            self._next += len(frames)
            return first

    def read(self, number: int) -> bytes | None:
        """One frame of a file that `create` made; None when there are not so many. Raises Corrupt."""
        with self._lock:
            if self._file.closed or not 0 <= number < len(self._offsets):
                return None
            offset, descriptor = self._offsets[number], os.dup(self._file.fileno())
            end = self._offsets[number + 1] if number + 1 < len(self._offsets) else self._end
        try:
            data = os.pread(descriptor, end - offset, offset)
        finally:
            os.close(descriptor)
        head, payload = head_at(data, 0, self.format), data[head_size(self.format) :]
        if head is None or head[1] != len(payload) or zlib.crc32(payload) != head[2]:
            raise Corrupt(f"{self.path.name} is damaged at byte {offset}: record {number} is lost. See: hanok doctor")
        return payload

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
