"""Content-addressed bytes."""

from hanok.stores.blobs.local import LocalBlobs

__all__ = ["LocalBlobs"]
