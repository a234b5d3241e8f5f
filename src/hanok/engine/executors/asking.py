"""SQL that a person wrote, in a process that may die: one large scalar cannot be interrupted in DuckDB, and knows no
bound of its memory (`SELECT len(range(200000000))` took 505 s and 14 GB). What goes there and what comes back are files
in a folder that both know."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import orjson
import pyarrow as pa

from hanok.compute.user_sql import Limits, select_only, stopped, too_large
from hanok.core import errors
from hanok.core.access import current_call
from hanok.core.clock import wall_seconds
from hanok.core.errors import Cancelled, HanokError, Invalid, TooLarge, Unavailable, words
from hanok.core.tables import Overlay, Scan
from hanok.engine.executors.started import Child

PROCESS_BYTES = 1 << 30  # of one process in all: an empty one has some 300 MB, and DuckDB's own bound is in `Limits`
PROCESS_MB = 512  # of DuckDB in such a process, whatever a query may have elsewhere
ANSWER_BYTES = 256 << 20
START_S, OVER_S, LOOK_S = 60.0, 1.0, 0.05
IDLE_MAX = 2


class Queries(Protocol):
    """Where users' SQL runs."""

    def select(self, query: str, relations: Mapping[str, pa.Table | Scan], limits: Limits) -> pa.Table:
        """The answer of one SELECT over tables and snapshots. Raises Invalid, TooLarge, and Cancelled when its caller
        hung up."""
        ...

    def close(self) -> None: ...


def hanging_up() -> Callable[[], bool]:
    """Whether the caller of now has hung up meanwhile, for any thread."""
    call = current_call()
    return lambda: call is not None and call.gone


class InlineQueries:
    """In this process: for a command or a notebook, whose own SQL it is."""

    def select(self, query: str, relations: Mapping[str, pa.Table | Scan], limits: Limits) -> pa.Table:
        return select_only(query, relations, limits, gone=hanging_up())

    def close(self) -> None:
        pass


class QueryProcesses:
    """For a server. One process for each query at a time; a few wait for the next one, none that was stopped."""

    def __init__(self, folder: Path, memory_bytes: int = PROCESS_BYTES) -> None:
        self._folder, self._memory = folder, memory_bytes
        self._idle, self._all = list[Child](), set[Child]()
        self._lock, self._closed = threading.Lock(), False

    def select(self, query: str, relations: Mapping[str, pa.Table | Scan], limits: Limits) -> pa.Table:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        limits = replace(limits, memory=f"{min(limits.megabytes, PROCESS_MB)}MB")
        with tempfile.TemporaryDirectory(dir=self._folder, prefix="sql-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            _write(folder, query, relations, limits)
            with self._process() as child:
                child.ask(folder)
                self._wait(child, limits)
                answer = _read(folder)
            return answer

    def close(self) -> None:
        """End all processes now."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            running = self._all - set(idle)
        for child in running:
            child.kill()
        for child in idle:
            self._end(child)

    @contextmanager
    def _process(self) -> Iterator[Child]:
        """A process that is started already; it is kept for another query unless this one ended in the middle."""
        with self._lock:
            child = self._idle.pop() if self._idle else None
        if child is None:
            child = self._started()
        try:
            yield child
        except _Stopped as error:
            self._end(child)
            raise error.told from None
        except Invalid:
            self._keep(child)
            raise
        except BaseException:
            self._end(child)
            raise
        else:
            self._keep(child)

    def _started(self) -> Child:
        with self._lock:
            if self._closed:
                raise Unavailable("the server stops")
            child = Child("SQL", self._memory)
            self._all.add(child)
        try:
            with tempfile.TemporaryDirectory(dir=self._folder, prefix="sql-", ignore_cleanup_errors=True) as name:
                first = Limits("64MB", START_S, 1)  # what it imports is no part of anybody's time
                _write(Path(name), "SELECT 1", {}, first)
                child.ask(Path(name))
                self._wait(child, first)
                _read(Path(name))
        except BaseException:
            self._end(child)
            raise
        return child

    def _wait(self, child: Child, limits: Limits) -> None:
        until, gone = wall_seconds() + limits.timeout_s + OVER_S, hanging_up()
        while True:
            answered = child.answered(LOOK_S)
            if answered:
                return
            if answered is None:
                if self._closed:
                    raise Unavailable("the server stops; ask again after its next start")
                raise _Stopped(too_large(limits))
            if gone():
                raise Cancelled("the query was stopped: its caller hung up")
            if wall_seconds() > until:
                raise _Stopped(stopped(limits))

    def _keep(self, child: Child) -> None:
        with self._lock:
            kept = not self._closed and len(self._idle) < IDLE_MAX
            if kept:
                self._idle.append(child)
        if not kept:
            self._end(child)

    def _end(self, child: Child) -> None:
        with self._lock:
            self._all.discard(child)
        child.close()


class _Stopped(Exception):
    """The process is at an end, and what its caller is told."""

    def __init__(self, told: HanokError) -> None:
        super().__init__(told.message)
        self.told = told


@dataclass(frozen=True, slots=True)
class _Asked:
    query: str
    names: list[str]
    limits: Limits
    scans: dict[str, _Snapshot]


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """A scan but for its tail, which lies beside it where it has one."""

    files: tuple[str, ...]
    upto: int
    row_key: tuple[str, ...]
    tail: bool

    @classmethod
    def of(cls, scan: Scan) -> _Snapshot:
        key = scan.overlay.row_key if scan.overlay is not None else ()
        return cls(scan.files, scan.upto, key, scan.tail is not None)

    def scan(self, name: str, table: pa.Table) -> Scan:
        overlay = Overlay(tuple(self.row_key)) if self.row_key else None
        return Scan(name, tuple(self.files), table if self.tail else None, self.upto, table.schema, overlay)


def answer(folder: Path) -> None:
    """In the process: the answer, or the error, beside the question."""
    try:
        said = orjson.loads((folder / "query.json").read_bytes())
        relations: dict[str, pa.Table | Scan] = {}
        for place, name in enumerate(said["names"]):
            with pa.memory_map(str(folder / f"table{place}.arrow")) as source:
                table = pa.ipc.open_file(source).read_all()
            held = said["scans"].get(name)
            relations[name] = table if held is None else _Snapshot(**held).scan(name, table)
        found = select_only(said["query"], relations, Limits(**said["limits"]))
        with pa.OSFile(str(folder / "answer.arrow"), "wb") as sink, pa.ipc.new_file(sink, found.schema) as writer:
            writer.write_table(found)
        error = None
    except BaseException as raised:  # noqa: BLE001 (a job ends here: the server is told what it said)
        error = raised
    if error is not None:
        kind = type(error).__name__ if isinstance(error, HanokError) else "Invalid"
        message = error.message if isinstance(error, HanokError) else f"the SQL cannot be run: {words(error)}"
        if isinstance(error, MemoryError | pa.ArrowMemoryError):
            kind, message = (
                "TooLarge",
                "the query needs more memory than it may have; filter or aggregate earlier in it",
            )
        (folder / "error.json").write_bytes(orjson.dumps({"error": kind, "message": message}))


def _write(folder: Path, query: str, relations: Mapping[str, pa.Table | Scan], limits: Limits) -> None:
    scans = {n: _Snapshot.of(r) for n, r in relations.items() if isinstance(r, Scan)}
    for place, relation in enumerate(relations.values()):
        table = relation
        if isinstance(relation, Scan):
            table = relation.schema.empty_table() if relation.tail is None else relation.tail
        with (
            pa.OSFile(str(folder / f"table{place}.arrow"), "wb") as sink,
            pa.ipc.new_file(sink, table.schema) as writer,
        ):
            writer.write_table(table)
    (folder / "query.json").write_bytes(orjson.dumps(_Asked(query, list(relations), limits, scans)))


def _read(folder: Path) -> pa.Table:
    with contextlib.suppress(FileNotFoundError):
        told = orjson.loads((folder / "error.json").read_bytes())
        kind = getattr(errors, told["error"], Invalid)
        raise (kind if isinstance(kind, type) and issubclass(kind, HanokError) else Invalid)(told["message"])
    path = folder / "answer.arrow"
    if path.stat().st_size > ANSWER_BYTES:
        raise TooLarge(f"the answer has more than {ANSWER_BYTES >> 20} MB; add LIMIT, or ask for fewer columns")
    with pa.OSFile(str(path), "rb") as source:
        return pa.ipc.open_file(source).read_all()
