"""Durable file operations, and the errors of a disk in Hanok's words."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from hanok.core.errors import StorageFull

FRESH_S = 1.0


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


@contextlib.contextmanager
def held(descriptor: int) -> Iterator[None]:
    """While this goes on, `remove_abandoned` leaves an unfinished file or folder alone; that of a process that was
    killed is held by nobody."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield


def remove_abandoned(folder: Path, pattern: str) -> None:
    """Remove unfinished files and folders that nobody holds any more; one of this second may be about to be held."""
    for path in folder.glob(pattern):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if time.time() - os.fstat(descriptor).st_mtime < FRESH_S:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        except BlockingIOError:
            continue
        finally:
            os.close(descriptor)
