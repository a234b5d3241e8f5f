from __future__ import annotations

from collections.abc import Iterable, Sequence


class MemoryOnlineValues:
    """Online values in a dict."""

    def __init__(self) -> None:
        self._views: dict[str, dict[bytes, bytes]] = {}

    def get(self, view: str, keys: Sequence[bytes]) -> list[bytes | None]:
        values = self._views.get(view, {})
        return [values.get(key) for key in keys]

    def put(self, view: str, items: Iterable[tuple[bytes, bytes]]) -> None:
        pairs = list(items)
        self._views.setdefault(view, {}).update(pairs)

    def clear(self, view: str) -> None:
        self._views.pop(view, None)

    def count(self, view: str) -> int:
        return len(self._views.get(view, {}))

    def close(self) -> None:
        self._views.clear()
