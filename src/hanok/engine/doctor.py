"""What `hanok doctor` reads: each file of a home to its end, one finding for each thing that is looked at."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from hanok.core.errors import HanokError
from hanok.core.json import JsonObject
from hanok.engine.backup import BACKUP
from hanok.engine.home import Home
from hanok.parts.access import GuardedMetadata
from hanok.parts.tracking.named import addresses_of, named
from hanok.parts.validation.batches import Batches
from hanok.stores.blobs import INCOMING, LocalBlobs
from hanok.stores.delta import check_table, set_aside_files
from hanok.stores.frames import read_contents
from hanok.stores.lmdb import broken
from hanok.stores.ports import Tables

RESTORE = "restore a backup: hanok restore FILE --home OTHER"
AGAIN = "send what is lost again; then remove the file that was set aside"
SHOWN = 5
LEFTOVER_S = 86_400


@dataclass(frozen=True, slots=True)
class Finding:
    """`what` was looked at; where it is not `ok`, `detail` says what is wrong and `todo` what helps."""

    what: str
    ok: bool
    detail: str
    todo: str = ""

    def as_dict(self) -> JsonObject:
        return {"what": self.what, "ok": self.ok, "detail": self.detail, "todo": self.todo}


def check_home(home: Home) -> Iterator[Finding]:
    """Everything that can be looked at without opening the home: it may be too damaged for that, or in use."""
    yield _database(home)
    yield from _notes(home)
    yield from _tables(home.tables)
    yield from _segments(home.log)
    yield _online(home.online)
    yield _leftovers(home)


def check_batches(batches: Batches, tables: Tables) -> Iterator[Finding]:
    """Whether the rows of each batch that was accepted are there still."""
    for name in tables.names():
        try:
            lost = batches.lost(name)
        except HanokError:  # a damaged table is named by those that read its files
            continue
        if lost:
            names = [f"{r.batch!r} ({r.rows} rows)" for r in lost]
            said = f"the rows of {len(lost)} batches are lost: {_listed(names)}"
            yield Finding(f"table {name}", False, said, "send these batches again, as they were: they are taken again")


def check_blobs(metadata: GuardedMetadata, blobs: LocalBlobs) -> Iterator[Finding]:
    """Whether every artifact that something names is there and is what its digest says; others too, as far as they are
    there."""
    here = set(blobs.digests())
    odd = sorted(d for d in here if not _is_whole(blobs, d) and blobs.path(d) is not None)  # gc may have removed it
    found = named(metadata.inner.read(addresses_of), blobs)
    gone = sorted(d for d in found.missing(here) if blobs.path(d) is None)  # it may have come meanwhile
    unwanted = found.unwanted(set(odd))
    for digests, why in ((gone, "missing"), (odd, "damaged")):
        used, unused = [d for d in digests if d not in unwanted], [d for d in digests if d in unwanted]
        if used:
            yield Finding("artifacts", False, f"{why}: {_listed(used)}", f"{RESTORE}; or log or train them again")
        if unused:
            said = f"{why}, and named by nothing: {_listed(unused)}"
            yield Finding("artifacts", False, said, "hanok doctor --repair removes them")
    if not gone and not odd:
        yield Finding("artifacts", True, f"{len(here)} match their digests")


def repair(home: Home, metadata: GuardedMetadata, blobs: LocalBlobs, now: datetime) -> Iterator[Finding]:
    """What can be done without losing anything: artifacts that are damaged and that nothing names are removed, and
    what interrupted work left behind. Online values are filled again when the home is opened."""
    odd = {d for d in blobs.digests() if not _is_whole(blobs, d)}
    gone = named(metadata.inner.read(addresses_of), blobs).unwanted(odd) if odd else set()
    for digest in gone:
        (home.blobs / digest[:2] / digest[2:4] / digest).unlink(missing_ok=True)
    left = [p for p in _left(home) if p.stat().st_mtime < now.timestamp() - LEFTOVER_S]
    for path in left:  # each bears a name of ours
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    if gone or left:
        yield Finding("repair", True, f"removed {len(gone)} damaged artifacts and {len(left)} leftovers")


def _is_whole(blobs: LocalBlobs, digest: str) -> bool:
    try:
        return blobs.verify(digest)
    except (HanokError, OSError):  # its name is no digest, or the disk does not give its bytes
        return False


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _database(home: Home) -> Finding:
    try:
        home.refuse_lost_database()
        if not home.database.exists():
            return Finding("metadata", True, "not in this home")
        with contextlib.closing(sqlite3.connect(f"{home.database.as_uri()}?mode=ro", uri=True)) as connection:
            found = [row[0] for row in connection.execute("PRAGMA integrity_check(5)")]
    except HanokError as error:
        return Finding("metadata", False, error.message, RESTORE)
    except sqlite3.Error as error:
        return Finding("metadata", False, f"hanok.db is damaged: {error}", RESTORE)
    whole = found == ["ok"]
    return Finding("metadata", whole, "hanok.db " + "; ".join(found)[:300], "" if whole else RESTORE)


def _notes(home: Home) -> Iterator[Finding]:
    """The small files in which a home keeps its clock, its project and its name."""
    try:
        clock = home.root / "clock.json"
        if clock.exists():
            datetime.fromisoformat(json.loads(clock.read_bytes())["replayed_until"])
    except (ValueError, TypeError, KeyError) as error:
        todo = 'write {"replayed_until": "INSTANT"} into it, or remove it to live by the wall clock'
        yield Finding("clock", False, f"clock.json is damaged: {error}", todo)
    noted = home.root / "project.path"
    if noted.exists() and home.project() is None:
        said = f"project.path names no file that is there: {noted.read_text(errors='replace')[:200]!r}"
        yield Finding("project", False, said, "apply the project again: hanok apply")


def _tables(root: Path) -> Iterator[Finding]:
    for path in sorted(p for p in root.glob("*") if p.is_dir()):
        wrong = list(check_table(path))
        aside = [f"{file.name} was set aside: {why}" for file, why in set_aside_files(path).items()]
        what = f"table {path.name}"
        if wrong:
            yield Finding(what, False, "; ".join(wrong)[:2000], f"{RESTORE}, or send the rows named again")
        if aside:
            yield Finding(what, False, "; ".join(aside)[:2000], f"{AGAIN} ({path / 'set-aside'})")
        if not wrong and not aside:
            yield Finding(what, True, "read to its end")


def _segments(root: Path) -> Iterator[Finding]:
    """The prediction log as far as it is not in the tables."""
    for folder in sorted(p for p in root.glob("*") if p.is_dir()):
        wrong = []
        for path in sorted(folder.glob("[!.]*.seg")):
            with contextlib.suppress(FileNotFoundError):  # it moved into the table meanwhile
                wrong += [f"{path.name} is {said}" for said in read_contents(path).damage]
        aside = [f"{p.stem}: {p.read_text(errors='replace')}" for p in sorted((folder / "set-aside").glob("*.reason"))]
        what = f"log {folder.name}"
        if wrong:
            todo = "its other records are answered, and move into the table; the file is then set aside"
            yield Finding(what, False, "; ".join(wrong)[:2000], todo)
        if aside:
            todo = f"look at {folder / 'set-aside'}; remove the files when they are not needed"
            yield Finding(what, False, f"set aside: {'; '.join(aside)[:2000]}", todo)
        if not wrong and not aside:
            yield Finding(what, True, "read to its end")


def _online(folder: Path) -> Finding:
    if why := broken(folder):
        return Finding("online values", False, why, "start Hanok again: they are made of the tables, and filled anew")
    aside = [p.name for p in folder.glob("damaged-*.mdb")]
    if aside:
        said = f"could not be read and were filled again; kept aside: {', '.join(aside)}"
        return Finding("online values", False, said, f"remove {folder / aside[0]}")
    return Finding("online values", True, "read to their end")


def _left(home: Home) -> list[Path]:
    """What interrupted work leaves: uploads half received, copies half written. Only what bears a name that nothing but
    Hanok gives: a home may be a folder with a user's own files. What a training left is removed when a server
    starts."""
    files = [*(home.blobs / "incoming").glob(f"{INCOMING}*"), *home.root.glob(f"{BACKUP}*.partial")]
    folders = [path for prefix in ("backup-", "upload-") for path in home.work.glob(f"{prefix}*")]
    return [*(p for p in files if p.is_file()), *(p for p in folders if p.is_dir() and not p.is_symlink())]


def _leftovers(home: Home) -> Finding:
    left = _left(home)
    if not left:
        return Finding("leftovers", True, "none")
    return Finding(
        "leftovers", True, f"{_listed([p.name for p in left])}: hanok doctor --repair removes those of a day"
    )
