"""Artifacts that clients write themselves into a folder this machine can see: read and written by opened directory.

A path is followed component by component with O_NOFOLLOW, so that neither '..' nor a symbolic link leads out of the
root, whatever somebody renames meanwhile.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from hanok.core.errors import ArtifactNotFound, Conflict
from hanok.core.tracking import Artifact
from hanok.stores.blobs.local import chunks
from hanok.stores.disk import full_disk_named

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def folder_of(uri: str) -> str | None:
    """The absolute path that a `file:` URI or a plain path names on this machine; None for any other URI."""
    if uri.startswith("/"):
        return os.path.normpath(uri)
    parts = urlsplit(uri)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        return None
    return os.path.normpath(unquote(parts.path)) if parts.path.startswith("/") else None


class LocalFolder:
    """`root` is an absolute directory, which may itself be reached by a link. Paths are checked by the caller."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def inside(self, uri: str) -> str | None:
        """The path below the root that a URI names; None when it names another place."""
        path = folder_of(uri)
        if path is None:
            return None
        root = str(self._root)
        if path == root:
            return ""
        return path[len(root) + 1 :] if path.startswith(f"{root}/") else None

    def children(self, path: str) -> list[Artifact]:
        """Files and folders directly inside, by name; none for a file or what is not there."""
        try:
            with self._directory(path) as descriptor:
                found = sorted((entry.name, entry.stat(follow_symlinks=False)) for entry in os.scandir(descriptor))
        except (FileNotFoundError, NotADirectoryError):
            return []
        prefix = f"{path}/" if path else ""
        return [
            Artifact(prefix + name) if stat.S_ISDIR(of.st_mode) else Artifact(prefix + name, _tag(of), of.st_size)
            for name, of in found
            if stat.S_ISDIR(of.st_mode) or stat.S_ISREG(of.st_mode)
        ]

    def open(self, path: str) -> tuple[Artifact, BinaryIO]:
        """Raises ArtifactNotFound, also for a folder or a link."""
        folder, _, name = path.rpartition("/")
        try:
            with self._directory(folder) as descriptor:
                file = os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=descriptor), "rb")
        except OSError:
            raise ArtifactNotFound(f"there is no artifact file at {path[:200]!r}") from None
        of = os.fstat(file.fileno())
        if not stat.S_ISREG(of.st_mode):
            file.close()
            raise ArtifactNotFound(f"there is no artifact file at {path[:200]!r}: it is no plain file")
        return Artifact(path, _tag(of), of.st_size), file

    def put(self, path: str, stream: BinaryIO | Iterator[bytes]) -> None:
        """Written beside, synced, then renamed. Raises Conflict when a folder or a file is in the way."""
        folder, _, name = path.rpartition("/")
        incoming = f".{name[:200]}.incoming"
        try:
            with self._directory(folder, make=True) as descriptor, full_disk_named("an artifact"):
                opened = os.open(
                    incoming, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644, dir_fd=descriptor
                )
                with os.fdopen(opened, "wb") as file:
                    for piece in chunks(stream):
                        file.write(piece)
                    file.flush()
                    os.fsync(file.fileno())
                os.rename(incoming, name, src_dir_fd=descriptor, dst_dir_fd=descriptor)
        except (NotADirectoryError, IsADirectoryError):
            raise Conflict(f"artifact path {path!r} is in the way of a folder or a file that is there") from None

    @contextmanager
    def _directory(self, path: str, *, make: bool = False) -> Iterator[int]:
        if make:
            self._root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for part in path.split("/") if path else ():
                if make:
                    _made(part, descriptor)
                below = os.open(part, _DIRECTORY, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)


def _made(name: str, parent: int) -> None:
    try:
        os.mkdir(name, dir_fd=parent)
    except FileExistsError:
        return


def _tag(of: os.stat_result) -> str:
    """Changes when the file does; its content is not read for it."""
    return f"{of.st_mtime_ns:x}-{of.st_size:x}"
