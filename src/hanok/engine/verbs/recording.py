"""The verb by which a training process tells of its run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hanok.core.access import Access
from hanok.core.recording import ModelEntry
from hanok.core.serving import Signature
from hanok.engine.verbs.registry import verb
from hanok.parts.tracking.artifacts import in_tree
from hanok.wire import recording

PACKAGE_FILE = "package.json"


@verb("run.record", Access.EDIT)
def record(app: Any, actor: str, *, run: str, writer: str, entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Apply numbered entries of a run's writer; those that were applied before have no further effect."""
    found = recording.decode(entries)
    packages = {e.number: _seal(app, e.model) for e in found if e.kind == "package" and e.model is not None}
    applied = app.tracking.recording.apply(run, writer, found, user="" if actor == "local" else actor)
    versions = {}
    for entry in found:
        if entry.kind == "package" and entry.model is not None and entry.model.register:
            name = entry.model.register
            versions[name] = _register(app, run, entry.model, packages[entry.number], actor)
    return {"run": run, "applied": applied, "versions": versions}


def _seal(app: Any, model: ModelEntry) -> str:
    """The digest of the package of the model's uploaded files; "" for one that is not servable."""
    if not model.runtime:
        return ""
    root = in_tree(app.tracking.logged_models.get(model.id).artifact_uri)
    files = {name: app.tracking.artifacts.get(f"{root}/{name}").digest for name in model.files}
    digest = app.packages.seal(model.runtime, Signature.from_dict(model.signature), files, model.notes)
    with app.blobs.open(digest) as manifest:
        app.tracking.artifacts.put(f"{root}/{PACKAGE_FILE}", manifest)
    return str(digest)


def _register(app: Any, run: str, model: ModelEntry, package: str, actor: str) -> int:
    """A version of the logged model; the one that is there when this is a repetition."""
    registry = app.tracking.registry
    registry.ensure_model(model.register)
    for version in registry.versions(model.register):
        if version.facts.get("logged_model_id") == model.id:
            return int(version.version)
    latest = app.tracking.runs.get(run).latest
    made = registry.register(
        model.register,
        source=f"models:/{model.id}",
        run_id=run,
        package=package,
        logged_model_id=model.id,
        facts={"metrics": {k: v for k, v in latest.items() if not k.startswith("system/")}},
        actor=actor,
    )
    return int(made.version)
