"""A driver's error as Hanok's own."""

from __future__ import annotations

import sqlalchemy as sa

from hanok.core.errors import Corrupt, HanokError, StorageFull, Unavailable

FULL = StorageFull("the disk of the metadata store is full: nothing was written; free space and try again")


def translated(error: BaseException) -> BaseException:
    """Hanok's error for a driver's one; anything else unchanged."""
    if isinstance(error, HanokError):
        return error
    driver = driver_error(error)
    state, text = getattr(driver, "sqlstate", None), str(driver).lower()
    if state == "53100" or "disk is full" in text or "no space left" in text:
        return StorageFull(FULL.message)
    if connection_lost(driver):
        return Unavailable(
            "the PostgreSQL of the metadata store cannot be reached; each request tries it again. It said: "
            f"{' '.join(str(driver).split())[:300]}"
        )
    if state == "55P03":
        return Unavailable("another server has held the metadata store for too long; try again")
    if _is_database_error(driver) and ("malformed" in text or "not a database" in text):
        return Corrupt("the metadata file is damaged; restore a backup: hanok restore FILE --home DIR")
    if _is_database_error(driver) and "locked" in text:
        return Unavailable("the metadata store is held by another process for over 30 s; is a second server running?")
    return error


def driver_error(error: BaseException) -> BaseException:
    """What the driver raised, without SQLAlchemy's wrapping."""
    return error.orig if isinstance(error, sa.exc.DBAPIError) and error.orig is not None else error


def connection_lost(error: BaseException) -> bool:
    """Whether the connection to PostgreSQL is gone or was never made (classes 08 and 57P; libpq itself gives none)."""
    if not type(error).__module__.startswith("psycopg"):
        return False
    state = getattr(error, "sqlstate", None)
    if state is None:
        return type(error).__name__ in ("OperationalError", "ConnectionTimeout", "InterfaceError")
    return state[:2] == "08" or state[:4] == "57P0" or state == "25P03"


def worth_repeating(error: BaseException) -> bool:
    """Whether the same work may succeed at once: the connection was lost, or another transaction was in the way."""
    driver = driver_error(error)
    return connection_lost(driver) or getattr(driver, "sqlstate", None) in ("40001", "40P01")


def _is_database_error(error: BaseException) -> bool:
    return any(kind.__name__ == "DatabaseError" for kind in type(error).__mro__)
