"""What may be logged: names and lengths. The limits are those that MLflow's clients are written for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hanok.core.errors import Invalid

KEY_MAX, EXPERIMENT_NAME_MAX = 250, 500
PARAM_VALUE_MAX, TAG_VALUE_MAX, REGISTRY_TAG_VALUE_MAX = 6000, 8000, 100_000
ALIAS_MAX = 255


def check_keys(kind: str, keys: Iterable[str]) -> None:
    """Raises Invalid for a key that is empty, too long, has control characters or would leave its folder as a path."""
    for key in keys:
        if not key or len(key) > KEY_MAX:
            raise Invalid(f"{kind} key {key[:60]!r} has {len(key)} characters; it needs 1 to {KEY_MAX}")
        if not key.isprintable():
            raise Invalid(f"{kind} key {key[:60]!r} has characters that cannot be printed; rename it")
        if key.startswith("/") or any(part in ("", ".", "..") for part in key.split("/")):
            raise Invalid(f"{kind} key {key[:60]!r} is not a plain name: no empty part, '.' or '..' between slashes")


def check_values(kind: str, values: Mapping[str, str], longest: int) -> None:
    """Raises Invalid for a bad key or a value over `longest` characters."""
    check_keys(kind, values)
    for key, value in values.items():
        if len(value) > longest:
            raise Invalid(f"{kind} {key!r} has a value of {len(value)} characters; at most {longest} are kept")


def check_experiment_name(name: str) -> None:
    if not name or len(name) > EXPERIMENT_NAME_MAX:
        raise Invalid(f"experiment name has {len(name)} characters; it needs 1 to {EXPERIMENT_NAME_MAX}")


def check_logged_model_name(name: str) -> None:
    if any(character in name for character in "/:.%\"'"):
        raise Invalid(f"logged model name {name[:80]!r} is not usable: none of / : . % \" '")


def check_model_name(name: str) -> None:
    if not name.strip() or "/" in name or ":" in name or not name.isprintable():
        raise Invalid(f"registered model name {name[:80]!r} is not usable: not empty, and without '/' and ':'")


def check_alias(alias: str) -> None:
    version_like = alias[:1] in "vV" and alias[1:].isdigit()
    if not alias or len(alias) > ALIAS_MAX or not alias.replace("-", "").replace("_", "").isalnum():
        raise Invalid(f"alias {alias[:80]!r} is not usable: letters, digits, '_' and '-', {ALIAS_MAX} at most")
    if alias.lower() == "latest" or version_like:
        raise Invalid(f"alias {alias!r} is reserved: it reads like a version; choose a word such as 'champion'")
