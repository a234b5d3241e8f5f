"""Metadata in SQL: SQLite embedded, PostgreSQL when one machine is outgrown. One file for each aggregate."""

from hanok.stores.sql.database import SqlMetadata

__all__ = ["SqlMetadata"]
