"""One environment per process; it grows by doubling when it is full.

LMDB may move its map only while no transaction of this process is open, so readers are counted and a resize waits for
them. Reads last microseconds; writers of all processes take turns.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import lmdb

from hanok.core.errors import Corrupt
from hanok.stores.disk import full_disk_named
from hanok.stores.lmdb.check import DATA, READERS_MAX, broken, is_clean, note_clean, note_written

log = logging.getLogger("hanok.stores")
_DAMAGE = (lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.InvalidError, lmdb.PanicError, lmdb.VersionMismatchError)

START_BYTES = 16 << 20
KEY_MAX = 480
CLEAR_MAX = 10_000  # keys dropped in one transaction, so that writers get their turn


class LmdbOnlineValues:
    """Open it after a process is spawned, never before. What is there and cannot be read is put aside: values are made
    of tables, and whoever asks for them fills them again."""

    def __init__(self, path: Path, *, start_bytes: int = START_BYTES) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._path = path
        if not is_clean(path) and (why := broken(path)):
            log.error("online feature values cannot be read and are filled again: %s", why)
            put_aside(path)
        self._env = lmdb.open(str(path), map_size=start_bytes, metasync=False, max_readers=READERS_MAX)
        self._env.reader_check()  # what a process that died still held
        self._written = False
        self._writing = threading.Lock()
        self._readers = threading.Condition()
        self._reading = 0
        self._moving = False

    def get(self, space: str, keys: Sequence[bytes]) -> list[bytes | None]:
        full = [_key(space, key) for key in keys]
        with self._read() as transaction:
            return [_bytes(transaction.get(key)) for key in full]

    def put(self, space: str, items: Iterable[tuple[bytes, bytes]]) -> None:
        pairs = [(_key(space, key), value) for key, value in items]

        def work(transaction: lmdb.Transaction) -> None:
            for key, value in pairs:
                transaction.put(key, value)

        self._write(work)

    def merge(self, space: str, keys: Sequence[bytes], merged: Callable[[bytes, bytes | None], bytes]) -> None:
        pairs = [(key, _key(space, key)) for key in keys]

        def work(transaction: lmdb.Transaction) -> None:
            for key, full in pairs:
                transaction.put(full, merged(key, _bytes(transaction.get(full))))

        self._write(work)

    def clear(self, space: str) -> None:
        gone = 0

        def work(transaction: lmdb.Transaction) -> None:
            nonlocal gone
            found = [key for key, _ in zip(_keys(transaction, space), range(CLEAR_MAX), strict=False)]
            for key in found:
                transaction.delete(key)
            gone = len(found)

        self._write(work)
        while gone == CLEAR_MAX:
            self._write(work)

    def count(self, space: str) -> int:
        with self._read() as transaction:
            return sum(1 for _ in _keys(transaction, space))

    def spaces(self) -> list[str]:
        found = []
        with self._read() as transaction:
            cursor = transaction.cursor()
            more = cursor.first()
            while more:
                space, _, _ = bytes(cursor.key()).partition(b"\0")
                found.append(space.decode())
                more = cursor.set_range(space + b"\x01")
        return found

    def close(self) -> None:
        try:
            last = self._env.info()["last_txnid"]
        except lmdb.Error:  # it is closed already
            return
        self._env.close()
        if (self._path / DATA).exists():
            note_clean(self._path, last)

    @contextmanager
    def _read(self) -> Iterator[lmdb.Transaction]:
        """A snapshot. Where another process has grown the map, its size is taken over first."""
        while (transaction := self._snapshot()) is None:
            with self._writing:
                self._resize(0)
        try:
            with transaction:
                yield transaction
        except _DAMAGE as error:
            raise _damaged(error) from error
        finally:
            self._let_go()

    def _snapshot(self) -> lmdb.Transaction | None:
        """None when the map has another size by now."""
        with self._readers:
            while self._moving:
                self._readers.wait()
            self._reading += 1
        try:
            return self._env.begin()
        except lmdb.MapResizedError:
            self._let_go()
            return None
        except BaseException:
            self._let_go()
            raise

    def _let_go(self) -> None:
        with self._readers:
            self._reading -= 1
            if self._moving:
                self._readers.notify_all()

    def _write(self, work: Callable[[lmdb.Transaction], None]) -> None:
        """All of `work` or nothing; it is run again after the map has grown."""
        with self._writing, full_disk_named("online feature values"):
            if not self._written:
                note_written(self._path)
                self._written = True
            while True:
                try:
                    with self._env.begin(write=True) as transaction:
                        work(transaction)
                    return
                except lmdb.MapResizedError:
                    self._resize(0)
                except lmdb.MapFullError:
                    self._env.reader_check()
                    self._resize(self._env.info()["map_size"] * 2)
                except _DAMAGE as error:
                    raise _damaged(error) from error

    def _resize(self, size: int) -> None:
        """`size` 0 takes the size that another process has given it. The caller holds the lock of writers."""
        with self._readers:
            self._moving = True
            while self._reading:
                self._readers.wait()
        try:
            self._env.set_mapsize(size)
        finally:
            with self._readers:
                self._moving = False
                self._readers.notify_all()


def put_aside(path: Path) -> None:
    """Keep files that cannot be read out of the way, under the first free name."""
    number = 1
    while (target := path / f"damaged-{number}.mdb").exists():
        number += 1
    (path / DATA).replace(target)
    (path / "lock.mdb").unlink(missing_ok=True)


def _damaged(error: Exception) -> Corrupt:
    return Corrupt(f"the online feature values are damaged: {error}; they are filled again when Hanok is next started")


def _bytes(found: bytes | memoryview | None) -> bytes | None:
    return None if found is None else bytes(found)


def _key(space: str, key: bytes) -> bytes:
    full = space.encode() + b"\0" + key
    if len(full) > KEY_MAX:  # LMDB keys end at 511 bytes
        return space.encode() + b"\0#" + hashlib.sha256(key).digest()
    return full


def _keys(transaction: lmdb.Transaction, space: str) -> Iterator[bytes]:
    prefix = space.encode() + b"\0"
    cursor = transaction.cursor()
    if cursor.set_range(prefix):
        for found in cursor.iternext(values=False):
            key = bytes(found)
            if not key.startswith(prefix):
                return
            yield key
