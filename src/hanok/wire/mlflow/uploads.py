"""Files in parts and links to files, as the protocol's clients ask for them and are answered."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from hanok.core.tracking import Part, Upload
from hanok.wire.mlflow.requests import Request, Required

UPLOAD_HEADER = "X-Hanok-Upload"
LINK_HEADER = "X-Hanok-Link"


class CreateUpload(Request, frozen=True, kw_only=True):
    """`path` is the file's name on the client's disk; older clients send the whole local path."""

    path: Required
    num_parts: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 1


class WirePart(Request, frozen=True, kw_only=True):
    part_number: int
    etag: Required


class CompleteUpload(Request, frozen=True, kw_only=True):
    path: Required
    upload_id: Required
    parts: Annotated[tuple[WirePart, ...], msgspec.Meta(max_length=10_000)]


class AbortUpload(Request, frozen=True, kw_only=True):
    path: Required
    upload_id: Required


def artifact_path(folder: str, local_path: str) -> str:
    """Where a local file goes: under its own name in the folder that the URL names."""
    name = re.split(r"[/\\]", local_path)[-1]
    return f"{folder.strip('/')}/{name}".lstrip("/")


def begun(upload: Upload, parts_url: str) -> dict[str, Any]:
    """Where each part goes, and the header without which it is refused. `parts_url` is absolute."""
    headers = {UPLOAD_HEADER: upload.id}
    return {
        "upload_id": upload.id,
        "credentials": [
            {"url": f"{parts_url}/{number}", "part_number": number, "headers": headers}
            for number in range(1, upload.parts + 1)
        ],
    }


def arrived(upload: Upload, parts: Sequence[Part]) -> dict[str, Any]:
    return {
        "path": upload.path,
        "num_parts": upload.parts,
        "complete": bool(upload.digest),
        "parts": [{"part_number": p.number, "etag": p.etag, "size": p.size_bytes} for p in parts],
    }
