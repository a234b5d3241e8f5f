"""Model packages in the artifact store: a manifest that names its files by digest."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa

from hanok.compute.frames import Columns
from hanok.compute.runtimes import Package, Scored, Scores, load
from hanok.core.errors import Corrupt
from hanok.core.serving import Signature
from hanok.parts.serving.needs import ForeignRuntimes
from hanok.stores.ports import Blobs

KEEP_LOADED = 16
FOREIGN = "foreign"  # the runtime of models that run code of their own


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model ready to answer."""

    digest: str
    signature: Signature
    runtime: Scored
    notes: Mapping[str, Any]
    away: bool = False  # it runs in a process of its own, and may take its time

    @property
    def content(self) -> str:
        """The hash of the files that were approved; "" for a model that runs in this process."""
        return str(self.notes.get("hash", "")) if self.away else ""

    def score(self, columns: Columns) -> Scores:
        """Scores of raw named columns; raises SignatureMismatch, ScoringFailed and whatever the model raises."""
        return self.runtime.score(self.runtime.encode(columns))

    def score_table(self, rows: pa.Table) -> Scores:
        return self.score({c.name: rows.column(c.name) for c in self.signature.inputs if c.name in rows.column_names})


class Packages:
    """Saved once, loaded when first asked for, the most recent ones kept."""

    def __init__(self, blobs: Blobs, foreign: ForeignRuntimes | None = None) -> None:
        self._blobs, self.foreign = blobs, foreign
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()
        self._lock = threading.Lock()

    def save(self, package: Package) -> str:
        """Store a package; its digest is that of the manifest, so equal models have equal digests."""
        files = {name: self._blobs.put(io.BytesIO(content))[0] for name, content in sorted(package.files.items())}
        return self.seal(package.runtime, package.signature, files, package.notes)

    def seal(self, runtime: str, signature: Signature, files: Mapping[str, str], notes: Mapping[str, Any]) -> str:
        """Store the manifest of a package whose files are stored already, by name and digest."""
        manifest = {
            "format": 1,
            "runtime": runtime,
            "signature": signature.as_dict(),
            "files": dict(sorted(files.items())),
            "notes": dict(notes),
        }
        content = orjson.dumps(manifest, option=orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY)
        return self._blobs.put(io.BytesIO(content))[0]

    def manifest(self, digest: str) -> dict[str, Any]:
        with self._blobs.open(digest) as file:
            return orjson.loads(file.read())

    def signature(self, digest: str) -> Signature:
        """What a package takes and gives, without loading it."""
        loaded = self._loaded.get(digest)
        return loaded.signature if loaded is not None else Signature.from_dict(self.manifest(digest)["signature"])

    def is_foreign(self, digest: str) -> bool:
        """Whether a package runs code of its own."""
        loaded = self._loaded.get(digest)
        return loaded.away if loaded is not None else bool(self.manifest(digest)["runtime"] == FOREIGN)

    def close(self) -> None:
        """End the processes of models that have one."""
        if self.foreign is not None:
            self.foreign.close()

    def follow(self) -> Set[str]:
        """End models that run code of their own and may not any more. Gives the content hashes of what was ended."""
        ended = self.foreign.follow() if self.foreign is not None else frozenset[str]()
        with self._lock:
            for digest in [d for d, loaded in self._loaded.items() if loaded.content in ended]:
                del self._loaded[digest]
        return ended

    def forget(self, digest: str) -> None:
        """Open it anew when it is next loaded."""
        with self._lock:
            self._loaded.pop(digest, None)

    def load(self, digest: str) -> Loaded:
        """Raises Corrupt when a file does not match its digest."""
        with self._lock:
            if digest in self._loaded:
                self._loaded.move_to_end(digest)
                return self._loaded[digest]
        manifest = self.manifest(digest)
        signature = Signature.from_dict(manifest["signature"])

        def read(name: str) -> bytes:
            address = manifest["files"][name]
            if not self._blobs.verify(address):
                raise Corrupt(f"file {name} of model package {digest[:12]} is damaged; restore it from a backup")
            with self._blobs.open(address) as file:
                return file.read()

        away = manifest["runtime"] == FOREIGN
        if away and self.foreign is not None:
            runtime = self.foreign.open(signature, manifest["files"], read)
        else:
            runtime = load(manifest["runtime"], signature, read, manifest["notes"])
        loaded = Loaded(digest, signature, runtime, manifest["notes"], away)
        with self._lock:
            self._loaded[digest] = loaded
            while len(self._loaded) > KEEP_LOADED:
                self._loaded.popitem(last=False)
        return loaded
