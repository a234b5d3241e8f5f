"""A process that reads segments of the prediction log, so that moving them into tables keeps no reply waiting."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from multiprocessing.connection import Connection

import msgspec
import pyarrow as pa

from hanok.core.errors import Unavailable, words
from hanok.engine.executors.called import Called, Ended
from hanok.engine.executors.giving_way import give_way
from hanok.parts.serving.reading import FactsOf, Read, RowsOf, read

READ_S = 300.0
TRIES = 2
GONE = "gone"


class ReadingProcess:
    """Call it as `read`. Started when it is first needed, and again after it ended. Raises Unavailable when it ends
    over a segment again and again."""

    def __init__(self, *, read_s: float = READ_S) -> None:
        self.process = Called(
            lambda descriptor: [sys.executable, "-m", "hanok.server.reading", str(descriptor)],
            answer_s=read_s,
            environment=lambda: os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def __call__(self, asked: RowsOf | FactsOf) -> Read:
        message, why = pickle.dumps(asked, protocol=pickle.HIGHEST_PROTOCOL), ""
        for _ in range(TRIES):
            try:
                said, bad, rows = msgspec.msgpack.decode(self.process(message), type=tuple[str, str, memoryview])
            except Ended as ended:
                why = str(ended)
                continue
            if said == GONE:
                raise FileNotFoundError(asked.path)
            if said:
                raise Unavailable(said)
            return Read(pa.ipc.open_stream(pa.py_buffer(rows)).read_all(), bad)
        raise Unavailable(f"the process that reads the prediction log {why} over {asked.path.name}")

    def close(self) -> None:
        """End the process, whatever it is at."""
        self.process.close()


def answer(message: bytes) -> bytes:
    """Why nothing was read, what of the segment cannot be, and the rows."""
    try:
        found = read(pickle.loads(message))
    except FileNotFoundError:
        return msgspec.msgpack.encode((GONE, "", b""))
    except Exception as error:  # noqa: BLE001 (one segment ends here: the server is told why)
        return msgspec.msgpack.encode((words(error), "", b""))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, found.table.schema) as stream:
        stream.write_table(found.table)
    return msgspec.msgpack.encode(("", found.bad, memoryview(sink.getvalue())))


def main(descriptor: int) -> None:
    """Answer until the server is gone."""
    give_way()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal is for the server
    pa.set_cpu_count(1)
    connection = Connection(descriptor)
    while True:
        try:
            connection.send_bytes(answer(connection.recv_bytes()))
        except (EOFError, OSError):
            return


if __name__ == "__main__":
    main(int(sys.argv[1]))
