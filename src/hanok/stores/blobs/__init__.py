"""Content-addressed bytes."""

from hanok.stores.blobs.local import LocalBlobs
from hanok.stores.blobs.uploads import LocalUploads

__all__ = ["LocalBlobs", "LocalUploads"]
