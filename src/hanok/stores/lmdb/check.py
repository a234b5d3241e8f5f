"""Whether an environment can be read to its end. LMDB trusts its file and a damaged one may end the process that
reads it, so this runs in a process of its own: `python -m hanok.stores.lmdb.check FOLDER`."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import lmdb

DATA, LOCK, CLEAN = "data.mdb", "lock.mdb", "clean"
READERS_MAX = 512
CHECK_S = 600
HASHED_MAX = 1 << 28


def broken(folder: Path) -> str:
    """Why the values in a folder cannot be read; "" when they can, or none are there."""
    data = folder / DATA
    if not data.exists() or not data.stat().st_size:
        return ""
    command = [sys.executable, "-m", "hanok.stores.lmdb.check", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=CHECK_S, check=False)
    except subprocess.TimeoutExpired:
        return f"reading it took over {CHECK_S} s"
    if done.returncode == 0:
        return ""
    return (done.stderr.strip().splitlines() or [f"reading it ended with {done.returncode}"])[-1][:300]


def note_clean(folder: Path, transaction: int) -> None:
    """Note that the file was closed in good order after a transaction, and what it looked like then; nothing while
    another process has it open."""
    with (folder / LOCK).open("r+b") as held:
        try:
            fcntl.lockf(held, fcntl.LOCK_EX | fcntl.LOCK_NB, 1)  # each process that has it open shares this byte
        except BlockingIOError:
            return
    found = (folder / DATA).stat()
    digest = _digest(folder / DATA) if found.st_size <= HASHED_MAX else ""
    (folder / CLEAN).write_text(json.dumps([found.st_size, found.st_mtime_ns, transaction, digest]))


def note_written(folder: Path) -> None:
    """Before the first write: what was noted holds no longer."""
    (folder / CLEAN).unlink(missing_ok=True)


def is_clean(folder: Path) -> bool:
    """Whether nobody wrote since `note_clean`."""
    try:
        found = (folder / DATA).stat()
        return bool(_noted(folder)[:2] == [found.st_size, found.st_mtime_ns])
    except (OSError, ValueError):
        return False


def _noted(folder: Path) -> list[int | str]:
    noted: list[int | str] = json.loads((folder / CLEAN).read_bytes())
    return noted if isinstance(noted, list) and len(noted) == 4 else []


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def walk(folder: Path) -> None:
    """Read everything, also while others write: under a reader's lock no page of the snapshot is used again. Raises
    lmdb.Error, OSError."""

    env = _opened(folder)
    pages, psize = env.info()["last_pgno"] + 1, env.stat()["psize"]
    size = (folder / DATA).stat().st_size  # after its pages were counted: it may grow
    if pages * psize > size:
        raise OSError(f"it has {size} bytes and names {pages} pages: its end is cut")
    if _is_other(folder, env.info()["last_txnid"]):
        raise OSError("it has other bytes than were written")
    with env.begin() as transaction:
        entries = transaction.stat()["entries"]
        found = 0
        last = b""
        for key, value in transaction.cursor():
            if found and bytes(key) <= last:
                raise OSError("its keys are out of order")
            last, found = bytes(key), found + 1
            len(bytes(value))
        if found != entries:
            raise OSError(f"it names {entries} entries and has {found}")
    env.close()


def _opened(folder: Path) -> lmdb.Environment:
    """With the lock of readers where one can be taken: where it cannot, nobody writes here as this user."""
    import lmdb

    held = folder / LOCK
    lock = os.access(held if held.exists() else folder, os.W_OK)
    env = lmdb.open(str(folder), readonly=True, lock=lock, create=False, max_readers=READERS_MAX)
    if lock:
        env.reader_check()  # of checks that were ended
    return env


def _is_other(folder: Path, transaction: int) -> bool:
    """Whether the file differs from what was noted when it was closed. Who writes removes that note first."""
    try:
        noted = _noted(folder)
        if not noted or noted[2] != transaction or noted[3] in ("", _digest(folder / DATA)):
            return False
        return _noted(folder) == noted
    except (FileNotFoundError, ValueError):
        return False


if __name__ == "__main__":
    try:
        walk(Path(sys.argv[1]))
    except Exception as error:  # noqa: BLE001 (whatever it is, the file cannot be read)
        sys.exit(f"{type(error).__name__}: {error}")
