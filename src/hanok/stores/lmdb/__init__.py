"""Online feature values in LMDB: microsecond reads from many processes."""

from hanok.stores.lmdb.check import broken
from hanok.stores.lmdb.online import LmdbOnlineValues

__all__ = ["LmdbOnlineValues", "broken"]
