"""A process that scores what arms beside the answering one give, so that this costs the replies nothing but handing the
rows over. It may be slow or die of a model: the server goes on."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec

from hanok.core.clock import wall_seconds
from hanok.core.errors import Unavailable
from hanok.parts.serving.beside import Bulk, score_beside
from hanok.parts.serving.packages import Packages
from hanok.stores.blobs import LocalBlobs

NICE = 10
SCORE_S = 60.0
END_S = 2.0
LOOK_S = 0.5  # so often it is looked whether the process lives


class ShadowProcess:
    """Call it with a bulk: the entries of its rows. Started when it is first needed, and again after it ended.

    Raises Unavailable when the process ended over these rows, or had not scored them after a minute.
    """

    def __init__(self, blobs: Path, *, score_s: float = SCORE_S) -> None:
        self._blobs, self._score_s = blobs, score_s
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._lock = threading.Lock()

    def __call__(self, bulk: Bulk) -> list[bytes]:
        message = pickle.dumps(bulk, protocol=pickle.HIGHEST_PROTOCOL)
        with self._lock:
            connection = self._connection or self._start()
            try:
                connection.send_bytes(message)
                if self._answered(connection):
                    return msgspec.msgpack.decode(connection.recv_bytes(), type=list[bytes])
                why = f"had not scored {bulk.count} rows after {self._score_s:.0f} s"
            except (EOFError, OSError):
                why = f"ended {_how(self._process)} over {bulk.count} rows"
            self._end()
        raise Unavailable(f"the process that scores shadows {why}")

    def _answered(self, connection: Connection) -> bool:
        """Whether a reply begins to come. Raises EOFError when the process is gone, whoever still holds its socket."""
        until = wall_seconds() + self._score_s
        while (left := until - wall_seconds()) > 0:
            if connection.poll(min(left, LOOK_S)):
                return True
            if self._process is not None and self._process.poll() is not None:
                raise EOFError
        return False

    def close(self) -> None:
        """End the process, whatever it is at."""
        if (process := self._process) is not None:
            process.kill()  # a call that waits for it ends
        with self._lock:
            self._end()

    def _start(self) -> Connection:
        ours, theirs = socket.socketpair()
        for bound in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):  # half a message holds nothing up for ever either
            ours.setsockopt(socket.SOL_SOCKET, bound, struct.pack("@ll", int(self._score_s) + 1, 0))
        with theirs:
            command = [sys.executable, "-m", "hanok.server.shadowing", str(theirs.fileno()), str(self._blobs)]
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self._connection = Connection(ours.detach())
        return self._connection

    def _end(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.kill()  # it holds nothing that could be lost
            self._process.wait()
        self._process = self._connection = None


def _how(process: subprocess.Popen[bytes] | None) -> str:
    try:
        code = process.wait(END_S) if process is not None else 0
    except subprocess.TimeoutExpired:
        return "its connection"
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"


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
