"""The sources of model versions: URIs that clients send and other clients will follow."""

from __future__ import annotations

import posixpath
from urllib.parse import unquote, unquote_plus, urlsplit

from hanok.core.errors import HanokError, Invalid
from hanok.wire.mlflow.decode import invalid_value

_SOURCE_MAX = 10_000
_HERE = ("", ".", "localhost", "127.0.0.1")


class ForeignFile(HanokError):
    """A `file:` URI with another machine's name; the protocol answers 500 to it."""

    code, status = "foreign_file", 500


def local_path(source: str) -> str | None:
    """The path on this machine's disk that a source names, normal form; None for a URI. A bare word is no path:
    prompts have such sources. Raises ForeignFile for a file on another machine."""
    if source.startswith(("/", "\\")):
        return posixpath.normpath(source)
    if not source.startswith("file:"):
        return None
    parts = urlsplit(source)
    if parts.netloc.partition(":")[0] not in _HERE:
        raise ForeignFile(f"{source[:200]} is not a valid remote uri: a file on another host cannot be read")
    return posixpath.normpath(unquote(parts.path))


def check_source(source: str, roots: list[str]) -> None:
    """Raises Invalid for a URI that climbs, and for a path on a disk that lies in none of the artifact URIs `roots`."""
    if len(source) > _SOURCE_MAX:
        raise invalid_value("source", source[:100], f"it has {len(source)} characters, at most {_SOURCE_MAX} are kept")
    path = local_path(source)
    if path is None:
        _check_no_climbing(source)
        return
    holders = [holder for root in roots if (holder := local_path(root)) is not None]
    if "\0" in path or not any(path == holder or path.startswith(f"{holder}/") for holder in holders):
        raise Invalid(
            f"Invalid model version source: '{source}'. To use a local path as a model version source, give the "
            "run_id or the model_id whose artifacts hold that path"
        )


def _check_no_climbing(source: str) -> None:
    """However often its escapes are escaped."""
    plain = source
    while (decoded := unquote_plus(plain)) != plain:
        plain = decoded
    if "\0" in plain or ".." in plain.replace("\\", "/").split("/"):
        raise Invalid(
            f"Invalid model version source: '{source}'. If supplying a source as an http, https, ftp, object store or "
            "mlflow-artifacts URI, its path must be absolute and without '..'"
        )
