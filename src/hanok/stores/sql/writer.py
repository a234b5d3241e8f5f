"""The one thread that writes, in groups.

A group is whatever waits when the writer becomes free: one fsync pays for all of it, and a lone caller never waits
for company. A group runs without savepoints first; when one of its works fails, all are undone and run again, each
under a savepoint of its own, so that a failing one takes nobody with it.

On PostgreSQL several servers write. An advisory lock, taken first and given back by the commit, lets one group in at
a time: so events are numbered in the order of their commits, and work that reads before it writes needs no more care
than on SQLite.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import nullcontext, suppress
from typing import Any

import sqlalchemy as sa

from hanok.core.errors import Unavailable
from hanok.stores.sql.engines import turn_of, writer_connection
from hanok.stores.sql.errors import connection_lost, driver_error, translated, worth_repeating

GROUP_MAX = 256
WRITER_LOCK = 0x68616E6F6B  # "hanok"
LOCK_WAIT_S, STALLED_S = 30, 60

Work = Callable[[Any], Any]
Item = tuple[Work, "Future[Any]"]
Outcome = tuple[Any, BaseException | None]


class GroupWriter:
    """`repositories` makes the aggregates over a connection."""

    def __init__(self, engine: sa.Engine, repositories: Callable[[sa.Connection], Any]) -> None:
        self._engine, self._repositories = engine, repositories
        self._waiting: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._session: _Session | None = None
        self._committing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="hanok-metadata-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Work) -> Future[Any]:
        if threading.current_thread() is self._thread:
            raise RuntimeError("write() inside write(): pass the repositories on instead")
        future: Future[Any] = Future()
        self._waiting.put((work, future))
        return future

    def alone(self, work: Callable[[], None]) -> None:
        """Run `work` while nothing is written and the writer holds no connection; it begins anew afterwards."""
        with self._committing:
            self._drop()
            work()

    def close(self) -> None:
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            item = self._waiting.get()
            group: list[Item] = []
            while item is not None:
                group.append(item)
                if len(group) == GROUP_MAX:
                    break
                try:
                    item = self._waiting.get_nowait()
                except queue.Empty:
                    break
            group = [entry for entry in group if entry[1].set_running_or_notify_cancel()]
            with self._committing:
                if group:
                    self._commit(group)
                if item is None:
                    self._drop()
                    return

    def _commit(self, group: Sequence[Item]) -> None:
        works = [work for work, _ in group]
        try:
            outcomes = self._outcomes(works)
        except Exception as error:  # noqa: BLE001 (the commit failed: every caller of the group is told, none is lost)
            self._drop()
            outcomes = [(None, translated(error))] * len(group)
        for (_, future), (result, failure) in zip(group, outcomes, strict=True):
            if failure is not None:
                future.set_exception(failure)
            else:
                future.set_result(result)

    def _outcomes(self, works: Sequence[Work]) -> list[Outcome]:
        for last in (False, True):
            try:
                if self._session is None:
                    self._session = _Session(self._engine, self._repositories)
                return self._session.commit(works)
            except Exception as error:
                if last or not worth_repeating(error):
                    raise
                self._drop()
        raise AssertionError("unreachable")

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()


class _Session:
    """The writer's connection, and what it knows as long as nothing is undone."""

    def __init__(self, engine: sa.Engine, repositories: Callable[[sa.Connection], Any]) -> None:
        self._turn = turn_of(engine) or nullcontext()
        self._make = repositories
        with self._turn:
            self._connection = writer_connection(engine)
            self._driver: Any = self._connection.connection.dbapi_connection
            self._begin = "BEGIN IMMEDIATE"
            if self._connection.dialect.name == "postgresql":
                self._begin = f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock({WRITER_LOCK})"
                self._prepare_postgres()
        self._repositories = repositories(self._connection)

    def commit(self, works: Sequence[Work]) -> list[Outcome]:
        """Run all in one transaction. Raises what made the whole fail."""
        with self._turn:
            self._say(self._begin)
            try:
                outcomes: list[Outcome] = [(work(self._repositories), None) for work in works]
            except Exception as error:
                self._undo()
                if worth_repeating(error):
                    raise
                if len(works) == 1:
                    return [(None, translated(error))]
            else:
                self._end()
                return outcomes
            self._say(self._begin)
            outcomes = [self._alone(work) for work in works]
            self._end()
            return outcomes

    def close(self) -> None:
        with suppress(Exception):  # a broken connection may fail to close; it is gone either way
            self._connection.close()

    def _alone(self, work: Work) -> Outcome:
        self._say("SAVEPOINT one")
        try:
            result = work(self._repositories)
        except Exception as error:
            if worth_repeating(error):
                self._undo()
                raise
            self._say("ROLLBACK TO SAVEPOINT one")
            self._repositories = self._make(self._connection)
            return None, translated(error)
        self._say("RELEASE SAVEPOINT one")
        return result, None

    def _undo(self) -> None:
        self._repositories = self._make(self._connection)
        with suppress(Exception):  # a connection that is gone has rolled back by itself
            self._say("ROLLBACK")

    def _end(self) -> None:
        try:
            self._say("COMMIT")
        except Exception as error:
            self._undo()
            if connection_lost(driver_error(error)):
                raise Unavailable(
                    "the connection to PostgreSQL broke during a commit: what was sent may be stored or not; look, or "
                    "repeat what has one effect however often it is sent (metrics, params, tags)"
                ) from error
            raise

    def _say(self, statement: str) -> None:
        self._driver.execute(statement)

    def _prepare_postgres(self) -> None:
        self._driver.prepare_threshold = 3
        if self._driver.execute("SHOW synchronous_commit").fetchone()[0] == "off":
            self._say("SET synchronous_commit = on")  # acknowledged means durable, whatever the server's default
        self._say(f"SET lock_timeout = '{LOCK_WAIT_S}s'")
        self._say(f"SET idle_in_transaction_session_timeout = '{STALLED_S}s'")  # a stopped server does not stop others
