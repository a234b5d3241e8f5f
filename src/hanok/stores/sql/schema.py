"""Bringing a database to the newest schema. Alembic is imported only when there is something to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from hanok.core.errors import Conflict

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 0x68616E6F6C  # one server at a time migrates a PostgreSQL
HEAD = "0009"


def current(engine: sa.Engine) -> str | None:
    """The schema version a database is at; None for an empty one."""
    with engine.begin() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def migrate(engine: sa.Engine, url: str) -> None:
    """Upgrade to HEAD. Raises Conflict when the database comes from a newer Hanok."""
    version = current(engine)
    if version == HEAD:
        return
    if version is not None and version > HEAD:
        raise Conflict(
            f"this home was written by a newer Hanok (schema {version}, this one knows {HEAD}): upgrade Hanok, "
            "or restore the backup that was made before the upgrade"
        )
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with _alone(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def _alone(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that no other server migrates beside: the second one finds the work done, and does nothing."""
    if engine.dialect.name != "postgresql":
        with engine.begin() as connection:
            yield connection
        return
    # not a snapshot: after the wait for the lock, what the first one did has to be seen
    with engine.connect().execution_options(isolation_level="READ COMMITTED") as connection, connection.begin():
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
        yield connection
