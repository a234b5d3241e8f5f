"""The files of a run: folders, and a safe look into one file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from hanok.compute.heads import Head, csv_head, parquet_head
from hanok.core.errors import HanokError
from hanok.core.tracking import Artifact, Run
from hanok.parts.tracking.artifacts import checked_path, in_tree
from hanok.ui.views.common import Ask

if TYPE_CHECKING:
    from hanok.engine.app import App

TEXT_MAX_BYTES, ROWS = 256 << 10, 100
IMAGES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp"}
IMAGES |= {".svg": "image/svg+xml"}
DOCUMENTS = {".html": "text/html; charset=utf-8", ".htm": "text/html; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Listing:
    """Files and folders directly inside `folder`; `elsewhere` is the address of artifacts that others keep."""

    folder: str
    entries: tuple[Artifact, ...]
    elsewhere: str = ""


@dataclass(frozen=True, slots=True)
class FilePage:
    """A look at a file. `kind` says how it is shown: text, diff, json, table, image, html or binary; `problem` says why
    it is not shown as what its name promises."""

    now: datetime
    run: str
    run_name: str
    path: str
    size_bytes: int
    digest: str
    kind: str
    text: str = ""
    head: Head | None = None
    whole: bool = True
    problem: str = ""


def listing(app: App, run: Run, folder: str) -> Listing:
    """Raises Invalid for a path that climbs."""
    inside = checked_path(folder)
    try:
        return Listing(inside, tuple(app.tracking.artifacts.children_under(run.artifact_uri, inside)))
    except HanokError:
        return Listing(inside, (), run.artifact_uri)


def file_of(app: App, run: Run, path: str) -> Artifact:
    """Raises ArtifactNotFound, Invalid."""
    return app.tracking.artifacts.get(f"{in_tree(run.artifact_uri)}/{checked_path(path)}")


def file_page(app: App, ask: Ask) -> FilePage:
    """Raises RunNotFound, ArtifactNotFound."""
    run = app.tracking.runs.get(ask.path["run"])
    path = ask.text("path")
    artifact = file_of(app, run, path)
    whole = artifact.size_bytes <= TEXT_MAX_BYTES
    suffix = PurePosixPath(path).suffix.lower()
    kind, text, head, problem = "binary", "", None, ""
    if suffix in IMAGES:
        kind = "image"
    elif suffix in DOCUMENTS:
        kind = "html"
    elif suffix == ".parquet":
        try:
            with app.tracking.artifacts.stream(artifact) as stream:
                head, kind = parquet_head(stream, rows=ROWS), "table"
        except ValueError as error:
            problem = f"this is no Parquet file that can be read: {str(error)[:200]}"
    else:
        with app.tracking.artifacts.stream(artifact) as stream:
            raw = stream.read(TEXT_MAX_BYTES)
        if b"\0" not in raw:
            text, kind = raw.decode("utf-8", "replace"), "text"
            kind, text, head, problem = _read(suffix, text, whole)
    return FilePage(
        app.clock.now(), run.id, run.name, path, artifact.size_bytes, artifact.digest, kind, text, head, whole, problem
    )


def _read(suffix: str, text: str, whole: bool) -> tuple[str, str, Head | None, str]:
    """Kind, text, rows and problem of a text file by the end of its name."""
    if suffix in (".csv", ".tsv"):
        try:
            return "table", "", csv_head(text, rows=ROWS, whole=whole), ""
        except ValueError as error:
            return "text", text, None, f"its rows cannot be told apart: {str(error)[:200]}"
    if suffix == ".json" and whole:
        try:
            return "json", json.dumps(json.loads(text), indent=2, ensure_ascii=False), None, ""
        except (ValueError, RecursionError) as error:
            return "text", text, None, f"this is no JSON: {str(error)[:200]}"
    return ("diff" if suffix in (".patch", ".diff") else "text"), text, None, ""
