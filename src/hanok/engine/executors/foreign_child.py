"""A model as it was logged, in a process of its own: `PYTHON foreign_child.py CONNECTION FOLDER MEMORY`.

It is run by path, by whichever interpreter has the model's libraries, and needs nothing of Hanok: JSON in, JSON out.
The folder is one that `mlflow.pyfunc.load_model` takes.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol, TypeAlias

Cell: TypeAlias = str | int | float | bool | None
Column: TypeAlias = tuple[str, str, Sequence[Cell]]  # name, datatype, values
Said: TypeAlias = dict[str, str | int | list[str] | list[float]]
NICE = 5
DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG


class Model(Protocol):
    def predict(self, frame: Mapping[str, Sequence[Cell]]) -> Sequence[Cell] | Mapping[str, Sequence[Cell]]: ...


def main(descriptor: int, folder: str, memory: int) -> None:
    """Answer until the server is gone, however it ended."""
    _bound(memory)
    connection = Connection(descriptor)
    started = time.perf_counter()
    try:
        model = _loaded(folder)
    except BaseException as error:  # noqa: BLE001 (the server is told what it said)
        connection.send_bytes(json.dumps({"error": _words(error)}).encode())
        return
    connection.send_bytes(json.dumps({"seconds": time.perf_counter() - started}).encode())
    while True:
        try:
            asked = json.loads(connection.recv_bytes())
        except (EOFError, OSError):
            return
        try:
            said = _answered(model, asked)
        except Exception as error:  # noqa: BLE001 (one request ends here)
            said = {"error": _words(error)}
        said["turn"] = asked["turn"]
        connection.send_bytes(json.dumps(said).encode())


def _bound(memory: int) -> None:
    import resource

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory:
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(DIES_WITH_PARENT, signal.SIGKILL)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _loaded(folder: str) -> Model:
    from importlib import import_module

    model: Model = import_module("mlflow.pyfunc").load_model(folder)
    return model


def _answered(model: Model, asked: Mapping[str, Sequence[Column]]) -> Said:
    import numpy
    import pandas

    frame = pandas.DataFrame({name: _column(kind, values) for name, kind, values in asked["columns"]})
    found = model.predict(frame)
    if isinstance(found, dict) and len(found) == 1:
        found = next(iter(found.values()))
    values = numpy.asarray(found)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if len(values) != len(frame):
        raise ValueError(f"it gave {len(values)} answers to {len(frame)} rows")
    if values.dtype.kind in "OUS":
        return {"labels": [str(value) for value in values.tolist()]}
    if values.dtype.kind == "c":
        raise ValueError(f"it gave complex numbers, like {values.flat[0]}")
    return {"scores": values.astype(float).tolist(), "memory": _memory()}


def _column(kind: str, values: Sequence[Cell]) -> Sequence[Cell]:
    import pandas

    found: Sequence[Cell]
    if kind == "INT64" and None not in values:
        found = pandas.Series([int(value or 0) for value in values], dtype="int64")
        return found
    if kind == "BOOL" and None not in values:
        found = pandas.Series([bool(value) for value in values], dtype="bool")
        return found
    found = pandas.Series(values, dtype="object" if kind == "BYTES" else "float64")
    return found


def _memory() -> int:
    """Bytes that the process holds."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:2000]


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
