"""Content-addressed bytes, and a folder of files that clients write themselves."""

from hanok.stores.blobs.folder import LocalFolder, folder_of
from hanok.stores.blobs.local import INCOMING, LocalBlobs
from hanok.stores.blobs.uploads import LocalUploads

__all__ = ["INCOMING", "LocalBlobs", "LocalFolder", "LocalUploads", "folder_of"]
