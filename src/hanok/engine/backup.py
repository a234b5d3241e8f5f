"""Backup, restore and check of a home."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from hanok.core.errors import AlreadyExists, BadData, NotFound
from hanok.engine.home import Home
from hanok.stores.disk import full_disk_named, sync_directory, sync_file

DATABASE = "hanok.db"
KEPT = ("log", "tables", "artifacts", "clock.json", "project.path")  # online values are rebuilt


def backup(app: Any, target: Path) -> Path:
    """One tar file with everything acknowledged so far, taken while the home is in use.

    The database is copied first, so whatever it names is there when the files are copied; compaction and flushes wait.
    """
    if target.exists():
        raise AlreadyExists(f"{target} exists; a backup never overwrites, name another file")
    app.log.sync()
    for name in app.tables.names():
        app.tables.flush(name)
    with full_disk_named(f"backup {target}"), tempfile.TemporaryDirectory(dir=app.home.root) as work:
        copy = Path(work) / DATABASE
        app.metadata.backup(str(copy))
        partial = target.with_name(target.name + ".partial")
        with app.log.compaction, app.tables.frozen(), tarfile.open(partial, "w") as archive:
            archive.add(copy, DATABASE)
            for part in KEPT:
                if (app.home.root / part).exists():
                    archive.add(app.home.root / part, part)
        sync_file(partial)
        partial.rename(target)
        sync_directory(target.parent)
    return target


def restore(source: Path, home: Home) -> Path:
    """Make a home from a backup. Raises AlreadyExists for a home that holds something."""
    if not source.exists():
        raise NotFound(f"there is no backup {source}")
    if home.database.exists():
        raise AlreadyExists(f"{home.root} already holds a home; restore into an empty directory")
    home.root.parent.mkdir(parents=True, exist_ok=True)
    partial = home.root.with_name(home.root.name + ".restoring")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with tarfile.open(source) as archive:
            archive.extractall(partial, filter="data")
    except (tarfile.TarError, OSError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise BadData(f"{source} is not a backup of Hanok: {error}") from error
    if not (partial / DATABASE).exists():
        shutil.rmtree(partial, ignore_errors=True)
        raise BadData(f"{source} is not a backup of Hanok: it holds no {DATABASE}")
    with contextlib.suppress(OSError):
        home.root.rmdir()
    partial.rename(home.root)
    return home.root


def check(app: Any) -> list[dict[str, Any]]:
    """Integrity of the database, of every artifact, and of every table; one line each."""
    rows = []
    database = app.home.database
    if database.exists():
        with contextlib.closing(sqlite3.connect(database)) as connection:
            state = connection.execute("PRAGMA quick_check").fetchone()[0]
        rows.append({"what": "metadata", "ok": state == "ok", "detail": state})
    bad = [d for d in app.blobs.digests() if not app.blobs.verify(d)]
    rows.append(
        {"what": "artifacts", "ok": not bad, "detail": f"damaged: {', '.join(bad[:5])}" if bad else "all match"}
    )
    for name in app.tables.names():
        rows.append({"what": f"table {name}", "ok": True, "detail": f"{app.tables.size(name)} rows"})
    return rows
