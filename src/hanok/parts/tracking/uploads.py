"""Artifacts that arrive in parts: begun, sent in any order and at once, resumed, completed or forgotten."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from datetime import timedelta

from hanok.core.clock import Clock
from hanok.core.errors import Conflict, Invalid, StorageFull, TooLarge, UploadNotFound
from hanok.core.tracking import Artifact, Part, Upload
from hanok.parts.tracking.artifacts import checked_path
from hanok.stores.ports import Metadata
from hanok.stores.ports_tracking import Uploads

PARTS_MAX = 10_000
PART_MAX_BYTES = 5 << 30
FILE_MAX_BYTES = 64 << 30
OPEN_MAX = 1000
EXPIRES = timedelta(days=1)


class UploadVerbs:
    """The id of an upload is what allows to send its parts: who may begin one may hand it on."""

    def __init__(self, metadata: Metadata, uploads: Uploads, clock: Clock) -> None:
        self._metadata, self._uploads, self._clock = metadata, uploads, clock

    def begin(self, path: str, parts: int) -> Upload:
        """Announce a file of so many parts. Raises Invalid, Conflict, and StorageFull when too many are open."""
        checked = checked_path(path)
        if not checked:
            raise Invalid("an artifact needs a path")
        if not 1 <= parts <= PARTS_MAX:
            raise Invalid(f"num_parts is {parts}; a file comes in 1 to {PARTS_MAX} parts, choose larger ones")
        self._metadata.read(lambda r: r.artifacts.check_free(checked))
        self._metadata.read(lambda r: r.artifacts.check_free(checked))
        if self.expire() >= OPEN_MAX:
            raise StorageFull(f"{OPEN_MAX} uploads are open already; complete or abort some, or wait until they expire")
        upload = Upload(secrets.token_urlsafe(32), checked, parts, self._clock.now())
        self._uploads.put(upload)
        return upload

    def put_part(self, upload_id: str, number: int, pieces: Iterator[bytes]) -> Part:
        """Raises UploadNotFound, Invalid for a number that was not announced, TooLarge."""
        upload = self._open(upload_id)
        if not 1 <= number <= upload.parts:
            raise Invalid(f"part {number} was not announced; this upload has parts 1 to {upload.parts}")
        others = sum(p.size_bytes for p in self._uploads.parts(upload_id) if p.number != number)
        return self._uploads.put_part(upload_id, number, _bounded(pieces, min(PART_MAX_BYTES, FILE_MAX_BYTES - others)))

    def parts(self, upload_id: str) -> tuple[Upload, list[Part]]:
        """What has arrived, so that a client can go on where it stopped. Raises UploadNotFound."""
        return self._uploads.get(upload_id), self._uploads.parts(upload_id)

    def complete(self, path: str, upload_id: str, listed: Sequence[tuple[int, str]]) -> Artifact:
        """Make the artifact of the parts, given as number and etag. Again, it has no effect and gives the same answer.

        Raises UploadNotFound, Invalid when the path is another one, Conflict when a part is missing or not the listed.
        """
        upload = self._of_path(path, upload_id)
        if upload.digest:
            return Artifact(upload.path, upload.digest, upload.size_bytes)
        arrived = {p.number: p for p in self._uploads.parts(upload_id)}
        chosen = [_listed(arrived, number, etag) for number, etag in sorted(listed)]
        if [p.number for p in chosen] != list(range(1, upload.parts + 1)):
            raise Conflict(f"{len(listed)} parts are listed; this upload is complete with each of 1 to {upload.parts}")
        digest, size_bytes = self._uploads.assemble(upload_id, chosen)
        artifact = Artifact(upload.path, digest, size_bytes)
        self._metadata.write(lambda r: r.artifacts.put(artifact, self._clock.now()))
        self._uploads.put(Upload(upload.id, upload.path, upload.parts, upload.begun, digest, size_bytes))
        return artifact

    def abort(self, path: str, upload_id: str) -> None:
        """Forget the parts. An upload that is not there, or is complete, is no error: clients abort what failed."""
        try:
            upload = self._of_path(path, upload_id)
        except UploadNotFound:
            return
        if not upload.digest:
            self._uploads.remove(upload_id)

    def expire(self) -> int:
        """Forget uploads of over a day ago; returns how many are open."""
        return self._uploads.expire(self._clock.now() - EXPIRES)

    def _open(self, upload_id: str) -> Upload:
        upload = self._uploads.get(upload_id)
        if upload.digest:
            raise Conflict("this upload is complete; begin another one to replace the file")
        return upload

    def _of_path(self, path: str, upload_id: str) -> Upload:
        upload = self._uploads.get(upload_id)
        if upload.path != checked_path(path):
            raise Invalid(f"this upload is for another path than {path[:200]!r}")
        return upload


def _listed(arrived: dict[int, Part], number: int, etag: str) -> Part:
    part = arrived.get(number)
    if part is None:
        raise Conflict(f"part {number} has not arrived; send it, then complete the upload")
    if part.etag != etag.strip('"'):
        raise Conflict(f"part {number} is not the one listed: another one took its place; send it again")
    return part


def _bounded(pieces: Iterator[bytes], most: int) -> Iterator[bytes]:
    seen = 0
    for piece in pieces:
        seen += len(piece)
        if seen > most:
            raise TooLarge(f"this part is over {most} bytes, which is the most that is left for it")
        yield piece
