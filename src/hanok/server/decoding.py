"""Decoding of prediction bodies: here, or in another process with the columns handed back as Arrow."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pyarrow as pa

from hanok.compute.frames import Columns
from hanok.core.serving import Signature
from hanok.wire.inference import invocations, oip

Protocol = Literal["oip", "mlflow"]


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked, in either protocol."""

    columns: Columns
    rows: int
    id: str = ""
    outputs: tuple[str, ...] | None = None
    entity: dict[str, str | int | float | bool | None] | None = None
    binary: frozenset[str] = frozenset()
    explain: bool = False


@dataclass(frozen=True, slots=True)
class Packed:
    """A request as another process hands it over."""

    request: Request
    columns: bytes


def decode(protocol: Protocol, body: bytes, content_type: str, arms: Sequence[Signature], header: str = "") -> Request:
    """`header` is the length of the JSON before tensors that are bytes. Raises SignatureMismatch, TooLarge."""
    if protocol == "oip":
        infer = oip.decode(body, arms, header)
        return Request(infer.columns, infer.rows, infer.id, infer.outputs, infer.entity, infer.binary, infer.explain)
    frame = invocations.decode(body, content_type, arms)
    return Request(frame.columns, frame.rows)


def decode_packed(
    protocol: Protocol, body: bytes, content_type: str, arms: Sequence[Signature], header: str = ""
) -> Packed:
    """The same for another process to give back: as buffers, which are read without touching each value."""
    request = decode(protocol, body, content_type, arms, header)
    table = pa.table(list(map(pa.array, request.columns.values())), list(request.columns))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return Packed(replace(request, columns={}), sink.getvalue().to_pybytes())


def unpacked(packed: Packed) -> Request:
    with pa.ipc.open_stream(packed.columns) as stream:
        table = stream.read_all()
    return replace(packed.request, columns={n: table.column(n) for n in table.column_names})


def start_worker() -> None:
    """Ctrl-C in the terminal is for the server, which ends its workers itself. Small requests go before large ones."""
    os.nice(5)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pa.set_cpu_count(1)
    threading.Thread(target=_end_with_the_server, name="hanok-watch", daemon=True).start()


def _end_with_the_server() -> None:
    """Nobody reads what is decoded after that, and a killed server cannot say so."""
    server = multiprocessing.parent_process()
    if server is not None:
        server.join()
        os._exit(0)
