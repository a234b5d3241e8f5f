"""Backup and restore of a home."""

from __future__ import annotations

import contextlib
import os
import shutil
import tarfile
import tempfile
from pathlib import Path

from hanok.core.errors import AlreadyExists, BadData, NotFound
from hanok.engine.home import Home
from hanok.parts.access import GuardedMetadata, GuardedTables
from hanok.parts.serving.log import PredictionLog
from hanok.stores.disk import full_disk_named, held, remove_abandoned, sync_directory, sync_file

DATABASE = "hanok.db"
BACKUP, RESTORE = "hanok-backup-", "hanok-restore-"
KEPT = ("log", "tables", "artifacts", "clock.json", "project.path")  # online values are rebuilt


def backup(home: Home, metadata: GuardedMetadata, tables: GuardedTables, log: PredictionLog, target: Path) -> Path:
    """One tar file with everything acknowledged so far, taken while the home is in use.

    The database is copied first, so whatever it names is there when the files are copied, as they are, tails and damage
    included; compaction and flushes wait.
    """
    if target.exists():
        raise AlreadyExists(f"{target} exists; a backup never overwrites, name another file")
    log.sync()
    with full_disk_named(f"backup {target}"), home.scratch("backup-") as work:
        copy = work / DATABASE
        metadata.backup(str(copy))
        remove_abandoned(target.parent, f"{BACKUP}*.partial")
        file = tempfile.NamedTemporaryFile(dir=target.parent, prefix=BACKUP, suffix=".partial", delete=False)  # noqa: SIM115
        partial = Path(file.name)
        try:
            with file, held(file.fileno()), log.compaction, tables.frozen(), tarfile.open(partial, "w") as archive:
                archive.add(copy, DATABASE)
                for part in KEPT:
                    if (home.root / part).exists():
                        archive.add(home.root / part, part)
            sync_file(partial)
            partial.rename(target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        sync_directory(target.parent)
    return target


def restore(source: Path, home: Home) -> Path:
    """Make a home from a backup. Raises AlreadyExists for a home that holds something."""
    if not source.exists():
        raise NotFound(f"there is no backup {source}")
    if home.database.exists():
        raise AlreadyExists(f"{home.root} already holds a home; restore into an empty directory")
    if home.root.exists() and (not home.root.is_dir() or any(home.root.iterdir())):
        raise AlreadyExists(f"{home.root} already holds something; restore into an empty directory")
    home.root.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(home.root.parent, f"{RESTORE}*")
    partial = Path(tempfile.mkdtemp(dir=home.root.parent, prefix=RESTORE))
    descriptor = os.open(partial, os.O_RDONLY)
    try:
        with held(descriptor):
            _extracted(source, partial)
            os.sync()  # what stands under the home's name is there whole after a power cut, too
            with contextlib.suppress(OSError):
                home.root.rmdir()
            partial.rename(home.root)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    finally:
        os.close(descriptor)
    sync_directory(home.root.parent)
    return home.root


def _extracted(source: Path, folder: Path) -> None:
    try:
        with tarfile.open(source) as archive:
            archive.extractall(folder, filter="data")
    except (tarfile.TarError, OSError) as error:
        raise BadData(f"{source} is not a backup of Hanok: {error}") from error
    if not (folder / DATABASE).exists():
        raise BadData(f"{source} is not a backup of Hanok: it holds no {DATABASE}")
