"""A process that rehearses, in the processor time that nobody else wants."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path

import orjson
import pyarrow as pa

from hanok.core.errors import NotFound, Unavailable, words
from hanok.core.records import from_body, to_body
from hanok.engine.executors.called import Called, Ended
from hanok.engine.executors.giving_way import go_last
from hanok.engine.rehearsed import Rehearsed, Rehearsing, run
from hanok.parts.serving.packages import Packages
from hanok.stores.blobs import LocalBlobs

ANSWER_S = 3600.0


class RehearsalProcess:
    """Call it as `Rehearsals.elsewhere`. One rehearsal at a time; its process ends with it."""

    def __init__(self, blobs: Path) -> None:
        self._turn, self._closed = threading.Lock(), False
        self._process = Called(
            lambda descriptor: [sys.executable, "-m", "hanok.server.rehearsing", str(descriptor), str(blobs)],
            answer_s=ANSWER_S,
            environment=lambda: os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def __call__(self, work: Rehearsing, package: str) -> Rehearsed:
        """Raises Unavailable when another rehearsal is under way or the process ends over it, and what the rehearsal
        raises."""
        if self._closed:
            raise Unavailable("the server is ending")
        if not self._turn.acquire(blocking=False):
            raise Unavailable("another rehearsal is under way: ask again when it has ended")
        try:
            reply = self._process(pickle.dumps((work, package), protocol=pickle.HIGHEST_PROTOCOL))
        except Ended as ended:
            raise Unavailable(f"the process that rehearses {ended}; ask again") from None
        finally:
            self._process.close()
            self._turn.release()
        said = orjson.loads(reply)  # it runs a model: what it says is data
        if "lacks" in said:
            raise NotFound(said["lacks"])
        if "failed" in said:
            raise Unavailable(said["failed"])
        return from_body(Rehearsed, said)

    def close(self) -> None:
        """End the process, whatever it is at; none is started any more."""
        self._closed = True
        self._process.close()


def answer(packages: Packages, message: bytes) -> bytes:
    """What was rehearsed, what it lacks, or why it failed."""
    try:
        work, package = pickle.loads(message)
        return orjson.dumps(to_body(run(work, packages.load(package).score)))
    except NotFound as error:
        return orjson.dumps({"lacks": error.message})
    except Exception as error:  # noqa: BLE001 (the rehearsal ends here: the server is told why)
        return orjson.dumps({"failed": f"the rehearsal failed: {words(error)}"})


def main(descriptor: int, blobs: Path) -> None:
    """Answer until the server is gone."""
    go_last()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal is for the server
    pa.set_cpu_count(1)
    packages, connection = Packages(LocalBlobs(blobs)), Connection(descriptor)
    while True:
        try:
            connection.send_bytes(answer(packages, connection.recv_bytes()))
        except (EOFError, OSError):
            return


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
