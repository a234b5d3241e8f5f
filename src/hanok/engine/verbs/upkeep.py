"""Verbs of upkeep: doctor, backup, status."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path

from hanok.core.access import Access
from hanok.core.clock import Clock, wall_seconds
from hanok.core.errors import HanokError
from hanok.core.jobs import SET_ASIDE
from hanok.core.json import JsonObject
from hanok.core.records import to_body
from hanok.core.version import VERSION
from hanok.engine.backup import backup as write_backup
from hanok.engine.doctor import check_batches, check_blobs, check_home
from hanok.engine.doctor import repair as mend
from hanok.engine.home import Home
from hanok.engine.upkeep import Upkeep
from hanok.engine.verbs.registry import verb
from hanok.parts.access import GuardedMetadata, GuardedTables
from hanok.parts.features.service import Features
from hanok.parts.serving.log import PredictionLog
from hanok.parts.tracking.named import addresses_of, named
from hanok.parts.training.durable import Durable
from hanok.parts.validation.service import Validation
from hanok.stores.blobs import LocalBlobs
from hanok.stores.disk import full_disk_named

FREE_MIN = 1 << 30


@verb("doctor", Access.OWN, "long")
def doctor(
    home: Home,
    durable: Durable,
    metadata: GuardedMetadata,
    blobs: LocalBlobs,
    tables: GuardedTables,
    validation: Validation,
    features: Features,
    clock: Clock,
    *,
    repair: bool = False,
) -> Sequence[JsonObject]:
    """Read everything that lies in the home: database, artifacts, tables, prediction log, online values.

    With `repair`, leftovers and damaged artifacts that nothing names are removed; nothing else is changed.
    """
    free = shutil.disk_usage(home.root).free
    unfinished = [w for kind in ("train", "replay") for w in durable.unfinished(kind)]
    rows: list[JsonObject] = [
        {"what": "version", "ok": True, "detail": f"hanok {VERSION}, Python {platform.python_version()}"},
        {"what": "home", "ok": os.access(home.root, os.W_OK), "detail": str(home.root)},
        {"what": "disk", "ok": free > FREE_MIN, "detail": f"{free / (1 << 30):.1f} GiB free"},
        {
            "what": "workflows",
            "ok": not unfinished,
            "detail": ", ".join(f"{w.kind} {w.key} unfinished" for w in unfinished[:3]) or "none unfinished",
        },
    ]
    aside = SET_ASIDE.all(metadata.read(lambda r: r.records.list(SET_ASIDE.name, limit=100)))
    detail = f"{len(aside)} set aside, the last: {aside[0].error}; see: hanok job events" if aside else "all handled"
    rows.append({"what": "events", "ok": not aside, "detail": detail})
    for view, why in features.unfilled().items():
        detail = f"no online values: {why}; mend it, then: hanok feature materialize {view}"
        rows.append({"what": f"feature view {view}", "ok": False, "detail": detail})
    rows.append(_durable_write(metadata, clock))
    done = list(mend(home, metadata, blobs, clock.now())) if repair else []
    found = [*done, *check_home(home), *check_batches(validation.batches, tables), *check_blobs(metadata, blobs)]
    return [*({**row, "todo": ""} for row in rows), *(f.as_dict() for f in found)]


def _durable_write(metadata: GuardedMetadata, clock: Clock) -> JsonObject:
    """What cannot be written is a finding, not the end of the others."""
    started = wall_seconds()
    try:
        with full_disk_named("a probe"):
            metadata.write(lambda r: r.records.put("doctor", "write", "probe", {}, clock.now()))
    except HanokError as error:
        return {"what": "durable write", "ok": False, "detail": error.message}
    return {"what": "durable write", "ok": True, "detail": f"{(wall_seconds() - started) * 1000:.1f} ms"}


@verb("backup", Access.OWN, "long", on_this_machine=True)
def backup(
    home: Home, metadata: GuardedMetadata, tables: GuardedTables, log: PredictionLog, blobs: LocalBlobs, *, path: Path
) -> JsonObject:
    """A consistent copy of the whole home in one tar file. `missing` are artifacts that are named and not there, so
    not in the copy either."""
    target = write_backup(home, metadata, tables, log, path)
    gone = sorted(named(metadata.inner.read(addresses_of), blobs).missing(set(blobs.digests())))
    copied: JsonObject = {"path": str(target), "size_bytes": target.stat().st_size}
    lacks: JsonObject = {
        "missing": gone,
        "warning": f"{len(gone)} artifacts are named and not there; see: hanok doctor",
    }
    return {**copied, **lacks} if gone else copied


@verb("tick", Access.EDIT, "long")
def tick(upkeep: Upkeep) -> Sequence[JsonObject]:
    """Do now what the clock would do: move rollouts on, retrain what is due."""
    return [dict(to_body(d)) for d in upkeep.tick()]
