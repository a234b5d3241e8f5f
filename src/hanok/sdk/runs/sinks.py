"""Where the entries of a run go: a home opened here, a server, or a journal on disk."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hanok.core.errors import HanokError, HomeLocked
from hanok.core.recording import Entry
from hanok.engine.config import load_config
from hanok.sdk.client import Client, open
from hanok.sdk.runs.journal import Journal
from hanok.wire.recording import as_json

RETRY_AFTER_S = (0.2, 1.0, 3.0)
UNREACHABLE = (502, 503, 504)


@dataclass(frozen=True, slots=True)
class Place:
    """What the caller and the environment say about where runs go. `url` "" means the home of this directory."""

    url: str
    offline: bool
    journal: Path
    home: Path | None = None


class Sink(Protocol):
    def record(self, run: str, writer: str, entries: Sequence[Entry]) -> None: ...

    def upload(self, of: str, identity: str, path: str, file: Path) -> None: ...

    def close(self) -> None: ...


class Online:
    """A home or a server through its client."""

    def __init__(self, client: Client, release: Callable[[], None]) -> None:
        self._client, self._release = client, release

    def record(self, run: str, writer: str, entries: Sequence[Entry]) -> None:
        self._client.call("run.record", run=run, writer=writer, entries=as_json(entries))

    def upload(self, of: str, identity: str, path: str, file: Path) -> None:
        self._client.upload(of, identity, path, file)

    def close(self) -> None:
        self._release()


class OnlineOrJournal:
    """Online until it cannot be reached; from then on, so that the order stays, the journal."""

    def __init__(self, online: Sink, journal: Callable[[], Journal], pause: Callable[[float], object]) -> None:
        self._sink, self._journal, self._pause = online, journal, pause
        self._online = True

    def record(self, run: str, writer: str, entries: Sequence[Entry]) -> None:
        self._try(lambda sink: sink.record(run, writer, entries))

    def upload(self, of: str, identity: str, path: str, file: Path) -> None:
        self._try(lambda sink: sink.upload(of, identity, path, file))

    def close(self) -> None:
        self._sink.close()

    def _try(self, work: Callable[[Sink], None]) -> None:
        for wait_s in (*RETRY_AFTER_S, None) if self._online else ():
            try:
                return work(self._sink)
            except HanokError as error:
                if error.status not in UNREACHABLE:
                    raise
                if wait_s is None:
                    self._go_offline(error)
                else:
                    self._pause(wait_s)
        return work(self._sink)

    def _go_offline(self, error: HanokError) -> None:
        self._sink.close()
        journal = self._journal()
        warnings.warn(
            f"{error.message} What this run logs goes to {journal.root} until then: hanok sync {journal.root.parent}",
            stacklevel=2,
        )
        self._sink, self._online = journal, False


def sink_for(place: Place, run: str, writer: str, pause: Callable[[float], object]) -> Sink:
    """The sink of a run. A home that another process holds without serving it leads to the journal."""

    def journal() -> Journal:
        return Journal(place.journal, run, writer)

    if place.offline:
        return journal()
    try:
        online = Online(open(place.url), lambda: None) if place.url else _homes.take(place.home)
    except HomeLocked as error:
        waiting = journal()
        warnings.warn(
            f"{error.message} What this run logs goes to {waiting.root} until then: hanok sync {place.journal}",
            stacklevel=2,
        )
        return waiting
    return OnlineOrJournal(online, journal, pause)


class _Homes:
    """Homes that this process has open: a second run uses what the first has opened, the last one closes it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[Path, tuple[Client, int]] = {}

    def take(self, home: Path | None) -> Online:
        path = (home or load_config(Path.cwd()).home).resolve()
        with self._lock:
            client, users = self._open.get(path, (None, 0))
            if client is None:
                client = open(home)
            self._open[path] = (client, users + 1)
        return Online(client, lambda: self._leave(path))

    def _leave(self, path: Path) -> None:
        with self._lock:
            client, users = self._open.pop(path)
            if users > 1:
                self._open[path] = (client, users - 1)
            else:
                client.close()


_homes = _Homes()
