"""Tensors as bytes behind the JSON of a request or reply: the Open Inference Protocol's binary tensor data extension.

Little-endian, row by row; BYTES as a length of 32 bits and that many bytes for each element; BOOL one byte each.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

from hanok.core.errors import SignatureMismatch
from hanok.wire.inference.cells import Cell

_DTYPES = {
    "BOOL": "|u1",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
    **{f"INT{bits}": f"<i{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": f"<u{bits // 8}" for bits in (8, 16, 32, 64)},
}


def split(body: bytes, header: str) -> tuple[bytes, bytes]:
    """The JSON and the bytes behind it, by Inference-Header-Content-Length. Raises SignatureMismatch."""
    if not (header.isascii() and header.isdecimal() and len(header) <= 12) or int(header) > len(body):
        raise SignatureMismatch(
            f"Inference-Header-Content-Length is {header[:40]!r} and the body has {len(body)} bytes: it is the length "
            "of the JSON before the tensors"
        )
    return body[: int(header)], body[int(header) :]


def cells(name: str, datatype: str, content: bytes, count: int) -> list[Cell]:
    """The elements of a tensor; NaN is a missing value. Raises SignatureMismatch for bytes that do not fit."""
    if datatype == "BYTES":
        return _texts(name, content, count)
    dtype = np.dtype(_DTYPES[datatype])
    if len(content) != count * dtype.itemsize:
        raise SignatureMismatch(
            f"input {name[:200]!r} has {len(content)} bytes; {count} values of {datatype} are {count * dtype.itemsize}"
        )
    found: list[Cell] = np.frombuffer(content, dtype).tolist()
    if datatype.startswith("FP"):
        return [None if v != v else v for v in found]
    if datatype == "BOOL" and not set(found) <= {0, 1}:
        raise SignatureMismatch(f"input {name[:200]!r} is BOOL and holds a byte that is neither 0 nor 1")
    return [bool(v) for v in found] if datatype == "BOOL" else found


def _texts(name: str, content: bytes, count: int) -> list[Cell]:
    texts: list[Cell] = []
    place, end = 0, len(content)
    while place < end and len(texts) < count:
        size = int.from_bytes(content[place : place + 4], "little")
        if place + 4 + size > end:
            break
        try:
            texts.append(content[place + 4 : place + 4 + size].decode())
        except UnicodeDecodeError:
            raise SignatureMismatch(f"element {len(texts)} of input {name[:200]!r} is not UTF-8 text") from None
        place += 4 + size
    if place != end or len(texts) != count:
        raise SignatureMismatch(
            f"input {name[:200]!r} has {len(content)} bytes, which are not {count} texts with their lengths before them"
        )
    return texts


def known(datatype: str) -> bool:
    return datatype == "BYTES" or datatype in _DTYPES


def numbers(values: Sequence[float]) -> bytes:
    """FP64 values."""
    return np.asarray(values, "<f8").tobytes()


def texts(values: Sequence[str | None]) -> bytes:
    """BYTES elements; null is empty."""
    encoded = [(v or "").encode() for v in values]
    return b"".join(struct.pack("<I", len(v)) + v for v in encoded)
