"""WebSocket frames (RFC 6455), as far as NNI's tuner process speaks them: text both ways, ping, pong, close."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field

_MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUED, TEXT, CLOSE, PING, PONG = 0, 1, 8, 9, 10
_SHORT, _LONG = 126, 127


def accept_key(key: str) -> str:
    """`Sec-WebSocket-Accept` for a client's `Sec-WebSocket-Key` (section 4.2.2)."""
    return base64.b64encode(hashlib.sha1((key + _MAGIC).encode()).digest()).decode()


def encode_frame(kind: int, payload: bytes) -> bytes:
    """A whole message of a server, unmasked (section 5.2)."""
    size = len(payload)
    if size < _SHORT:
        head = bytes((0x80 | kind, size))
    elif size < 1 << 16:
        head = bytes((0x80 | kind, _SHORT)) + size.to_bytes(2)
    else:
        head = bytes((0x80 | kind, _LONG)) + size.to_bytes(8)
    return head + payload


@dataclass
class Frames:
    """What has come from a client: fed with bytes, it gives whole messages as (kind, payload)."""

    _waiting: bytearray = field(default_factory=bytearray)
    _parts: bytearray = field(default_factory=bytearray)
    _kind: int = TEXT

    def feed(self, content: bytes) -> list[tuple[int, bytes]]:
        self._waiting += content
        found = []
        while (frame := self._next()) is not None:
            last, kind, payload = frame
            if kind >= CLOSE:
                found.append((kind, payload))
                continue
            if kind != CONTINUED:
                self._kind = kind
            self._parts += payload
            if last:
                found.append((self._kind, bytes(self._parts)))
                self._parts.clear()
        return found

    def _next(self) -> tuple[bool, int, bytes] | None:
        """The next frame, unmasked (section 5.3); None until it is whole."""
        data = self._waiting
        if len(data) < 2:
            return None
        size, at = data[1] & 0x7F, 2
        if size >= _SHORT:
            width = 2 if size == _SHORT else 8
            if len(data) < at + width:
                return None
            size, at = int.from_bytes(data[at : at + width]), at + width
        mask = bytes(4)
        if data[1] & 0x80:
            mask, at = bytes(data[at : at + 4]), at + 4
        if len(data) < at + size or len(mask) < 4:
            return None
        repeated = (mask * (size // 4 + 1))[:size]
        payload = (int.from_bytes(data[at : at + size]) ^ int.from_bytes(repeated)).to_bytes(size)
        frame = bool(data[0] & 0x80), data[0] & 0x0F, payload
        del data[: at + size]
        return frame
