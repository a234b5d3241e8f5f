"""Which content of the artifact store is named: asked by removal, by the doctor and by a backup, so that none of them
takes for unused what another one needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from hanok.core.errors import HanokError
from hanok.stores.ports import Blobs, Repositories
from hanok.stores.ports_upkeep import DIGEST, Addresses

MANIFEST_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Named:
    """`surely` is what something will be read from: artifact paths, packages and their files, references, golden rows,
    training sets, kept code, statistics. `maybe` holds it too, and whatever else looks like a digest. `unread` are
    packages whose manifest cannot be read: nobody knows which files they name."""

    surely: frozenset[str]
    maybe: frozenset[str]
    unread: frozenset[str]

    def missing(self, here: set[str]) -> set[str]:
        return set(self.surely - here)

    def unwanted(self, here: set[str]) -> set[str]:
        """What can go. Nothing while a package cannot be read."""
        return set() if self.unread else here - self.maybe


def addresses_of(r: Repositories) -> Addresses:
    return r.blob_references.addresses()


def named(found: Addresses, blobs: Blobs) -> Named:
    """Everything that is named, with what the manifests among it name."""
    surely, unread = set(found.direct | found.read), set()
    for digest in found.packages:
        surely.add(digest)
        try:
            surely |= set(_files(digest, blobs))
        except (HanokError, OSError, ValueError, KeyError, AttributeError):  # missing, damaged, or no manifest
            unread.add(digest)
    inside = {d for digest in found.documents for d in _inside(digest, blobs)}
    return Named(frozenset(surely), frozenset(surely | found.documents | inside), frozenset(unread))


def _files(digest: str, blobs: Blobs) -> list[str]:
    if not blobs.verify(digest):
        raise ValueError(digest)
    with blobs.open(digest) as file:
        return list(orjson.loads(file.read())["files"].values())


def _inside(digest: str, blobs: Blobs) -> Iterator[str]:
    """What looks like a digest in a JSON document; nothing for a hash that is no address."""
    try:
        with blobs.open(digest) as file:
            head = file.read(MANIFEST_MAX_BYTES)
    except (HanokError, OSError):
        return
    if head[:1] == b"{":
        yield from DIGEST.findall(head.decode("latin-1"))
