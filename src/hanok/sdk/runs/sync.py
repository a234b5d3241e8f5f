"""Bringing runs that wait on disk to their store, each exactly once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hanok.core.clock import SystemClock
from hanok.core.errors import Conflict
from hanok.core.recording import Entry
from hanok.core.tracking import KILLED
from hanok.sdk.client import Client
from hanok.sdk.runs.journal import FILES, identity, journals, lines, locked
from hanok.wire.recording import encode

BATCH = 500


def sync(folder: Path, client: Client, *, done: Callable[[str], None] = lambda _: None) -> list[dict[str, Any]]:
    """Replay every journal in `folder`; one that has arrived whole is removed.

    The store skips what it has applied, so a sync that was killed is simply repeated. A run whose process ended
    without saying so becomes KILLED.
    """
    outcomes = []
    for root in journals(folder):
        run, writer = identity(root)
        try:
            outcome = _replay(root, run, writer, client)
        except Conflict as error:
            if error.code != "conflict":
                raise
            outcome = {"run": run, "state": "still being written", "entries": 0, "files": 0}
        outcomes.append(outcome)
        done(run)
    return outcomes


def _replay(root: Path, run: str, writer: str, client: Client) -> dict[str, Any]:
    file = locked(root)
    waiting: list[Mapping[str, Any]] = []
    last, ended, count, files = 0, False, 0, 0
    try:
        for line in lines(file):
            if "entry" in line:
                waiting.append(line["entry"])
                last, ended, count = line["entry"]["number"], line["entry"]["kind"] == "end", count + 1
            if "upload" in line or len(waiting) >= BATCH:
                waiting = _send(client, run, writer, waiting)
            if "upload" in line:
                sent = line["upload"]
                client.upload(sent["of"], sent["id"], sent["path"], root / FILES / sent["file"])
                files += 1
        if not ended:
            now_ms = int(SystemClock().now().timestamp() * 1000)
            waiting.append(encode(Entry(last + 1, "end", at_ms=now_ms, status=KILLED)))
        _send(client, run, writer, waiting)
        shutil.rmtree(root)
    finally:
        file.close()
    return {"run": run, "state": "synced" if ended else "synced as KILLED", "entries": count, "files": files}


def _send(client: Client, run: str, writer: str, entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    if entries:
        client.call("run.record", run=run, writer=writer, entries=list(entries))
    return []
