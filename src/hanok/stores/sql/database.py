"""The metadata store on SQL: one writer thread that commits in groups, readers beside it.

A group is whatever waits when the writer becomes free: one fsync pays for all of it, and a lone caller never waits
for company. Each piece of work runs under its own savepoint, so that a failing one takes nobody with it.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa

from hanok.core.errors import Corrupt, HanokError, StorageFull, Unavailable
from hanok.stores.sql.declarations import SqlDeclarations
from hanok.stores.sql.deployments import SqlDeployments
from hanok.stores.sql.lineage import SqlLineage, SqlOutbox
from hanok.stores.sql.records import SqlRecords
from hanok.stores.sql.registry import SqlRegistry
from hanok.stores.sql.schema import migrate
from hanok.stores.sql.tracking import (
    SqlArtifacts,
    SqlExperiments,
    SqlLoggedModels,
    SqlMetrics,
    SqlRegistryUpkeep,
    SqlRunLinks,
    SqlRuns,
)
from hanok.stores.sql.workflows import SqlWorkflows

if TYPE_CHECKING:
    from hanok.stores.ports import Repositories

T = TypeVar("T")
GROUP_MAX = 256


class SqlRepositories:
    """All aggregates on one connection, made when first asked for."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    @cached_property
    def lineage(self) -> SqlLineage:
        return SqlLineage(self._connection)

    @cached_property
    def outbox(self) -> SqlOutbox:
        return SqlOutbox(self._connection)

    @cached_property
    def declarations(self) -> SqlDeclarations:
        return SqlDeclarations(self._connection)

    @cached_property
    def registry(self) -> SqlRegistry:
        return SqlRegistry(self._connection)

    @cached_property
    def deployments(self) -> SqlDeployments:
        return SqlDeployments(self._connection)

    @cached_property
    def workflows(self) -> SqlWorkflows:
        return SqlWorkflows(self._connection)

    @cached_property
    def records(self) -> SqlRecords:
        return SqlRecords(self._connection)

    @cached_property
    def experiments(self) -> SqlExperiments:
        return SqlExperiments(self._connection)

    @cached_property
    def runs(self) -> SqlRuns:
        return SqlRuns(self._connection)

    @cached_property
    def metrics(self) -> SqlMetrics:
        return SqlMetrics(self._connection)

    @cached_property
    def run_links(self) -> SqlRunLinks:
        return SqlRunLinks(self._connection)

    @cached_property
    def logged_models(self) -> SqlLoggedModels:
        return SqlLoggedModels(self._connection)

    @cached_property
    def artifacts(self) -> SqlArtifacts:
        return SqlArtifacts(self._connection)

    @cached_property
    def registry_upkeep(self) -> SqlRegistryUpkeep:
        return SqlRegistryUpkeep(self._connection)


class SqlMetadata:
    """`url` is an SQLAlchemy URL; `sqlite://` alone lives in memory. Raises Corrupt if the file is no database."""

    def __init__(self, url: str) -> None:
        self._url, self._engine = url, _engine(url)
        try:
            migrate(self._engine, url)
        except sa.exc.DatabaseError as error:
            raise _translated(error) from error
        self._work: queue.SimpleQueue[tuple[Callable[[Repositories], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write_groups, name="hanok-metadata-writer", daemon=True)
        self._writer.start()

    @classmethod
    def at(cls, path: Path) -> SqlMetadata:
        """The SQLite file at `path`, made when it is not there."""
        path.parent.mkdir(parents=True, exist_ok=True)
        return cls(f"sqlite:///{path}")

    def read(self, work: Callable[[Repositories], T]) -> T:
        try:
            with self._engine.begin() as connection:
                return work(SqlRepositories(connection))
        except sa.exc.DatabaseError as error:
            raise _translated(error) from error

    def write(self, work: Callable[[Repositories], T]) -> T:
        if threading.current_thread() is self._writer:
            raise RuntimeError("write() inside write(): pass the repositories on instead")
        return self.submit(work).result()

    def submit(self, work: Callable[[Repositories], T]) -> Future[T]:
        future: Future[T] = Future()
        self._work.put((work, future))
        return future

    def backup(self, path: str) -> None:
        """A consistent copy of the SQLite database at `path`, taken while it is in use."""
        with self._engine.connect() as connection:
            raw = connection.connection.driver_connection
            if not isinstance(raw, sqlite3.Connection):
                raise Unavailable("backup of PostgreSQL is pg_dump's work; hanok backup covers the embedded store")
            target = sqlite3.connect(path)
            with target:
                raw.backup(target)
            target.close()

    def reset(self) -> None:
        """Back to a store that was just made. For conformance tests, which start from nothing each time."""
        known = sa.MetaData()
        with self._engine.begin() as connection:
            known.reflect(connection)
            known.drop_all(connection)
        migrate(self._engine, self._url)

    def close(self) -> None:
        self._work.put(None)
        self._writer.join()
        self._engine.dispose()

    def _write_groups(self) -> None:
        while True:
            first = self._work.get()
            if first is None:
                return
            group, last = [first], False
            while len(group) < GROUP_MAX:
                try:
                    item = self._work.get_nowait()
                except queue.Empty:
                    break
                if item is None:
                    last = True
                    break
                group.append(item)
            self._commit(group)
            if last:
                return

    def _commit(self, group: list[tuple[Callable[[Repositories], Any], Future[Any]]]) -> None:
        outcomes: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            with self._engine.connect() as connection, _immediate(connection):
                for work, future in group:
                    outcomes.append((future, *_attempt(connection, work)))
        except Exception as error:  # noqa: BLE001 (the commit failed: every caller of the group is told, none is lost)
            outcomes = [(future, None, _translated(error)) for _, future in group]
        for future, result, failure in outcomes:
            if failure is not None:
                future.set_exception(failure)
            else:
                future.set_result(result)


def _attempt(connection: sa.Connection, work: Callable[[Repositories], Any]) -> tuple[Any, BaseException | None]:
    savepoint = connection.begin_nested()
    try:
        result = work(SqlRepositories(connection))
    except Exception as error:  # noqa: BLE001 (a job ends here: its caller gets the error)
        savepoint.rollback()
        return None, _translated(error)
    savepoint.commit()
    return result, None


def _immediate(connection: sa.Connection) -> Any:
    if connection.dialect.name == "sqlite":
        connection.info["begin"] = "BEGIN IMMEDIATE"
    return connection.begin()


def _engine(url: str) -> sa.Engine:
    memory = url in ("sqlite://", "sqlite:///:memory:")
    options: dict[str, Any] = {}
    if url.startswith("sqlite"):
        options["connect_args"] = {"check_same_thread": False, "timeout": 30}
    if memory:
        options["poolclass"] = sa.pool.StaticPool
    engine = sa.create_engine(url, **options)
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _sqlite_connect)
        sa.event.listen(engine, "begin", _sqlite_begin)
        if memory:  # one shared connection: readers and the writer take turns
            return _Serialised(engine)  # type: ignore[return-value]
    return engine


class _Serialised:
    """An in-memory SQLite engine whose single connection is used by one thread at a time."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine, self._lock = engine, threading.RLock()
        self.dialect = engine.dialect

    def begin(self) -> Any:
        return _Locked(self._lock, self._engine.begin())

    def connect(self) -> Any:
        return _Locked(self._lock, self._engine.connect())

    def dispose(self) -> None:
        self._engine.dispose()


class _Locked:
    def __init__(self, lock: threading.RLock, inner: Any) -> None:
        self._lock, self._inner = lock, inner

    def __enter__(self) -> Any:
        self._lock.acquire()
        return self._inner.__enter__()

    def __exit__(self, *error: Any) -> Any:
        try:
            return self._inner.__exit__(*error)
        finally:
            self._lock.release()


def _sqlite_connect(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves; the driver's own rules would commit early
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY", "cache_size=-32000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _sqlite_begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql(connection.info.pop("begin", "BEGIN"))


def _translated(error: BaseException) -> BaseException:
    """Hanok's error for a driver's one; anything else unchanged."""
    if isinstance(error, HanokError):
        return error
    text = str(error).lower()
    if isinstance(error, OSError | sa.exc.OperationalError) and ("disk is full" in text or "no space left" in text):
        return StorageFull("the disk of the metadata store is full: nothing was written; free space and try again")
    if isinstance(error, sa.exc.DatabaseError) and ("malformed" in text or "not a database" in text):
        return Corrupt("the metadata file is damaged; restore a backup: hanok restore FILE --home DIR")
    if isinstance(error, sa.exc.OperationalError) and "locked" in text:
        return Unavailable("the metadata store is held by another process for over 30 s; is a second server running?")
    return error
