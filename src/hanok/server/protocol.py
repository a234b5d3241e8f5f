"""HTTP/1.1 as uvicorn speaks it with httptools, within bounds on what a client may send, and how long it may take to,
before anybody knows who it is."""

from __future__ import annotations

import asyncio
import resource
from dataclasses import dataclass

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

LOOKS = 4  # in each deadline
LINGER_S = 0.5  # so long what still comes after a refusal is thrown away: an end in the middle would lose the refusal
OTHER_FILES = 256  # that a server has open besides its connections


@dataclass(frozen=True, slots=True)
class Bounds:
    """`headers_bytes` is of the request line and all headers, `headers_s` from their first byte, or the connection's
    beginning, to the end of them. While a body is waited for, something of it comes every `body_s`."""

    headers_bytes: int = 64 << 10
    headers_s: float = 10.0
    body_s: float = 30.0
    connections: int = 2000


def affordable(bounds: Bounds | None = None) -> Bounds:
    """No more connections than the process may have files."""
    wanted = bounds or Bounds()
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted.connections if files == resource.RLIM_INFINITY else min(wanted.connections, files - OTHER_FILES)
    return Bounds(wanted.headers_bytes, wanted.headers_s, wanted.body_s, max(most, 16))


class Bounded(HttpToolsProtocol):
    """One connection; uvicorn makes it by itself, so its bounds are the class's."""

    bounds = affordable()
    _in_headers, _refused = True, False
    _seen = 0
    _since: float | None = None  # when the headers began that are not complete; None between requests
    _came = 0.0  # when the last piece of a body came
    _look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since = self.loop.time()
        if len(self.connections) > self.bounds.connections:
            self._refuse(503, "the server has too many connections; try again in a moment", b"retry-after: 1\r\n")
        else:
            self._look_later()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        while data and not self._refused and not self.transport.is_closing():
            if not self._in_headers:
                super().data_received(data)
                return
            if self._since is None:
                self._since = self.loop.time()
            room = self.bounds.headers_bytes - self._seen
            if room <= 0:
                self._refuse(431, f"a request has {self.bounds.headers_bytes} bytes of headers at most")
                return
            self._seen += min(room, len(data))
            super().data_received(data[:room])
            data = data[room:]

    def on_message_begin(self) -> None:
        if self._since is None:
            self._since = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_headers, self._seen, self._since, self._came = False, 0, None, self.loop.time()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._came = self.loop.time()
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_headers = True
        super().on_message_complete()

    def _look_later(self) -> None:
        every = min(self.bounds.headers_s, self.bounds.body_s) / LOOKS
        self._look = self.loop.call_later(every, self._looked)

    def _looked(self) -> None:
        now, bounds = self.loop.time(), self.bounds
        if self._refused or self.transport.is_closing():
            return
        if self._in_headers and self._since is not None and now - self._since >= bounds.headers_s:
            self._refuse(408, f"the headers were not complete after {bounds.headers_s:g} s")
        elif not self._in_headers and self.flow.read_paused:
            self._came = now  # it is not the client that does not go on
        elif not self._in_headers and now - self._came >= bounds.body_s:
            self._refuse(408, f"nothing of the body came for {bounds.body_s:g} s")
        self._look_later()

    def _refuse(self, status: int, why: str, more: bytes = b"") -> None:
        """Say why, where no answer is under way, and end the connection."""
        self._refused = True
        cycle = self.cycle
        begun = cycle is not None and not cycle.response_complete and (cycle.response_started or self._in_headers)
        if begun:
            self.transport.close()
            return
        said = f"{why}\n".encode()
        head = b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\n" + more
        length = b"content-length: %d\r\n\r\n" % len(said)
        self.transport.write(STATUS_LINE[status] + head + length + said)
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True  # whoever waits for the body hears now that it is cut off
            cycle.message_event.set()
        self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)
