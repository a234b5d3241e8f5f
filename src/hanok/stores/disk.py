"""Durable file operations, and the errors of a disk in Hanok's words."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from hanok.core.errors import StorageFull


def sync_directory(path: Path) -> None:
    """Make renames and new names inside `path` durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


FULL = ("No space left on device", "database or disk is full")  # as Delta and SQLite have it in errors of their own


@contextlib.contextmanager
def full_disk_named(what: str) -> Iterator[None]:
    """Turn ENOSPC into StorageFull that says what was not written."""
    try:
        yield
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else None
        if number in (errno.ENOSPC, errno.EDQUOT) or any(said in str(error) for said in FULL):
            raise StorageFull(f"the disk is full: {what} was not written; free space and try again") from error
        raise
