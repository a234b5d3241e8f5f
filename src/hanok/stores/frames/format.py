"""The bytes of a frame file, and how its frames are found again behind a damaged place.

A file begins with a magic. A frame of format 2 is a head (marker, number, size, CRC-32 of the payload, CRC-32 of the
head) and its payload: a damaged byte costs the frame it lies in, and the next marker with a good head goes on. A frame
of format 1 is its size, a CRC-32 and its payload, without a number: behind a damaged size the next place is searched
where size and checksum fit.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

import numpy as np

from hanok.core.errors import Corrupt

MAGIC_1, MAGIC_2 = b"HANOKFR1", b"HANOKFR2"
MAGIC_BYTES = 8
MARKER = b"\xffHF2"
HEAD_1, HEAD_2 = struct.Struct("<II"), struct.Struct("<4sIIII")
_PLAIN = struct.Struct("<4sIII")  # a head of format 2 without its own checksum
SEARCH_BYTES = 1 << 29  # checksummed at most while a frame of format 1 is searched
UNNUMBERED = 1 << 31  # added to the offset of a frame whose number is lost: no id that anybody was given


@dataclass(frozen=True, slots=True)
class Frame:
    """`number` counts from 0 and stays, whatever is damaged before it."""

    number: int
    start: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes [`start`, `end`) of a file that are no frames. `lost` are the numbers of the frames that lay there; None
    where nobody knows."""

    start: int
    end: int
    lost: range | None

    def __str__(self) -> str:
        if self.lost is None:
            what = "an unknown number of records is lost"
        elif len(self.lost) == 1:
            what = f"record {self.lost[0]} is lost"
        else:
            what = f"records {self.lost[0]} to {self.lost[-1]} are lost" if self.lost else "no record is lost"
        return f"damaged at bytes {self.start} to {self.end}: {what}"


@dataclass(slots=True)
class Contents:
    """All frames of a file that are whole. `end` is where the next is appended: behind it lies only a last frame that
    was never finished, which a kill leaves and which is no damage."""

    format: int = 2
    frames: list[Frame] = field(default_factory=list)
    damage: list[Damage] = field(default_factory=list)
    end: int = MAGIC_BYTES

    @property
    def next_number(self) -> int:
        return self.frames[-1].number + 1 if self.frames else 0

    def refuse_damage(self, name: str) -> None:
        """Raises Corrupt when anything is damaged."""
        if self.damage:
            raise Corrupt(f"{name} is {'; '.join(map(str, self.damage[:3]))}. See: hanok doctor")


def packed(payload: bytes, checksum: int, number: int, format: int) -> bytes:
    """One frame as bytes; `checksum` is the CRC-32 of the payload."""
    if format == 1:
        return HEAD_1.pack(len(payload), checksum) + payload
    plain = _PLAIN.pack(MARKER, number, len(payload), checksum)
    return plain + zlib.crc32(plain).to_bytes(4, "little") + payload


def head_size(format: int) -> int:
    return HEAD_1.size if format == 1 else HEAD_2.size


def head_at(data: bytes | memoryview, offset: int, format: int) -> tuple[int | None, int, int] | None:
    """Number (None in format 1), size and checksum of the frame whose head is there; None where none can be."""
    if offset + head_size(format) > len(data):
        return None
    if format == 1:
        size, checksum = HEAD_1.unpack_from(data, offset)
        return (None, size, checksum) if size else None  # nothing was ever without bytes; zeros are no frame
    marker, number, size, checksum, own = HEAD_2.unpack_from(data, offset)
    if marker != MARKER or zlib.crc32(data[offset : offset + _PLAIN.size]) != own:
        return None
    return number, size, checksum


def contents(data: bytes) -> Contents:
    """Read a whole file. Never raises: what is no frame is in `damage`."""
    magic = data[:MAGIC_BYTES]
    if len(data) < MAGIC_BYTES and (MAGIC_1.startswith(data) or MAGIC_2.startswith(data)):
        return Contents(end=0)
    found = Contents(format=_format(data, magic))
    if magic != (MAGIC_1 if found.format == 1 else MAGIC_2):
        found.damage.append(Damage(0, len(magic), range(0)))
    _walk(data, found)
    return found


def _format(data: bytes, magic: bytes) -> int:
    """What the frames are, also behind a damaged magic."""
    if magic == MAGIC_2 or (_whole(data, MAGIC_BYTES, 1) is None and _next_2(data, MAGIC_BYTES) is not None):
        return 2
    return 1 if magic == MAGIC_1 or _next_1(data, MAGIC_BYTES) is not None else 2


def _walk(data: bytes, found: Contents) -> None:
    offset, number = min(MAGIC_BYTES, len(data)), 0
    while offset < len(data):
        frame = _whole(data, offset, found.format)
        if frame is None:
            behind = _behind(data, offset, found, number)
            if behind is None:
                found.end = offset
                return
            offset, number = behind
            continue
        found.frames.append(Frame(number if frame.number < 0 else frame.number, offset, frame.payload))
        number = found.frames[-1].number + 1
        offset += head_size(found.format) + len(frame.payload)
        if number > UNNUMBERED:
            number = UNNUMBERED | offset
    found.end = offset


def _whole(data: bytes, offset: int, format: int) -> Frame | None:
    """The frame at a place, when all of it is right; its number is -1 in format 1."""
    head = head_at(data, offset, format)
    if head is None:
        return None
    number, size, checksum = head
    start = offset + head_size(format)
    payload = data[start : start + size]
    if len(payload) < size or zlib.crc32(payload) != checksum:
        return None
    return Frame(-1 if number is None else number, offset, payload)


def _behind(data: bytes, offset: int, found: Contents, number: int) -> tuple[int, int] | None:
    """Note the damage at `offset`; the place and number of the next frame, or of the end. None for a frame that was
    never finished."""
    head = head_at(data, offset, found.format)
    start = offset + head_size(found.format)
    end = None if head is None else start + head[1]
    if end is not None and end <= len(data) and (end == len(data) or _whole(data, end, found.format) is not None):
        found.damage.append(Damage(offset, end, range(number, number + 1)))  # the head is right, the payload is not
        return end, number + 1
    after = _next_2(data, offset + 1) if found.format == 2 else _next_1(data, offset + 1)
    if found.format == 1 and head is not None and zlib.crc32(data[start:after]) == head[2]:
        found.damage.append(Damage(offset, start, range(0)))  # its size alone was damaged: the payload is whole
        found.frames.append(Frame(number, offset, data[start:after]))
        return len(data) if after is None else after, number + 1
    if after is None:
        if len(data) < start or (end is not None and end > len(data)) or not any(data[offset:]):
            return None
        found.damage.append(Damage(offset, len(data), None))
        return len(data), number
    told = head_at(data, after, found.format)
    if told is None or told[0] is None:
        found.damage.append(Damage(offset, after, None))
        return after, UNNUMBERED | after
    found.damage.append(Damage(offset, after, range(number, max(number, told[0]))))
    return after, told[0]


def _next_2(data: bytes, offset: int) -> int | None:
    while (offset := data.find(MARKER, offset)) >= 0:
        if _whole(data, offset, 2) is not None:
            return offset
        offset += 1
    return None


def _next_1(data: bytes, offset: int) -> int | None:
    body = np.frombuffer(data, np.uint8)[offset:].astype(np.uint32)
    if len(body) < HEAD_1.size + 1:
        return None
    sizes = body[:-3] | body[1:-2] << 8 | body[2:-1] << 16 | body[3:] << 24
    left = len(body) - HEAD_1.size - np.arange(len(sizes))
    budget = SEARCH_BYTES
    for place in np.flatnonzero((sizes > 0) & (sizes.astype(np.int64) <= left)):
        budget -= int(sizes[place])
        if budget < 0:
            return None
        if _whole(data, offset + int(place), 1) is not None:
            return offset + int(place)
    return None
