"""Bringing a database to the newest schema. Alembic is imported only when there is something to do."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from hanok.core.errors import Conflict

MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = "0005"


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
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
