"""Content-addressed bytes, and a folder of files that clients write themselves."""

from hanok.stores.blobs.folder import LocalFolder, folder_of
from hanok.stores.blobs.local import LocalBlobs
from hanok.stores.blobs.uploads import LocalUploads

__all__ = ["LocalBlobs", "LocalFolder", "LocalUploads", "folder_of"]
