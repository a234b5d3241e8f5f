"""A process that scores what arms beside the answering one give and logs it in segments of its own, so that this costs
the replies nothing but handing the rows over. It may be slow or die of a model: the server goes on."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec

from hanok.core.clock import SystemClock, micros, wall_seconds
from hanok.core.errors import HanokError, Unavailable, words
from hanok.engine.executors.called import Busy, Called, Ended
from hanok.engine.executors.giving_way import go_last
from hanok.parts.serving.beside import Answered, Bulk, score_beside
from hanok.parts.serving.packages import Packages
from hanok.parts.serving.segments import Segments
from hanok.stores.blobs import LocalBlobs

SCORE_S, SYNC_S, FINISH_S = 60.0, 1.0, 2.0
FINISH = b"finish"  # no bulk begins so
ANSWERS_AT_ONCE = 32  # pickled in one go: no other thread runs meanwhile


class ShadowProcess:
    """Call it with a bulk: its rows are scored and logged on return. Started when it is first needed, and again after
    it ended.

    Raises Unavailable when the process ended over these rows, or had not scored them after a minute, NotLogged when it
    could not log them.
    """

    def __init__(self, blobs: Path, log: Path, *, score_s: float = SCORE_S) -> None:
        self.process = Called(
            lambda descriptor: [sys.executable, "-m", "hanok.server.shadowing", str(descriptor), str(blobs), str(log)],
            answer_s=score_s,
            environment=lambda: os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def __call__(self, bulk: Bulk) -> list[bytes]:
        """Nothing is left to be logged."""
        try:
            failed = self.process(packed(bulk))
        except Ended as ended:
            raise Unavailable(f"the process that scores shadows {ended} over {bulk.count} rows") from None
        if failed:
            raise NotLogged(failed.decode())
        return []

    def finish(self) -> None:
        """Close what it logs to, so that it can be moved; one that ended has let go of it already, and one that gets no
        processor time is ended. One that scores meanwhile closes nothing."""
        if self.process.pid is not None:
            with contextlib.suppress(Ended, Busy):
                self.process(FINISH, within_s=FINISH_S)

    def close(self) -> None:
        """End the process, whatever it is at."""
        self.process.close()


class NotLogged(Exception):
    """What was scored is not in the log."""


def packed(bulk: Bulk) -> bytes:
    """A bulk for the other process: in pieces, so that replies go on between them."""
    pieces = [_pickled((bulk.name, bulk.arms, bulk.packages, bulk.broken))]
    for start in range(0, len(bulk.answers), ANSWERS_AT_ONCE):
        some = bulk.answers[start : start + ANSWERS_AT_ONCE]
        pieces.append(_pickled([(a.columns, a.by_version, a.keys, a.at, a.row_ids) for a in some]))
    return msgspec.msgpack.encode(pieces)


def unpacked(message: bytes) -> Bulk:
    head, *pieces = map(pickle.loads, msgspec.msgpack.decode(message, type=list[bytes]))
    name, arms, packages, broken = head
    answers = (Answered(arms, *answered) for piece in pieces for answered in piece)
    return Bulk(name, arms, packages, broken, tuple(answers))


def _pickled(content: object) -> bytes:
    sink = io.BytesIO()
    pickler = pickle.Pickler(sink, protocol=pickle.HIGHEST_PROTOCOL)
    pickler.fast = True  # nothing in a bulk refers to itself; remembering each list costs five times as much
    pickler.dump(content)
    return sink.getvalue()


class Scoring:
    """The work of the process: bulks in, entries in its own segments of the log."""

    def __init__(self, blobs: Path, log: Path) -> None:
        self._packages = Packages(LocalBlobs(blobs))
        self._segments = Segments(log, start_ms=micros(SystemClock().now()) // 1000)
        self._synced, self._dirty = wall_seconds(), False

    def answer(self, message: bytes) -> bytes:
        """Why it is not logged; nothing where it is."""
        if message == FINISH:
            self._segments.close()
            return b""
        bulk = unpacked(message)
        payloads = score_beside(self._packages, bulk)
        try:
            self._segments.append(bulk.name, payloads)
        except (HanokError, OSError) as error:
            return words(error).encode(errors="backslashreplace")
        self._dirty = True
        return b""

    def sync(self) -> None:
        """Once a second, as the server does with its own."""
        if self._dirty and wall_seconds() - self._synced >= SYNC_S:
            self._segments.sync()
            self._synced, self._dirty = wall_seconds(), False

    def close(self) -> None:
        self._segments.close()


def main(descriptor: int, blobs: Path, log: Path) -> None:
    """Answer bulks until the server is gone."""
    go_last()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal is for the server
    scoring, connection = Scoring(blobs, log), Connection(descriptor)
    try:
        while True:
            if connection.poll(SYNC_S):
                connection.send_bytes(scoring.answer(connection.recv_bytes()))
            with contextlib.suppress(OSError):
                scoring.sync()
    except (EOFError, OSError):
        scoring.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
