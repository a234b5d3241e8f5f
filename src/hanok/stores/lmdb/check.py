"""Whether an environment can be read to its end. LMDB trusts its file and a damaged one may end the process that
reads it, so this runs in a process of its own: `python -m hanok.stores.lmdb.check FOLDER`."""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import sys
from pathlib import Path

DATA, CLEAN = "data.mdb", "clean"
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
    """Note that the file was closed in good order after a transaction, and what it looked like then."""
    found = (folder / DATA).stat()
    digest = _digest(folder / DATA) if found.st_size <= HASHED_MAX else ""
    (folder / CLEAN).write_text(json.dumps([found.st_size, found.st_mtime_ns, transaction, digest]))


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
    """Read everything. Raises lmdb.Error, OSError."""
    import lmdb

    env = lmdb.open(str(folder), readonly=True, lock=False, create=False)
    pages = env.info()["last_pgno"] + 1
    size = (folder / DATA).stat().st_size
    if pages * env.stat()["psize"] > size:
        raise OSError(f"it has {size} bytes and names {pages} pages: its end is cut")
    with contextlib.suppress(FileNotFoundError, ValueError):
        noted = _noted(folder)
        if noted and noted[2] == env.info()["last_txnid"] and noted[3] not in ("", _digest(folder / DATA)):
            raise OSError("it has other bytes than were written")
    with env.begin() as transaction:
        found = 0
        last = b""
        for key, value in transaction.cursor():
            if found and bytes(key) <= last:
                raise OSError("its keys are out of order")
            last, found = bytes(key), found + 1
            len(bytes(value))
        if found != env.stat()["entries"]:
            raise OSError(f"it names {env.stat()['entries']} entries and has {found}")
    env.close()


if __name__ == "__main__":
    try:
        walk(Path(sys.argv[1]))
    except Exception as error:  # noqa: BLE001 (whatever it is, the file cannot be read)
        sys.exit(f"{type(error).__name__}: {error}")
