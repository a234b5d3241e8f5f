"""Engines: SQLite on disk or in memory, PostgreSQL."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from hanok.core.errors import ConfigError, MissingExtra

IN_MEMORY = ("sqlite://", "sqlite:///:memory:")
PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY", "cache_size=-8000")


def engine_of(url: str) -> sa.Engine:
    """Raises ConfigError for a URL of neither, MissingExtra when the driver is not installed."""
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise ConfigError(f"metadata_url cannot be read: {url.partition('@')[2][:80] or url[:80]!r}") from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return _sqlite(url)
    if backend in ("postgresql", "postgres"):
        return _postgres(parsed.set(drivername="postgresql+psycopg"))
    raise ConfigError(
        f"metadata_url names {backend!r}; the metadata store runs on SQLite (sqlite:///PATH) and PostgreSQL "
        "(postgresql+psycopg://USER:PASSWORD@HOST/DATABASE)"
    )


def sqlite_file(url: str) -> Path | None:
    """The file that an SQLite URL names; None for PostgreSQL, for a store in memory, and for what is no URL."""
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        return None
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        return None
    return Path(str(parsed.database)).resolve()


def _postgres(url: sa.URL) -> sa.Engine:
    try:
        # a reader sees one snapshot; the writer says for itself what it needs
        return sa.create_engine(url, isolation_level="REPEATABLE READ", pool_size=8, max_overflow=24)
    except ModuleNotFoundError as error:
        raise MissingExtra(f"PostgreSQL needs {error.name}: pip install 'hanok[postgres]'") from None


def _sqlite(url: str) -> sa.Engine:
    memory = url in IN_MEMORY
    options: dict[str, Any] = {"poolclass": sa.pool.StaticPool} if memory else {}
    engine = sa.create_engine(url, connect_args={"check_same_thread": False, "timeout": 30}, **options)
    sa.event.listen(engine, "connect", _sqlite_connect)
    sa.event.listen(engine, "begin", _sqlite_begin)
    if memory:  # one shared connection: readers and the writer take turns
        return _Serialised(engine)  # type: ignore[return-value]
    return engine


def writer_connection(engine: sa.Engine) -> sa.Connection:
    """A connection on which SQLAlchemy neither begins nor ends a transaction: its owner does, through the driver."""
    inner = engine.inner if isinstance(engine, _Serialised) else engine
    connection = inner.connect()
    if connection.dialect.name == "sqlite":
        connection.info["begin"] = ""
        connection.begin()
        return connection
    return connection.execution_options(isolation_level="AUTOCOMMIT")


def turn_of(engine: sa.Engine) -> threading.RLock | None:
    """The lock under which the one connection of an in-memory engine is used; None for other engines."""
    return engine.lock if isinstance(engine, _Serialised) else None


class _Serialised:
    """An in-memory SQLite engine whose single connection is used by one thread at a time."""

    def __init__(self, engine: sa.Engine) -> None:
        self.inner, self.lock = engine, threading.RLock()
        self.dialect = engine.dialect

    def begin(self) -> Any:
        return _Locked(self.lock, self.inner.begin())

    def connect(self) -> Any:
        return _Locked(self.lock, self.inner.connect())

    def dispose(self) -> None:
        self.inner.dispose()


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
    for pragma in PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _sqlite_begin(connection: sa.Connection) -> None:
    statement = connection.info.pop("begin", "BEGIN")
    if statement:
        connection.exec_driver_sql(statement)
