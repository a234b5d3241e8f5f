"""A process that scores what arms beside the answering one give, so that this costs the replies nothing but handing the
rows over. It may be slow or die of a model: the server goes on."""

from __future__ import annotations

import io
import os
import pickle
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec

from hanok.core.errors import Unavailable
from hanok.engine.executors.called import Called, Ended
from hanok.engine.executors.giving_way import give_way
from hanok.parts.serving.beside import Answered, Bulk, score_beside
from hanok.parts.serving.packages import Packages
from hanok.stores.blobs import LocalBlobs

SCORE_S = 60.0
ANSWERS_AT_ONCE = 32  # pickled in one go: no other thread runs meanwhile


class ShadowProcess:
    """Call it with a bulk: the entries of its rows. Started when it is first needed, and again after it ended.

    Raises Unavailable when the process ended over these rows, or had not scored them after a minute.
    """

    def __init__(self, blobs: Path, *, score_s: float = SCORE_S) -> None:
        self.process = Called(
            lambda descriptor: [sys.executable, "-m", "hanok.server.shadowing", str(descriptor), str(blobs)],
            answer_s=score_s,
            environment=lambda: os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def __call__(self, bulk: Bulk) -> list[bytes]:
        try:
            reply = self.process(packed(bulk))
        except Ended as ended:
            raise Unavailable(f"the process that scores shadows {ended} over {bulk.count} rows") from None
        return msgspec.msgpack.decode(reply, type=list[bytes])

    def close(self) -> None:
        """End the process, whatever it is at."""
        self.process.close()


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


def main(descriptor: int, blobs: Path) -> None:
    """Answer bulks until the server is gone."""
    give_way()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal is for the server
    packages, connection = Packages(LocalBlobs(blobs)), Connection(descriptor)
    while True:
        try:
            bulk = unpacked(connection.recv_bytes())
            connection.send_bytes(msgspec.msgpack.encode(score_beside(packages, bulk)))
        except (EOFError, OSError):
            return


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
