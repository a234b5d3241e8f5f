"""A home: the directory that one Hanok lives in, with a lock that makes one process its writer."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import re
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from hanok.core.clock import Clock, ReplayClock, SystemClock
from hanok.core.errors import ConfigError, Corrupt, HomeLocked
from hanok.stores.disk import held, remove_abandoned

log = logging.getLogger("hanok.home")
_UNUSABLE = re.compile(r"%[0-9A-Fa-f]{2}|[\[\]^|\\\x00-\x1f]")  # it opens another path, or none


class Home:
    """`acquire` takes the lock; the address of a running server is noted beside it."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().resolve()
        self._lock: int | None = None
        self._database_lock: int | None = None

    @property
    def database(self) -> Path:
        return self.root / "hanok.db"

    @property
    def tables(self) -> Path:
        return self.root / "tables"

    @property
    def blobs(self) -> Path:
        return self.root / "artifacts"

    @property
    def uploads(self) -> Path:
        """Files that arrive in parts, until they are complete."""
        return self.root / "uploads"

    @property
    def secrets_key(self) -> Path:
        """What seals secrets, unless HANOK_SECRETS_KEY does. No backup holds it."""
        return self.root / "secrets.key"

    @property
    def online(self) -> Path:
        return self.root / "online"

    @property
    def work(self) -> Path:
        """What lies here while something is done: what goes to processes that fit models, a file that arrives, a copy
        of the database. A home may be a folder that a user works in, so its name is our own: all in it is ours."""
        return self.root / "hanok-work"

    @property
    def searches(self) -> Path:
        """Finished parts of searches that were cut down; each folder goes when its search comes to its end."""
        return self.root / "hanok-searches"

    @contextlib.contextmanager
    def scratch(self, prefix: str) -> Iterator[Path]:
        """A folder that is gone afterwards; those of processes that were killed go first."""
        self.work.mkdir(parents=True, exist_ok=True, mode=0o700)
        remove_abandoned(self.work, f"{prefix}*")
        with tempfile.TemporaryDirectory(dir=self.work, prefix=prefix) as name:
            descriptor = os.open(name, os.O_RDONLY)
            try:
                with held(descriptor):
                    yield Path(name)
            finally:
                os.close(descriptor)

    @property
    def log(self) -> Path:
        return self.root / "log"

    def acquire(self) -> None:
        """Become the writer. Raises HomeLocked while another process is, ConfigError where nobody can write."""
        if odd := _UNUSABLE.search(str(self.root)):
            raise ConfigError(
                f"the home {self.root} cannot hold tables: the library of Delta Lake opens no path with {odd[0]!r} in "
                "it. Rename the folder, or name another with --home"
            )
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = _locked(self.root / "lock")
        except OSError as error:
            raise ConfigError(
                f"the home {self.root} cannot be written: {error.strerror}. Hanok writes its lock, log and tables "
                "there: make it writable for this user, or name another with --home"
            ) from error
        if descriptor is None:
            address = self.address()
            where = f" at {address}" if address else ""
            raise HomeLocked(f"another Hanok is using {self.root}{where}: stop it, or give this one another --home")
        self._lock = descriptor
        self._address_file.unlink(missing_ok=True)

    def acquire_database(self, file: Path) -> None:
        """Become the writer of an SQLite file outside the home. Raises HomeLocked while another process is."""
        file.parent.mkdir(parents=True, exist_ok=True)
        self._database_lock = _locked(file.with_name(file.name + ".lock"))
        if self._database_lock is None:
            raise HomeLocked(
                f"another Hanok is using {file}: an SQLite file has one server; for two, put the metadata into "
                "PostgreSQL (docs/how-to/postgresql.md)"
            )

    def refuse_lost_database(self) -> None:
        """Raises Corrupt where data lies in the home and its `hanok.db` is gone or empty: an empty one would look like
        a home in which nothing was ever done."""
        if self.database.exists() and self.database.stat().st_size:
            return
        left = [
            path.name
            for path, sign in ((self.tables, "*/*"), (self.blobs, "??/??/*"), (self.log, "*/*.seg"))
            if next(path.glob(sign), None) is not None
        ]
        if left:
            raise Corrupt(
                f"{self.database} is {'empty' if self.database.exists() else 'missing'} and {' and '.join(left)} of "
                f"{self.root} hold data: restore a backup (hanok restore FILE --home OTHER). To begin anew, move "
                "these folders away"
            )

    def identity(self) -> str:
        """A name of this home that stays, wherever it is moved."""
        file = self.root / "identity"
        if not file.exists():
            file.write_text(uuid.uuid4().hex)
        return file.read_text().strip()

    def note(self, address: str) -> None:
        """Write down where this process answers."""
        body = json.dumps({"address": address, "pid": os.getpid()})
        temporary = self._address_file.with_suffix(".new")
        temporary.write_text(body)
        temporary.replace(self._address_file)

    def forget(self) -> None:
        """Take the noted address back."""
        self._address_file.unlink(missing_ok=True)

    def address(self) -> str:
        """Where the running server answers; "" when none has noted it."""
        try:
            body: Mapping[str, Any] = json.loads(self._address_file.read_text())
        except (FileNotFoundError, ValueError):
            return ""
        return str(body.get("address", "")) if isinstance(body, dict) else ""

    def note_time(self, now: datetime) -> None:
        """Write down that this home lives in replayed time, and how far it has come."""
        temporary = self._clock_file.with_suffix(".new")
        temporary.write_text(json.dumps({"replayed_until": now.isoformat()}))
        temporary.replace(self._clock_file)

    def note_project(self, path: Path) -> None:
        """Write down which project file was applied here, so that the home can be opened from anywhere."""
        temporary = self.root / "project.path.new"
        temporary.write_text(str(path.resolve()))
        temporary.replace(self.root / "project.path")

    def project(self) -> Path | None:
        """The project file that was applied last, if it is still there."""
        noted = self.root / "project.path"
        try:
            path = Path(noted.read_text()) if noted.exists() else None
            return path if path is not None and path.exists() else None
        except (ValueError, OSError):  # damaged bytes are no path
            log.error("%s cannot be read; see: hanok doctor", noted)
            return None

    def clock(self) -> Clock:
        """The clock of this home: the wall clock, or the one of its replay, standing where the replay is."""
        try:
            return ReplayClock(datetime.fromisoformat(json.loads(self._clock_file.read_bytes())["replayed_until"]))
        except FileNotFoundError:
            return SystemClock()
        except (ValueError, TypeError, KeyError):
            log.error("%s cannot be read: the wall clock is used; see: hanok doctor", self._clock_file)
            return SystemClock()

    def release(self) -> None:
        if self._lock is not None:
            self._address_file.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None
        if self._database_lock is not None:
            os.close(self._database_lock)
            self._database_lock = None

    @property
    def _clock_file(self) -> Path:
        return self.root / "clock.json"

    @property
    def _address_file(self) -> Path:
        return self.root / "address.json"


def _locked(path: Path) -> int | None:
    """The descriptor of a file that this process now holds; None while another one does."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
