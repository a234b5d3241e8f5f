"""The artifact tree: paths over content-addressed bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hanok.core.clock import Clock
from hanok.core.errors import ArtifactNotFound, Invalid, InvalidPath
from hanok.core.tracking import ARTIFACTS, Artifact, artifact_path
from hanok.stores.ports import Blobs, Metadata
from hanok.stores.ports_tracking import Folder

PATH_MAX = 2000


@dataclass(frozen=True, slots=True)
class Places:
    """Where artifacts of new experiments go: below `root`, a URI that ends in '/'. `folder` is that place when this
    machine can read it; a location without a scheme is meant from `base`."""

    root: str = ARTIFACTS
    folder: Folder | None = None
    base: Path = Path("/")

    def absolute(self, location: str) -> str:
        return location if not location or ":" in location else str(self.base / location)


class ArtifactVerbs:
    def __init__(self, metadata: Metadata, blobs: Blobs, clock: Clock, places: Places) -> None:
        self._metadata, self._blobs, self._clock, self.places = metadata, blobs, clock, places

    def put(self, path: str, stream: BinaryIO | Iterator[bytes]) -> Artifact:
        """Store a file under `path`, replacing what is there. Bytes first, then the commit that names them."""
        checked = checked_path(path)
        if not checked:
            raise Invalid("an artifact needs a path")
        self._metadata.read(lambda r: r.artifacts.check_free(checked))
        digest, size_bytes = self._blobs.put(stream)
        artifact = Artifact(checked, digest, size_bytes)
        self._metadata.write(lambda r: r.artifacts.put(artifact, self._clock.now()))
        return artifact

    def get(self, path: str) -> Artifact:
        """The file at `path`. Raises ArtifactNotFound, also for a folder."""
        checked = checked_path(path)
        found = self._metadata.read(lambda r: r.artifacts.get(checked))
        if found is None or found.is_folder:
            raise ArtifactNotFound(f"there is no artifact file at {path[:200]!r}")
        return found

    def open(self, path: str) -> BinaryIO:
        """Raises ArtifactNotFound."""
        return self._blobs.open(self.get(path).digest)

    def local_file(self, artifact: Artifact) -> str | None:
        """A file on this machine with the artifact's bytes, where there is one."""
        return self._blobs.path(artifact.digest)

    def stream(self, artifact: Artifact) -> BinaryIO:
        return self._blobs.open(artifact.digest)

    def children(self, folder: str = "") -> list[Artifact]:
        """Files and folders directly inside; empty for a file or an unknown folder."""
        checked = checked_path(folder)
        return self._metadata.read(lambda r: r.artifacts.children(checked))

    def children_under(self, root_uri: str, folder: str = "") -> list[Artifact]:
        """As `children`, with paths relative to the artifact URI of a run or a logged model."""
        inside = checked_path(folder)
        outside, root = self._placed(root_uri)
        path = "/".join(part for part in (root, inside) if part)
        below = self.children(path) if outside is None else outside.children(path)
        return [Artifact(a.path[len(root) + 1 :], a.digest, a.size_bytes) for a in below]

    def file_under(self, root_uri: str, path: str) -> tuple[Artifact, BinaryIO]:
        """A file by its path below the artifact URI of a run or a model, opened.

        Raises ArtifactNotFound.
        """
        inside = checked_path(path)
        outside, root = self._placed(root_uri)
        if outside is None:
            artifact = self.get(f"{root}/{inside}")
            return artifact, self.stream(artifact)
        return outside.open(f"{root}/{inside}" if root else inside)

    def put_under(self, root_uri: str, path: str, stream: BinaryIO | Iterator[bytes]) -> None:
        """Store a file by its path below the artifact URI of a run or a model, replacing what is there."""
        inside = checked_path(path)
        outside, root = self._placed(root_uri)
        if outside is None:
            self.put(f"{root}/{inside}", stream)
        else:
            outside.put(f"{root}/{inside}" if root else inside, stream)

    def _placed(self, root_uri: str) -> tuple[Folder | None, str]:
        """The folder outside the tree that holds a URI (None: the tree), and the path inside it. Raises Invalid."""
        folder = self.places.folder
        below = None if folder is None else folder.inside(root_uri)
        if folder is not None and below is not None:
            return folder, checked_path(below)
        return None, in_tree(root_uri)

    def delete(self, path: str) -> int:
        """Remove a file, or a folder with all below; the bytes go with `hanok gc`. Returns the number of files."""
        checked = checked_path(path)
        if not checked:
            raise Invalid("refused: this would delete the whole artifact tree; name a path")
        return self._metadata.write(lambda r: r.artifacts.delete(checked))


def in_tree(uri: str) -> str:
    """The path of an artifact URI that this server keeps. Raises Invalid for one that it does not."""
    path = artifact_path(uri)
    if path is None:
        raise Invalid(f"artifacts at {uri[:120]!r} are not kept by this server; read them from there")
    return checked_path(path)


def checked_path(path: str) -> str:
    """`path` by its components, or Invalid. No component can name anything but a child."""
    if not path:
        return ""
    parts = path.split("/")
    bad = any(
        part in ("", ".", "..") or "\\" in part or "\0" in part or "%2e" in part.lower() or not part.isprintable()
        for part in parts
    )
    drive = len(parts[0]) == 2 and parts[0][1] == ":"
    if bad or drive or len(path) > PATH_MAX:
        raise InvalidPath(f"{path[:200]!r} must be relative, without empty parts, '.', '..' or '\\'")
    return path
