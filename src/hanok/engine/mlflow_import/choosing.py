"""Which kind of MLflow store a URI names."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from hanok.core.errors import Invalid
from hanok.engine.arguments import checked
from hanok.engine.mlflow_import.sources import Source


def source_of(uri: str, *, artifacts: Path | None = None, token: str = "") -> Source:
    """By its URI: http(s)://..., sqlite:///file.db, or a folder of files. Raises Invalid."""
    if uri.startswith(("http://", "https://")):
        from hanok.engine.mlflow_import.rest import RestSource

        return RestSource(uri.rstrip("/"), token)
    if uri.startswith("sqlite:///"):
        from hanok.engine.mlflow_import.database import SqliteSource

        return SqliteSource(checked("the store", Path, uri.removeprefix("sqlite:///")), artifacts)
    if "://" in uri and not uri.startswith("file://"):
        raise Invalid(f"{uri[:80]!r} cannot be read: give http(s)://, sqlite:///FILE or a folder; or run its server")
    folder = checked("the store", Path, unquote(urlsplit(uri).path) if uri.startswith("file://") else uri)
    if folder.suffix == ".db" and folder.is_file():
        from hanok.engine.mlflow_import.database import SqliteSource

        return SqliteSource(folder, artifacts)
    from hanok.engine.mlflow_import.files import FileSource

    return FileSource(folder)
