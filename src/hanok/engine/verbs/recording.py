"""The verb by which a training process tells of its run."""

from __future__ import annotations

from collections.abc import Sequence

from hanok.core.access import Access
from hanok.core.json import JsonObject
from hanok.core.recording import ModelEntry
from hanok.core.serving import Signature
from hanok.engine.logged import PACKAGE_FILE, register_logged
from hanok.engine.verbs.registry import verb
from hanok.parts.serving.packages import Packages
from hanok.parts.tracking.artifacts import in_tree
from hanok.parts.tracking.service import Tracking
from hanok.stores.blobs import LocalBlobs
from hanok.wire import recording


@verb("run.record", Access.EDIT, "read")
def record(
    tracking: Tracking,
    packages: Packages,
    blobs: LocalBlobs,
    *,
    actor: str,
    run: str,
    writer: str,
    entries: Sequence[JsonObject],
) -> JsonObject:
    """Apply numbered entries of a run's writer; those that were applied before have no further effect."""
    found = recording.decode(entries)
    models = {e.number: e.model for e in found if e.kind == "package" and e.model is not None}
    sealed = {number: _seal(tracking, packages, blobs, model) for number, model in models.items()}
    applied = tracking.recording.apply(run, writer, found, user="" if actor == "local" else actor)
    versions = {}
    for entry in found:
        if entry.kind == "package" and entry.model is not None and entry.model.register:
            name = entry.model.register
            made = register_logged(tracking, name, entry.model.id, run=run, package=sealed[entry.number], actor=actor)
            versions[name] = made.version
    return {"run": run, "applied": applied, "versions": versions}


def _seal(tracking: Tracking, packages: Packages, blobs: LocalBlobs, model: ModelEntry) -> str:
    """The digest of the package of the model's uploaded files; "" for one that is not servable."""
    if not model.runtime:
        return ""
    root = in_tree(tracking.logged_models.get(model.id).artifact_uri)
    files = {name: tracking.artifacts.get(f"{root}/{name}").digest for name in model.files}
    digest = packages.seal(model.runtime, Signature.from_dict(model.signature), files, model.notes)
    with blobs.open(digest) as manifest:
        tracking.artifacts.put(f"{root}/{PACKAGE_FILE}", manifest)
    return str(digest)
