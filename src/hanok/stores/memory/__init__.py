"""Engines in memory, for tests and throw-away sessions. They keep the same contracts, but for durability."""

from hanok.stores.memory.blobs import MemoryBlobs
from hanok.stores.memory.online import MemoryOnlineValues
from hanok.stores.memory.tables import MemoryTables

__all__ = ["MemoryBlobs", "MemoryOnlineValues", "MemoryTables"]
