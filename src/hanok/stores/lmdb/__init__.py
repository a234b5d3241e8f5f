"""Online feature values in LMDB: microsecond reads from many processes."""

from hanok.stores.lmdb.online import LmdbOnlineValues

__all__ = ["LmdbOnlineValues"]
