"""What a run recorded of its surroundings: the code with its uncommitted changes, and the packages."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from hanok.core.errors import HanokError
from hanok.core.tracking import Artifact, Run
from hanok.parts.tracking.artifacts import in_tree

if TYPE_CHECKING:
    from hanok.engine.app import App

TEXT_MAX_BYTES = 256 << 10
FOLDERS_MAX = 20
COMMIT, BRANCH, SOURCE = "mlflow.source.git.commit", "mlflow.source.git.branch", "mlflow.source.name"
_PACKAGES = ("requirements.txt", "packages.txt", "pip-freeze.txt", "packages.json")
CONSOLE = "console"
COMMAND, PYTHON, PLATFORM, ERROR = "hanok.command", "hanok.python", "hanok.platform", "hanok.error"
_PINNED = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?\s*(?:===?\s*([^\s;#]+)|@\s*(\S+))?")


@dataclass(frozen=True, slots=True)
class Captured:
    """`patch` is a unified diff of what was not committed, "" where none was logged. `console` are the artifacts that
    hold what the run printed, in order; `machine` its Python and platform."""

    commit: str
    branch: str
    source: str
    patch_path: str
    patch: str
    packages: Mapping[str, str]
    console: tuple[str, ...]
    command: str
    machine: Mapping[str, str]


def captured(app: App, run: Run) -> Captured:
    files = _files(app, run)
    patch = next((a.path for a in files if a.path.endswith((".patch", ".diff"))), "")
    packages: dict[str, str] = {}
    for name in _PACKAGES:
        for found in (a.path for a in files if PurePosixPath(a.path).name == name):
            packages = packages or _packages(artifact_text(app, run, found), name)
    console = tuple(sorted(a.path for a in files if a.path.split("/")[0] in (CONSOLE, f"{CONSOLE}.log")))
    text, tags = artifact_text(app, run, patch) if patch else "", run.tags
    machine = {name.removeprefix("hanok."): tags[name] for name in (PYTHON, PLATFORM) if name in tags}
    return Captured(
        tags.get(COMMIT, ""),
        tags.get(BRANCH, ""),
        tags.get(SOURCE, ""),
        patch,
        text,
        packages,
        console,
        tags.get(COMMAND, ""),
        machine,
    )


def artifact_text(app: App, run: Run, path: str, limit: int = TEXT_MAX_BYTES) -> str:
    """The beginning of an artifact as text; what is no UTF-8 is replaced. Raises ArtifactNotFound."""
    with app.tracking.artifacts.open(f"{in_tree(run.artifact_uri)}/{path}") as stream:
        return stream.read(limit).decode("utf-8", "replace")


def _files(app: App, run: Run) -> list[Artifact]:
    """The files at the top of the run's artifacts and one folder below; none when they are kept elsewhere."""
    try:
        top = app.tracking.artifacts.children_under(run.artifact_uri)
        folders = [a for a in top if a.is_folder][:FOLDERS_MAX]
        below = [a for f in folders for a in app.tracking.artifacts.children_under(run.artifact_uri, f.path)]
    except HanokError:
        return []
    return [a for a in (*top, *below) if not a.is_folder]


def _packages(text: str, name: str) -> dict[str, str]:
    if name.endswith(".json"):
        try:
            body: Any = json.loads(text)
        except ValueError:
            return {}
        return {str(k): str(v) for k, v in body.items()} if isinstance(body, dict) else {}
    found = {}
    for line in text.splitlines():
        match = _PINNED.match(line.strip())
        if match:
            found[match[1].lower().replace("_", "-")] = match[2] or match[3] or "any"
    return found
