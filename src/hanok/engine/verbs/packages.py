"""Verbs that make a version servable which was logged by another client: its files, and the package made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from hanok.core.access import Access
from hanok.core.errors import Conflict, Invalid, TooLarge, Unsafe
from hanok.core.json import JsonObject
from hanok.core.records import to_body
from hanok.core.registry import ModelVersion
from hanok.core.serving import Signature
from hanok.engine.approving import Approving, Asked
from hanok.engine.arguments import Count
from hanok.engine.verbs.registry import verb
from hanok.parts.access import GuardedMetadata
from hanok.parts.serving.packages import Packages
from hanok.parts.serving.service import Serving
from hanok.parts.tracking.artifacts import in_tree
from hanok.parts.tracking.service import Tracking

FILES_MAX, BYTES_MAX, DEPTH_MAX = 1000, 4 << 30, 8


@verb("model.files", Access.READ, "read")
def files(tracking: Tracking, *, model: str, version: Count) -> JsonObject:
    """The files that a client logged for a version, and where the files of its package go."""
    found = tracking.registry.version(model, version)
    of, identity, place = _place(tracking, found)
    root = _root(tracking, found)
    listed = list(_walk(tracking, root, "", DEPTH_MAX))
    if len(listed) > FILES_MAX or sum(size for _, size in listed) > BYTES_MAX:
        raise TooLarge(f"version {version} of {model!r} has {len(listed)} files; {FILES_MAX} and 4 GiB are imported")
    rows: list[JsonObject] = [{"path": path, "artifact": f"{root}/{path}", "size_bytes": size} for path, size in listed]
    return {"of": of, "id": identity, "place": place, "package": found.package, "files": rows}


@verb("model.package", Access.EDIT, "heavy")
def package(
    tracking: Tracking,
    packages: Packages,
    metadata: GuardedMetadata,
    *,
    model: str,
    version: Count,
    runtime: str,
    signature: JsonObject,
    notes: JsonObject,
    files: Sequence[str],
) -> JsonObject:
    """Make a version servable by a package of files that were uploaded to its place. The package is loaded first, and
    is of a kind that runs no foreign code; a version that has another package keeps it."""
    found = tracking.registry.version(model, version)
    of, identity, place = _place(tracking, found)
    uri = (tracking.runs.get(identity) if of == "runs" else tracking.logged_models.get(identity)).artifact_uri
    try:
        taken = Signature.from_dict(signature)
    except (KeyError, TypeError, AttributeError) as error:
        raise Invalid(f"signature is not one of inputs, task and classes: {error}") from None
    digests = {name: tracking.artifacts.get(f"{in_tree(uri)}/{place}/{name}").digest for name in files}
    digest = packages.seal(runtime, taken, digests, notes)
    packages.load(digest)
    if found.package not in ("", digest):
        raise Conflict(f"version {version} of {model!r} has a package already: register the model again to change it")
    metadata.write(lambda r: r.registry.put_version(replace(found, package=digest)))
    return {"model": model, "version": version, "package": digest, "runtime": runtime}


@verb("model.approve", Access.OWN, "long")
def approve(
    approving: Approving,
    *,
    actor: str,
    model: str,
    version: Count,
    hash: str = "",
    python: str = "",
    task: str = "",
    classes: Sequence[str] = (),
) -> JsonObject:
    """Let a version that cannot be converted run as it was logged, in a process of its own, by the hash of its files;
    without the hash: say what it is. `python` is an interpreter of this machine that has its libraries."""
    root, files = _tree(approving.tracking, approving.tracking.registry.version(model, version))
    return to_body(approving.approve(Asked(model, version, root, files, hash, python, task, tuple(classes)), actor))


@verb("model.revoke", Access.OWN, "urgent")
def revoke(approving: Approving, serving: Serving, *, actor: str, model: str, version: Count) -> JsonObject:
    """Take back the approval of a version that runs as it was logged: its process ends, in every server of the home,
    and whoever asks it is told so. `answers` says how many percent of the requests it had."""
    taken = approving.revoke(model, version, actor)
    serving.refresh()
    arms = deployed.arms if (deployed := serving.deployment(model)) is not None else ()
    for arm in (a for a in arms if a.version == version):
        taken = replace(taken, answers=arm.share, shadow=arm.mode == "shadow")
    return to_body(taken)


def _tree(tracking: Tracking, version: ModelVersion) -> tuple[str, dict[str, str]]:
    """Where the files of a version lie, and their digests by name."""
    root = _root(tracking, version)
    names = [path for path, _ in _walk(tracking, root, "", DEPTH_MAX) if not path.startswith("hanok/")]
    return root, {name: tracking.artifacts.get(f"{root}/{name}").digest for name in names}


def _place(tracking: Tracking, version: ModelVersion) -> tuple[str, str, str]:
    """(logged-models or runs, id, folder) where the files of a version's package go."""
    inside = f"hanok/{version.version}"
    logged = str(version.facts.get("logged_model_id") or "")
    if not logged and version.source.startswith("models:/m-"):
        logged = version.source.removeprefix("models:/").strip("/")
    if logged:
        return "logged-models", logged, inside
    if version.run_id:
        return "runs", version.run_id, inside
    raise Unsafe(f"version {version.version} of {version.model!r} names neither a run nor a logged model of this home")


def _root(tracking: Tracking, version: ModelVersion) -> str:
    location = str(version.facts.get("location") or version.source)
    if location.startswith("runs:/"):
        run_id, _, rest = location.removeprefix("runs:/").partition("/")
        location = f"{tracking.runs.get(run_id).artifact_uri}/{rest}"
    return in_tree(location)


def _walk(tracking: Tracking, root: str, folder: str, depth: int) -> Iterator[tuple[str, int]]:
    for child in tracking.artifacts.children(f"{root}/{folder}" if folder else root):
        path = child.path[len(root) + 1 :]
        if child.is_folder and depth and path.split("/")[0] != "hanok":
            yield from _walk(tracking, root, path, depth - 1)
        elif not child.is_folder:
            yield path, child.size_bytes
