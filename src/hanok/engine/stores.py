"""Opens the engines of a home from its settings: the one place that picks SQLite or PostgreSQL, and folders of disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hanok.core.clock import SystemClock
from hanok.core.errors import ConfigError
from hanok.engine.config import Config
from hanok.engine.home import Home
from hanok.engine.notify import Outbound
from hanok.engine.shared import claim_data
from hanok.parts.access import Directory, GuardedMetadata, GuardedTables
from hanok.parts.tracking.artifacts import Places
from hanok.stores.blobs import LocalBlobs, LocalFolder, LocalUploads, folder_of
from hanok.stores.delta import DeltaTables
from hanok.stores.lmdb import LmdbOnlineValues
from hanok.stores.sealing import FernetSealer
from hanok.stores.sql import SqlMetadata, sqlite_file


@dataclass(frozen=True, slots=True)
class Stores:
    """Open engines. `keeps_data` is False where another home holds the tables of this metadata store; `data_home` says
    which one holds them."""

    directory: Directory
    metadata: GuardedMetadata
    data_home: Mapping[str, str]
    keeps_data: bool
    blobs: LocalBlobs
    tables: GuardedTables
    online: LmdbOnlineValues
    uploads: LocalUploads
    places: Places
    outbound: Outbound
    sealer: FernetSealer


def open_stores(config: Config, home: Home) -> Stores:
    """Open everything that `config` names, for a home whose lock is held. Raises HomeLocked, ConfigError."""
    url = config.metadata_url
    file = sqlite_file(url)
    if file is not None:
        home.acquire_database(file)
    if not url:
        home.refuse_lost_database()
    directory = Directory()
    metadata = GuardedMetadata(SqlMetadata(url) if url else SqlMetadata.at(home.database), directory)
    data_home: Mapping[str, str] = {"home": str(home.root)}
    keeps_data = True
    if url and file is None:
        identity = home.identity()
        data_home = claim_data(metadata.inner, identity, home.root, SystemClock().now())
        keeps_data = data_home["identity"] == identity
    blobs = LocalBlobs(home.blobs)
    return Stores(
        directory,
        metadata,
        data_home,
        keeps_data,
        blobs,
        GuardedTables(DeltaTables(home.tables), metadata),
        LmdbOnlineValues(home.online),
        LocalUploads(home.uploads, blobs),
        artifact_places(config.artifact_root, Path.cwd()),
        Outbound(allow_private=config.webhooks_allow_private),
        FernetSealer(home.secrets_key, config.secrets_key),
    )


def artifact_places(root: str, base: Path) -> Places:
    """Where artifacts of new experiments go: `root` is a URI, or a path on this machine; "" means inside the home.

    Raises ConfigError for a root that is neither.
    """
    if not root:
        return Places(base=base)
    path = folder_of(root)
    if path is not None:
        return Places(f"{Path(path).as_uri()}/", LocalFolder(Path(path)), base)
    if "://" not in root or root.startswith("file:"):
        raise ConfigError(f"artifact_root is {root!r}: it must be an absolute path or a URI such as s3://bucket/runs")
    return Places(f"{root.rstrip('/')}/", None, base)
