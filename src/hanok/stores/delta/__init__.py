"""Append-only tables: a durable tail of our own in front of a Delta Lake log."""

from hanok.stores.delta.check import check_table, set_aside_files
from hanok.stores.delta.tables import DeltaTables

__all__ = ["DeltaTables", "check_table", "set_aside_files"]
