"""Which content is still wanted: everything that looks like a digest in what is not deleted."""

from __future__ import annotations

import re

from sqlalchemy import Connection, text

from hanok.stores.ports_upkeep import DIGEST, Addresses

_DOCUMENTS = (
    "SELECT package FROM model_version WHERE status <> 'DELETED'",
    "SELECT facts FROM model_version WHERE status <> 'DELETED'",
    "SELECT v.package FROM model_version v JOIN deployment d ON d.name = v.model",  # what served can serve again
    "SELECT facts FROM node WHERE deleted IS NULL",
    "SELECT body FROM record",
    "SELECT body FROM declaration",
    "SELECT arms FROM deployment",
    "SELECT arguments FROM workflow",
    "SELECT result FROM workflow",
    "SELECT result FROM step",
    "SELECT tags FROM logged_model WHERE lifecycle <> 'deleted'",
)

_PACKAGES = (
    "SELECT package FROM model_version WHERE status <> 'DELETED'",
    "SELECT v.package FROM model_version v JOIN deployment d ON d.name = v.model",
)
_READ = (  # what is opened at the digest that stands under these names
    ("SELECT facts FROM model_version WHERE status <> 'DELETED'", "reference|statistics|golden"),
    ("SELECT facts FROM node WHERE deleted IS NULL AND kind IN ('training_set', 'code')", "digest|source"),
    ("SELECT body FROM record WHERE kind = 'state'", "digest"),
)


class SqlBlobReferences:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def addresses(self) -> Addresses:
        packages = {row[0] for statement in _PACKAGES for row in self._c.execute(text(statement)) if row[0]}
        read: set[str] = set()
        for statement, names in _READ:
            under = re.compile(rf'"(?:{names})":\s*"([0-9a-f]{{64}})"')
            for (content,) in self._c.execute(text(statement)):
                read.update(under.findall(content or ""))
        whole = frozenset(packages), frozenset(read), frozenset(self.documents())
        return Addresses(frozenset(self.direct()), *whole)

    def direct(self) -> set[str]:
        # index: artifact_digest
        return {row[0] for row in self._c.execute(text("SELECT DISTINCT digest FROM artifact"))}

    def documents(self) -> set[str]:
        found: set[str] = set()
        for statement in _DOCUMENTS:
            for (content,) in self._c.execute(text(statement)):
                if content and len(content) >= 64:
                    found.update(DIGEST.findall(content))
        return found
