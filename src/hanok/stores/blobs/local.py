"""Blobs as files named by their SHA-256, two directory levels deep."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from hanok.core.errors import ArtifactNotFound
from hanok.stores.disk import full_disk_named, sync_directory

CHUNK_BYTES = 1 << 20
INCOMING = "hanok-"  # how the names of files begin that are not whole yet
_DIGEST = re.compile(r"[0-9a-f]{64}")


def chunks(stream: BinaryIO | Iterator[bytes]) -> Iterator[bytes]:
    """The stream's bytes in pieces, whatever kind of stream it is."""
    if hasattr(stream, "read"):
        while piece := stream.read(CHUNK_BYTES):
            yield piece
    else:
        yield from stream


class LocalBlobs:
    """Written beside, synced, then renamed: a blob is there whole or not at all."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)
        self._leaving = root / "leaving"
        self._leaving.mkdir(exist_ok=True)
        for left in self._leaving.iterdir():  # a process died while it looked at this file's age
            if _DIGEST.fullmatch(left.name):
                target = self._path(left.name)
                target.parent.mkdir(parents=True, exist_ok=True)
                left.rename(target)

    def put(self, stream: BinaryIO | Iterator[bytes]) -> tuple[str, int]:
        hashed, size = hashlib.sha256(), 0
        descriptor, name = tempfile.mkstemp(dir=self._incoming, prefix=INCOMING)
        incoming = Path(name)
        try:
            with full_disk_named("an artifact"), os.fdopen(descriptor, "wb") as file:
                for piece in chunks(stream):
                    hashed.update(piece)
                    size += len(piece)
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            digest = hashed.hexdigest()
            target = self._path(digest)
            try:
                os.utime(target)  # it is wanted again: `discard` leaves it
            except FileNotFoundError:
                target.parent.mkdir(parents=True, exist_ok=True)
                incoming.rename(target)
                sync_directory(target.parent)
        finally:
            incoming.unlink(missing_ok=True)
        return digest, size

    def open(self, digest: str) -> BinaryIO:
        try:
            return self._path(digest).open("rb")
        except FileNotFoundError:
            raise ArtifactNotFound(f"no artifact has the digest {digest}; 'hanok doctor' checks the store") from None

    def path(self, digest: str) -> str | None:
        path = self._path(digest)
        return str(path) if path.exists() else None

    def verify(self, digest: str) -> bool:
        hashed = hashlib.sha256()
        with self.open(digest) as file:
            for piece in chunks(file):
                hashed.update(piece)
        return hashed.hexdigest() == digest

    def digests(self) -> Iterator[str]:
        """Of all blobs. Other files are somebody else's."""
        for path in sorted(self._root.glob("??/??/*")):
            if _DIGEST.fullmatch(path.name) and path == self._path(path.name):
                yield path.name

    def delete(self, digest: str) -> None:
        self._path(digest).unlink(missing_ok=True)

    def discard(self, digest: str, before: datetime) -> int | None:
        """The file steps aside before its age is looked at, so a `put` in between finds it gone and writes anew."""
        aside, target = self._leaving / digest, self._path(digest)
        try:
            if target.stat().st_mtime >= before.timestamp():
                return None
            target.rename(aside)
        except FileNotFoundError:
            return None
        found = aside.stat()
        if found.st_mtime >= before.timestamp():
            aside.rename(target)
            return None
        aside.unlink()
        return found.st_size

    def _path(self, digest: str) -> Path:
        if _DIGEST.fullmatch(digest) is None:
            raise ArtifactNotFound(f"{digest[:80]!r} is not a SHA-256 digest")
        return self._root / digest[:2] / digest[2:4] / digest
