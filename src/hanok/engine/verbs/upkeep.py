"""Verbs of upkeep: doctor, backup, status."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path
from typing import Any

from hanok.core.access import Access
from hanok.core.clock import wall_seconds
from hanok.core.records import to_body
from hanok.core.version import VERSION
from hanok.engine.backup import backup as write_backup
from hanok.engine.backup import check
from hanok.engine.verbs.registry import verb

FREE_MIN = 1 << 30


@verb("doctor", Access.OWN)
def doctor(app: Any, actor: str) -> list[dict[str, Any]]:
    """Check versions, disk, clock, database, artifacts and tables."""
    free = shutil.disk_usage(app.home.root).free
    unfinished = [w for kind in ("train", "replay") for w in app.durable.unfinished(kind)]
    rows = [
        {"what": "version", "ok": True, "detail": f"hanok {VERSION}, Python {platform.python_version()}"},
        {"what": "home", "ok": os.access(app.home.root, os.W_OK), "detail": str(app.home.root)},
        {"what": "disk", "ok": free > FREE_MIN, "detail": f"{free / (1 << 30):.1f} GiB free"},
        {
            "what": "workflows",
            "ok": not unfinished,
            "detail": ", ".join(f"{w.kind} {w.key} unfinished" for w in unfinished[:3]) or "none unfinished",
        },
    ]
    aside = app.metadata.read(lambda r: r.records.list("event-set-aside", limit=100))
    detail = f"{len(aside)} set aside, the last: {aside[0]['error']}" if aside else "all handled"
    rows.append({"what": "events", "ok": not aside, "detail": detail})
    started = wall_seconds()
    app.metadata.write(lambda r: r.records.put("doctor", "write", "probe", {}, app.clock.now()))
    rows.append({"what": "durable write", "ok": True, "detail": f"{(wall_seconds() - started) * 1000:.1f} ms"})
    return rows + check(app)


@verb("backup", Access.OWN, on_this_machine=True)
def backup(app: Any, actor: str, *, path: str) -> dict[str, Any]:
    """A consistent copy of the whole home in one tar file."""
    target = write_backup(app, Path(path))
    return {"path": str(target), "size_bytes": target.stat().st_size}


@verb("tick", Access.EDIT)
def tick(app: Any, actor: str) -> list[dict[str, Any]]:
    """Do now what the clock would do: move rollouts on, retrain what is due."""
    return [dict(to_body(d)) for d in app.upkeep.tick()]
