"""Files that come in parts: a folder for each upload beside the blobs, and a file for each part."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from hanok.core.clock import from_micros, micros
from hanok.core.errors import Corrupt, UploadNotFound
from hanok.core.tracking import Part, Upload
from hanok.stores.blobs.local import CHUNK_BYTES, LocalBlobs, chunks
from hanok.stores.disk import full_disk_named

_ABOUT = "about.json"
_UPLOAD = re.compile("[0-9a-f]{64}")  # the name of an upload's folder


class LocalUploads:
    """A part's file is named by number, SHA-256 and size, and is there whole or not at all. Parts are not synced: the
    blob made of them is, after each has been read and checked again."""

    def __init__(self, root: Path, blobs: LocalBlobs) -> None:
        self._root, self._blobs = root, blobs

    def put(self, upload: Upload) -> None:
        folder = self._folder(upload.id)
        folder.mkdir(parents=True, exist_ok=True)
        about = {
            "path": upload.path,
            "parts": upload.parts,
            "begun": micros(upload.begun),
            "digest": upload.digest,
            "size_bytes": upload.size_bytes,
        }
        beside = folder / f"{_ABOUT}.new"
        beside.write_bytes(orjson.dumps(about))
        beside.rename(folder / _ABOUT)
        if upload.digest:
            for _, file in _files(folder):
                file.unlink(missing_ok=True)

    def get(self, upload_id: str) -> Upload:
        about = _about(self._folder(upload_id))
        if about is None:
            raise UploadNotFound(
                "no upload is open under this id: it was aborted or it expired; begin it again with mpu/create"
            )
        begun = from_micros(about["begun"])
        return Upload(upload_id, about["path"], about["parts"], begun, about["digest"], about["size_bytes"])

    def put_part(self, upload_id: str, number: int, stream: BinaryIO | Iterator[bytes]) -> Part:
        self.get(upload_id)
        folder = self._folder(upload_id)
        hashed, size = hashlib.sha256(), 0
        descriptor, name = tempfile.mkstemp(dir=folder, prefix="incoming-")
        incoming = Path(name)
        try:
            with full_disk_named("a part of an artifact"), os.fdopen(descriptor, "wb") as file:
                for piece in chunks(stream):
                    hashed.update(piece)
                    size += len(piece)
                    file.write(piece)
            part = Part(number, hashed.hexdigest(), size)
            incoming.rename(_file(folder, part))
        except FileNotFoundError:
            raise UploadNotFound("this upload was aborted while a part of it arrived") from None
        finally:
            incoming.unlink(missing_ok=True)
        for other, path in _files(folder):
            if other.number == number and other != part:
                path.unlink(missing_ok=True)
        return part

    def parts(self, upload_id: str) -> list[Part]:
        self.get(upload_id)
        return sorted((part for part, _ in _files(self._folder(upload_id))), key=lambda p: p.number)

    def assemble(self, upload_id: str, parts: Sequence[Part]) -> tuple[str, int]:
        self.get(upload_id)
        return self._blobs.put(_checked(self._folder(upload_id), parts))

    def remove(self, upload_id: str) -> None:
        shutil.rmtree(self._folder(upload_id), ignore_errors=True)

    def expire(self, before: datetime) -> int:
        left = 0
        for folder in self._root.iterdir() if self._root.is_dir() else ():
            if not _UPLOAD.fullmatch(folder.name) or not folder.is_dir():  # not ours
                continue
            about = _about(folder)
            begun = about["begun"] if about else int(folder.stat().st_mtime * 1e6)
            if begun < micros(before):
                shutil.rmtree(folder, ignore_errors=True)
            else:
                left += 1
        return left

    def _folder(self, upload_id: str) -> Path:
        return self._root / hashlib.sha256(upload_id.encode()).hexdigest()


def _checked(folder: Path, parts: Sequence[Part]) -> Iterator[bytes]:
    for part in parts:
        hashed = hashlib.sha256()
        try:
            with _file(folder, part).open("rb", buffering=0) as file:
                while piece := file.read(CHUNK_BYTES):
                    hashed.update(piece)
                    yield piece
        except FileNotFoundError:
            raise UploadNotFound(f"part {part.number} of this upload is no longer there; send it again") from None
        if hashed.hexdigest() != part.etag:
            raise Corrupt(f"part {part.number} of an upload is damaged on the disk; send it again")


def _file(folder: Path, part: Part) -> Path:
    return folder / f"{part.number}.{part.etag}.{part.size_bytes}"


def _files(folder: Path) -> Iterator[tuple[Part, Path]]:
    for path in folder.glob("*.*.*"):
        number, etag, size = path.name.split(".")
        with contextlib.suppress(ValueError):
            yield Part(int(number), etag, int(size)), path


def _about(folder: Path) -> dict[str, Any] | None:
    try:
        return orjson.loads((folder / _ABOUT).read_bytes())
    except FileNotFoundError:
        return None
