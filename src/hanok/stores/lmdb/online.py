"""One environment per process; it grows by doubling when it is full."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import lmdb

from hanok.stores.disk import full_disk_named

START_BYTES = 16 << 20
KEY_MAX = 480


class LmdbOnlineValues:
    """Open it after a process is spawned, never before."""

    def __init__(self, path: Path, *, start_bytes: int = START_BYTES) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._env = lmdb.open(str(path), map_size=start_bytes, metasync=False, max_readers=512)
        size = self._env.info()["map_size"]
        self._size = max(size, start_bytes)
        self._lock = threading.Lock()

    def get(self, view: str, keys: Sequence[bytes]) -> list[bytes | None]:
        try:
            with self._env.begin() as transaction:
                return [transaction.get(_key(view, key)) for key in keys]
        except lmdb.MapResizedError:
            self._env.set_mapsize(0)  # another process grew it: take its size
            return self.get(view, keys)

    def put(self, view: str, items: Iterable[tuple[bytes, bytes]]) -> None:
        pairs = [(_key(view, key), value) for key, value in items]
        with self._lock, full_disk_named("online feature values"):
            while True:
                try:
                    with self._env.begin(write=True) as transaction:
                        for key, value in pairs:
                            transaction.put(key, value)
                    return
                except lmdb.MapFullError:
                    self._size *= 2
                    self._env.set_mapsize(self._size)

    def clear(self, view: str) -> None:
        with self._lock, self._env.begin(write=True) as transaction:
            for key in list(_keys(transaction, view)):
                transaction.delete(key)

    def count(self, view: str) -> int:
        with self._env.begin() as transaction:
            return sum(1 for _ in _keys(transaction, view))

    def close(self) -> None:
        self._env.close()


def _key(view: str, key: bytes) -> bytes:
    full = view.encode() + b"\0" + key
    if len(full) > KEY_MAX:  # LMDB keys end at 511 bytes
        return view.encode() + b"\0#" + hashlib.sha256(key).digest()
    return full


def _keys(transaction: lmdb.Transaction, view: str) -> Iterator[bytes]:
    prefix = view.encode() + b"\0"
    cursor = transaction.cursor()
    if cursor.set_range(prefix):
        for found in cursor.iternext(values=False):
            key = bytes(found)
            if not key.startswith(prefix):
                return
            yield key
