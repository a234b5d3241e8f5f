"""Workers outlive a restart of the server: a call that finds nobody is made again until somebody answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from hanok.core.errors import HanokError
from hanok.core.recording import Entry
from hanok.sdk.client import Client
from hanok.sdk.runs.sinks import Online

T = TypeVar("T")

OUTAGE_S = 600.0
WAIT_S, WAIT_MAX_S = 0.1, 2.0
UNREACHABLE = (502, 503, 504)


def patient_call(client: Client, verb: str, /, **arguments: Any) -> Any:
    """As `client.call`, and again for up to OUTAGE_S while the server cannot be reached.

    For verbs that may be heard twice: a `tell`, a `report` of a step, and a `start` with its key have one effect, and a
    trial that was handed out in an answer that got lost falls back to the study when its lease is over.
    """
    return patiently(lambda: client.call(verb, **arguments))


def patient_upload(client: Client, run: str, path: str, file: Path) -> None:
    """Store a file of a run, as patiently: the same file at the same place is one artifact."""
    patiently(lambda: client.upload("runs", run, path, file))


class PatientSink(Online):
    """What a trial logs waits for its server too."""

    def record(self, run: str, writer: str, entries: Sequence[Entry]) -> None:
        patiently(lambda: Online.record(self, run, writer, entries))

    def upload(self, of: str, identity: str, path: str, file: Path) -> None:
        patiently(lambda: Online.upload(self, of, identity, path, file))


def patiently(work: Callable[[], T]) -> T:
    """Work that may be done twice, again for up to OUTAGE_S while the server cannot be reached. Raises HanokError."""
    wait_s, until = WAIT_S, time.monotonic() + OUTAGE_S
    while True:
        try:
            return work()
        except HanokError as error:
            if error.status not in UNREACHABLE or time.monotonic() > until:
                raise
        time.sleep(wait_s)
        wait_s = min(WAIT_MAX_S, wait_s * 2)
