"""The artifact tree."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, text

from hanok.core.clock import micros
from hanok.core.errors import Conflict
from hanok.core.tracking import Artifact

# index: primary key (folder, name); "0" is the character after "/", so the range is everything below the folder
_BELOW = "folder >= :below AND folder < :beyond"


class SqlArtifacts:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def put(self, artifact: Artifact, at: datetime) -> None:
        folder, name = _split(artifact.path)
        self.check_free(artifact.path)
        self._c.execute(
            text(
                "INSERT INTO artifact (folder, name, digest, size_bytes, at) "
                "VALUES (:folder, :name, :digest, :size, :at) "
                "ON CONFLICT (folder, name) DO UPDATE SET "
                "digest = excluded.digest, size_bytes = excluded.size_bytes, at = excluded.at"
            ),
            {
                "folder": folder,
                "name": name,
                "digest": artifact.digest,
                "size": artifact.size_bytes,
                "at": micros(at),
            },
        )

    def check_free(self, path: str) -> None:
        if self._holds_files(path):
            raise Conflict(f"artifact path {path!r} is a folder; a file cannot take its place")
        folder = _split(path)[0]
        while folder:
            if self._file(folder) is not None:
                raise Conflict(f"artifact path {path!r} lies under the file {folder!r}")
            folder = _split(folder)[0]

    def get(self, path: str) -> Artifact | None:
        if path == "" or self._holds_files(path):
            return Artifact(path)
        return self._file(path)

    def children(self, folder: str) -> list[Artifact]:
        prefix = f"{folder}/" if folder else ""
        files = self._c.execute(
            text("SELECT name, digest, size_bytes FROM artifact WHERE folder = :folder"), {"folder": folder}
        )
        found = [Artifact(prefix + row[0], row[1], row[2]) for row in files]
        deeper = self._c.execute(text(f"SELECT DISTINCT folder FROM artifact WHERE {_BELOW}"), _range(folder))
        below = [row[0][len(prefix) :] for row in deeper]
        found += [Artifact(prefix + name) for name in {rest.split("/", 1)[0] for rest in below if rest}]
        return sorted(found, key=lambda a: a.path)

    def delete(self, path: str) -> int:
        folder, name = _split(path)
        deleted = self._c.execute(
            text(f"DELETE FROM artifact WHERE (folder = :folder AND name = :name) OR folder = :path OR ({_BELOW})"),
            {"folder": folder, "name": name, "path": path} | _range(path),
        )
        return deleted.rowcount

    def digests(self) -> set[str]:
        return {row[0] for row in self._c.execute(text("SELECT DISTINCT digest FROM artifact"))}

    def _file(self, path: str) -> Artifact | None:
        folder, name = _split(path)
        row = self._c.execute(
            text("SELECT digest, size_bytes FROM artifact WHERE folder = :folder AND name = :name"),
            {"folder": folder, "name": name},
        ).first()
        return None if row is None else Artifact(path, row[0], row[1])

    def _holds_files(self, folder: str) -> bool:
        query = text(f"SELECT 1 FROM artifact WHERE folder = :folder OR ({_BELOW}) LIMIT 1")
        return self._c.execute(query, {"folder": folder} | _range(folder)).first() is not None


def _split(path: str) -> tuple[str, str]:
    folder, _, name = path.rpartition("/")
    return folder, name


def _range(folder: str) -> dict[str, str]:
    return {"below": f"{folder}/", "beyond": f"{folder}0"} if folder else {"below": "", "beyond": "\U0010ffff"}
