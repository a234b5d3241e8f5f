from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence


class MemoryOnlineValues:
    """Online values in a dict."""

    def __init__(self) -> None:
        self._spaces: dict[str, dict[bytes, bytes]] = {}
        self._lock = threading.Lock()

    def get(self, space: str, keys: Sequence[bytes]) -> list[bytes | None]:
        with self._lock:
            values = self._spaces.get(space, {})
            return [values.get(key) for key in keys]

    def put(self, space: str, items: Iterable[tuple[bytes, bytes]]) -> None:
        pairs = list(items)
        with self._lock:
            self._spaces.setdefault(space, {}).update(pairs)

    def merge(self, space: str, keys: Sequence[bytes], merged: Callable[[bytes, bytes | None], bytes]) -> None:
        with self._lock:
            values = dict(self._spaces.get(space, {}))
            for key in keys:
                values[key] = merged(key, values.get(key))
            self._spaces[space] = values

    def clear(self, space: str) -> None:
        with self._lock:
            self._spaces.pop(space, None)

    def count(self, space: str) -> int:
        with self._lock:
            return len(self._spaces.get(space, {}))

    def spaces(self) -> list[str]:
        with self._lock:
            return sorted(name for name, values in self._spaces.items() if values)

    def close(self) -> None:
        self._spaces.clear()
