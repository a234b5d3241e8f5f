"""Files between a socket and a thread: never whole in memory, the next piece fetched while one is worked on."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import Future
from typing import Any, BinaryIO

from starlette.requests import Request
from starlette.responses import Response

from hanok.core.errors import Corrupt

CHUNK_BYTES = 1 << 20
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def pieces_of(request: Request) -> Iterator[bytes]:
    """The request's body, for a thread. About a megabyte changes hands at a time, and one more is under way."""
    stream, loop = request.stream(), asyncio.get_running_loop()
    return _from_loop(stream, loop)


def _from_loop(stream: AsyncIterator[bytes], loop: asyncio.AbstractEventLoop) -> Iterator[bytes]:
    async def following() -> bytes:
        gathered, size = list[bytes](), 0
        while size < CHUNK_BYTES and (piece := await anext(stream, b"")):
            gathered.append(piece)
            size += len(piece)
        return b"".join(gathered)  # one large piece: the threads take turns rarely

    pending: Future[bytes] = asyncio.run_coroutine_threadsafe(following(), loop)
    try:
        while piece := pending.result():
            pending = asyncio.run_coroutine_threadsafe(following(), loop)
            yield piece
    finally:
        pending.cancel()


class FileResponse(Response):
    """A file, or the range of it that was asked for. `etag` names the content.

    Answers 304 when the client has it, 206 for one range, 416 for one outside; several ranges get the whole file.
    """

    def __init__(
        self, file: BinaryIO, size_bytes: int, *, etag: str, headers: Mapping[str, str], asked: Mapping[str, str]
    ) -> None:
        self._file = file
        status, first, count = _chosen(asked, f'"{etag}"', size_bytes)
        self._first, self._count = first, count
        super().__init__(None, status, {**headers, "ETag": f'"{etag}"', "Accept-Ranges": "bytes"})
        if status == 206:
            self.headers["Content-Range"] = f"bytes {first}-{first + count - 1}/{size_bytes}"
        if status == 416:
            self.headers["Content-Range"] = f"bytes */{size_bytes}"
        if status == 304:
            del self.headers["content-length"]
        else:
            self.headers["content-length"] = str(count)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        pending, left = None, self._count
        try:
            self._file.seek(self._first)
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            pending = self._read(left)
            while left:
                piece = await pending
                if not piece:
                    raise Corrupt("a file ended before its size; 'hanok doctor' checks the store")
                left -= len(piece)
                pending = self._read(left)
                await send({"type": "http.response.body", "body": piece, "more_body": left > 0})
            if not self._count:
                await send({"type": "http.response.body", "body": b""})
        finally:
            if pending is not None:
                await pending
            self._file.close()

    def _read(self, left: int) -> asyncio.Future[bytes]:
        """The next piece, already under way; nothing for nothing."""
        if not left:
            done = asyncio.get_running_loop().create_future()
            done.set_result(b"")
            return done
        return asyncio.ensure_future(asyncio.to_thread(self._file.read, min(left, CHUNK_BYTES)))


def _chosen(asked: Mapping[str, str], etag: str, size: int) -> tuple[int, int, int]:
    """Status, first byte and number of bytes (RFC 9110, sections 13 and 14)."""
    known = [tag.strip().removeprefix("W/") for tag in asked.get("if-none-match", "").split(",")]
    if etag in known or known == ["*"]:
        return 304, 0, 0
    match = _RANGE.fullmatch(asked.get("range", "").replace(" ", ""))
    if match is None or match.group(1, 2) == ("", "") or asked.get("if-range", etag) != etag:
        return 200, 0, size
    first, last = match.groups()
    if not first:
        count = min(int(last), size)
        return (206, size - count, count) if count else (416, 0, 0)
    if last and int(last) < int(first):
        return 200, 0, size
    if int(first) >= size:
        return 416, 0, 0
    end = min(int(last), size - 1) if last else size - 1
    return 206, int(first), end - int(first) + 1
