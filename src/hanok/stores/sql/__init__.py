"""Metadata in SQL: SQLite embedded, PostgreSQL when one machine is outgrown. One file for each aggregate."""

from hanok.stores.sql.database import SqlMetadata
from hanok.stores.sql.engines import sqlite_file

__all__ = ["SqlMetadata", "sqlite_file"]
