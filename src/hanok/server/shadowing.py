"""A process that scores what arms beside the answering one give, so that this costs the replies nothing but handing the
rows over. It may be slow or die of a model: the server goes on."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec

from hanok.core.errors import Unavailable
from hanok.engine.executors.called import Called, Ended
from hanok.parts.serving.beside import Bulk, score_beside
from hanok.parts.serving.packages import Packages
from hanok.stores.blobs import LocalBlobs

NICE = 10
SCORE_S = 60.0


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
            reply = self.process(pickle.dumps(bulk, protocol=pickle.HIGHEST_PROTOCOL))
        except Ended as ended:
            raise Unavailable(f"the process that scores shadows {ended} over {bulk.count} rows") from None
        return msgspec.msgpack.decode(reply, type=list[bytes])

    def close(self) -> None:
        """End the process, whatever it is at."""
        self.process.close()


def main(descriptor: int, blobs: Path) -> None:
    """Answer bulks until the server is gone."""
    os.nice(NICE)
    if hasattr(os, "SCHED_BATCH"):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))  # interrupts no reply when it wakes
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal is for the server
    packages, connection = Packages(LocalBlobs(blobs)), Connection(descriptor)
    while True:
        try:
            bulk: Bulk = pickle.loads(connection.recv_bytes())
            connection.send_bytes(msgspec.msgpack.encode(score_beside(packages, bulk)))
        except (EOFError, OSError):
            return


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
