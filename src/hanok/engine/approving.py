"""Letting a model that cannot be converted run as it was logged: who said so, and what it costs."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from hanok.compute.runtimes import mlflow_files
from hanok.core.clock import Clock
from hanok.core.errors import Conflict, ConversionFailed, Corrupt, Invalid, NotFound, Unsafe
from hanok.core.foreign import APPROVAL, Approval
from hanok.core.json import JsonObject
from hanok.core.serving import Column, Signature
from hanok.core.tracking import Artifact
from hanok.engine.executors.foreign import Answering, ForeignModel, content_hash
from hanok.engine.home import Home
from hanok.parts.access import GuardedMetadata
from hanok.parts.serving.packages import FOREIGN, Packages
from hanok.parts.tracking.service import Tracking
from hanok.stores.ports import Metadata, Repositories

MANY = 100


def approvals(metadata: Metadata) -> Callable[[str], Approval | None]:
    """What was said of a content hash."""
    return lambda content: APPROVAL.open(metadata.read(lambda r: r.records.get(APPROVAL.name, content, "")))


@dataclass(frozen=True, slots=True)
class Asked:
    """`files` are those below `root` in the artifact tree, digests by name. `hash` is what a person read and allows."""

    model: str
    version: int
    root: str
    files: Mapping[str, str]
    hash: str
    python: str
    task: str
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Approved:
    """What a version is, and once it is approved what it costs: seconds to start, microseconds for one row and for
    each of a hundred, bytes of memory."""

    model: str
    version: int
    hash: str
    files: int
    flavors: tuple[str, ...]
    inputs: tuple[str, ...]
    approved: bool = False
    task: str = ""
    classes: tuple[str, ...] = ()
    start_s: float = 0.0
    one_row_us: float = 0.0
    row_of_many_us: float = 0.0
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Revoked:
    """A version that runs no more. `answers` says of how many of the requests of its model it is asked, in percent, and
    `shadow` whether it is asked beside another."""

    model: str
    version: int
    hash: str
    answers: int = 0
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class Approving:
    """Made of an App by `parts.find`."""

    tracking: Tracking
    packages: Packages
    metadata: GuardedMetadata
    home: Home
    clock: Clock

    def approve(self, asked: Asked, actor: str) -> Approved:
        """Raises Unsafe for another hash than that of the files, Conflict where the version has another package."""
        content = content_hash(asked.files)
        with self.home.scratch("approve-") as folder:
            for name, digest in asked.files.items():
                target = (folder / name).resolve()
                if not target.is_relative_to(folder.resolve()):
                    raise Invalid(f"the file {name[:200]!r} of this model lies outside its folder")
                target.parent.mkdir(parents=True, exist_ok=True)
                # by digest, never by path: what lies at the path may have been replaced since it was looked at
                with self.tracking.artifacts.stream(Artifact(name, digest)) as file:
                    content_bytes = file.read()
                if hashlib.sha256(content_bytes).hexdigest() != digest:
                    raise Corrupt(f"the file {name[:200]!r} of this model is damaged; restore it from a backup")
                target.write_bytes(content_bytes)
            flavors, inputs, example = mlflow_files.described(folder)
            told = Approved(asked.model, asked.version, content, len(asked.files), flavors, tuple(n for n, _ in inputs))
            if not asked.hash:
                return told
            if asked.hash != content:
                raise Unsafe(
                    f"the files of version {asked.version} of {asked.model!r} have the hash {content}, not "
                    f"{asked.hash[:80]}: nothing of it was run"
                )
            if not inputs:
                raise ConversionFailed("it was logged without a signature, which says what it takes: log it with one")
            model = ForeignModel(folder, asked.python)
            try:
                told = self._tried(told, model, asked, inputs, mlflow_files.probe(inputs, example))
            finally:
                model.close()
        self._keep(told, asked, inputs, actor)
        return replace(told, approved=True)

    def revoke(self, model: str, number: int, actor: str) -> Revoked:
        """Take an approval back, of all versions that have the same files. Raises NotFound where there is none."""
        version = self.tracking.registry.version(model, number)
        manifest = self.packages.manifest(version.package) if version.package else {}
        content = str(manifest["notes"]["hash"]) if manifest.get("runtime") == FOREIGN else ""
        now = self.clock.now()

        def work(r: Repositories) -> None:
            approval = APPROVAL.open(r.records.get(APPROVAL.name, content, "")) if content else None
            if approval is None:
                raise NotFound(f"version {number} of {model!r} was not approved to run code of its own")
            if not approval.revoked:
                taken = replace(approval, revoked=actor, revoked_at=now)
                r.records.put(APPROVAL.name, content, "", APPROVAL.body(taken), now)

        self.metadata.write(work)
        return Revoked(model, number, content)

    def _tried(
        self, told: Approved, model: ForeignModel, asked: Asked, inputs: Sequence[tuple[str, str]], rows: pa.Table
    ) -> Approved:
        """What it answers, which says what kind of model it is, and how long that takes."""
        said = model.ask([(n, kind, rows.column(n).to_pylist()[:3]) for n, kind in inputs], 3)
        task, classes = _kind(said, asked)
        signature = _signature(inputs, task, classes)
        answering, cells = Answering(model, signature), _cells(rows)
        answering.score(cells[:MANY])
        one = min(_took(lambda: answering.score(cells[:1])) for _ in range(5))
        many = _took(lambda: answering.score(cells[:MANY]))
        return replace(
            told,
            task=task,
            classes=classes,
            start_s=round(model.start_s, 2),
            one_row_us=round(one * 1e6, 1),
            row_of_many_us=round(many * 1e6 / MANY, 1),
            memory_bytes=model.memory_bytes,
        )

    def _keep(self, told: Approved, asked: Asked, inputs: Sequence[tuple[str, str]], actor: str) -> None:
        now = self.clock.now()
        version = self.tracking.registry.version(asked.model, asked.version)
        signature = _signature(inputs, told.task, told.classes)
        digest = self.packages.seal(FOREIGN, signature, dict(asked.files), {"hash": told.hash})
        if version.package not in ("", digest):
            raise Conflict(
                f"version {asked.version} of {asked.model!r} has a package already: register the model again to "
                "change it"
            )
        approval = Approval(asked.model, asked.version, actor, now, asked.python)

        def work(r: Repositories) -> None:
            r.records.put(APPROVAL.name, told.hash, "", APPROVAL.body(approval), now)
            r.registry.put_version(replace(version, package=digest))

        self.metadata.write(work)
        self.packages.forget(digest)  # another interpreter may have been named
        self.packages.load(digest)


def _kind(said: JsonObject, asked: Asked) -> tuple[str, tuple[str, ...]]:
    if isinstance(labels := said.get("labels"), list):
        if not asked.classes:
            raise Invalid(f"this model answers text, like {labels[0]!r}: name its classes with --classes")
        return ("binary" if len(asked.classes) == 2 else "multiclass"), asked.classes
    scores = np.array(said["scores"], float)
    if scores.ndim == 2:
        count = scores.shape[1]
        classes = asked.classes or tuple(map(str, range(count)))
        if len(classes) != count:
            raise Invalid(f"this model gives {count} numbers for each row, and {len(classes)} classes are named")
        return ("binary" if count == 2 else "multiclass"), classes
    if asked.task == "multiclass":
        raise Invalid("this model gives one number for each row: it is a regression, or a binary model")
    task = asked.task or ("binary" if asked.classes else "regression")
    return task, (asked.classes or ("0", "1")) if task == "binary" else ()


def _signature(inputs: Sequence[tuple[str, str]], task: str, classes: tuple[str, ...]) -> Signature:
    return Signature(tuple(Column(n, kind) for n, kind in inputs), task, classes)


def _cells(rows: pa.Table) -> np.ndarray:
    cells = np.empty((rows.num_rows, rows.num_columns), object)
    for place, column in enumerate(rows.columns):
        cells[:, place] = column.to_pylist()
    return cells


def _took(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
