"""The sources of model versions: URIs that clients send and other clients will follow."""

from __future__ import annotations

from urllib.parse import unquote_plus

from hanok.wire.mlflow.decode import invalid_value

_SOURCE_MAX = 10_000


def is_local_path(source: str) -> bool:
    """Whether the source is a path on somebody's disk. A bare word is none: prompts have such sources."""
    return source.startswith(("/", "file:", "\\"))


def check_source_path(source: str) -> None:
    """Raises Invalid for a source that climbs, however often its escapes are escaped."""
    if len(source) > _SOURCE_MAX:
        raise invalid_value("source", source[:100], f"it has {len(source)} characters, at most {_SOURCE_MAX} are kept")
    plain = source
    while (decoded := unquote_plus(plain)) != plain:
        plain = decoded
    if "\0" in plain or ".." in plain.replace("\\", "/").split("/"):
        raise invalid_value("source", source, "it must be an absolute URI or path, without '..' in it")
