from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import BinaryIO

from hanok.core.errors import ArtifactNotFound
from hanok.stores.blobs.local import chunks


class MemoryBlobs:
    """Content-addressed bytes in a dict."""

    def __init__(self) -> None:
        self._content: dict[str, bytes] = {}
        self._put: dict[str, datetime] = {}

    def put(self, stream: BinaryIO | Iterator[bytes]) -> tuple[str, int]:
        content = b"".join(chunks(stream))
        digest = hashlib.sha256(content).hexdigest()
        self._content[digest] = content
        self._put[digest] = datetime.now(UTC)
        return digest, len(content)

    def open(self, digest: str) -> BinaryIO:
        if digest not in self._content:
            raise ArtifactNotFound(f"no artifact has the digest {digest[:80]}")
        return io.BytesIO(self._content[digest])

    def path(self, digest: str) -> str | None:
        return None

    def verify(self, digest: str) -> bool:
        return hashlib.sha256(self.open(digest).read()).hexdigest() == digest

    def digests(self) -> Iterator[str]:
        yield from sorted(self._content)

    def delete(self, digest: str) -> None:
        self._content.pop(digest, None)

    def discard(self, digest: str, before: datetime) -> int | None:
        if digest not in self._content or self._put[digest] >= before:
            return None
        return len(self._content.pop(digest))
