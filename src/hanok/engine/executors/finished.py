"""Finished parts of searches, as files: a search that is cut down goes on with them.

Each is named by what it is computed from, so that nothing is taken for something else; one that is cut off is none.
"""

from __future__ import annotations

import contextlib
import shutil
from hashlib import sha256
from pathlib import Path

from hanok.core.clock import wall_seconds

KEPT_MAX = 20  # searches that were cut down and never gone on with
DIGEST = 32


class Finished:
    """Of one search, in a folder of its own; without a folder nothing is kept."""

    def __init__(self, root: Path | None, search: str) -> None:
        self._root, self._folder = root, root / search if root is not None else None

    def get(self, key: str) -> bytes | None:
        if self._folder is None:
            return None
        try:
            raw = (self._folder / key).read_bytes()
        except OSError:
            return None
        return raw[DIGEST:] if sha256(raw[DIGEST:]).digest() == raw[:DIGEST] else None

    def put(self, key: str, content: bytes) -> None:
        """Whole or not at all. A disk that takes no more costs the part, not the search."""
        if self._folder is None:
            return
        with contextlib.suppress(OSError):
            if not self._folder.exists():
                self._folder.mkdir(parents=True, mode=0o700)
                self._forget_old()
            new = self._folder / f".{key}-{wall_seconds():.6f}"
            new.write_bytes(sha256(content).digest() + content)
            new.replace(self._folder / key)

    def done(self) -> None:
        """The search came to its end."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _forget_old(self) -> None:
        assert self._root is not None
        folders = sorted((f for f in self._root.iterdir() if f.is_dir()), key=lambda f: f.stat().st_mtime)
        for folder in folders[:-KEPT_MAX]:
            shutil.rmtree(folder, ignore_errors=True)
