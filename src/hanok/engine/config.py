"""Settings: `hanok.toml` beside the project, then the environment."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

from hanok.core.durations import duration
from hanok.core.errors import ConfigError, HanokError

FILE = "hanok.toml"


@dataclass(frozen=True, slots=True)
class Config:
    """`project` is the file with the declarations. `metadata_url` "" means SQLite inside the home, `artifact_root` ""
    that artifacts of runs are kept inside it too. `mlflow_ui` names where MLflow's own web UI is installed; "" means
    that it is not served. `secrets_key` "" means the key in the file `secrets.key` of the home. A training under `hanok
    up` takes at most `training_limit`, and `training_memory_gb` of memory (0: four fifths of the machine's)."""

    home: Path = Path(".hanok")
    project: Path | None = None
    metadata_url: str = ""
    webhooks_allow_private: bool = False
    mlflow_ui: str = ""
    artifact_root: str = ""
    secrets_key: str = field(default="", repr=False)
    training_limit: timedelta = timedelta(hours=6)
    training_memory_gb: float = 0.0


def _length(path: Path, name: str, text: str) -> timedelta:
    try:
        found = duration(text)
    except HanokError as error:
        raise ConfigError(f"{path}: {name}: {error.message}") from None
    if not found:
        raise ConfigError(f"{path}: {name} is {text!r}; a length of time is above 0, like '6h'")
    return found


def load_config(directory: Path, environment: Mapping[str, str] | None = None) -> Config:
    """Settings for `directory`. Raises ConfigError naming file, line or key, and what to do."""
    path = directory / FILE
    values: dict[str, Any] = {}
    if path.exists():
        try:
            values = tomllib.loads(path.read_text())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{path} cannot be read: {error}; mend it, or move it away and run 'hanok init'"
            ) from None
    known = {f.name for f in fields(Config)}
    if unknown := sorted(set(values) - known):
        raise ConfigError(f"{path} has the unknown setting {unknown[0]!r}; there are {', '.join(sorted(known))}")
    if isinstance(memory := values.get("training_memory_gb"), int):
        values["training_memory_gb"] = float(memory)
    for name, kind in (
        ("webhooks_allow_private", bool),
        ("home", str),
        ("project", str),
        ("metadata_url", str),
        ("mlflow_ui", str),
        ("artifact_root", str),
        ("secrets_key", str),
        ("training_limit", str),
        ("training_memory_gb", float),
    ):
        if name in values and not isinstance(values[name], kind):
            raise ConfigError(f"{path}: {name} is {values[name]!r}, it must be of type {kind.__name__}")
    env = os.environ if environment is None else environment
    home = Path(env.get("HANOK_HOME") or values.get("home", ".hanok"))
    project = values.get("project")
    default = directory / "project.py"
    return Config(
        home if home.is_absolute() else directory / home,
        directory / project if project else default if default.exists() else None,
        env.get("HANOK_METADATA_URL") or values.get("metadata_url", ""),
        values.get("webhooks_allow_private", False),
        values.get("mlflow_ui", ""),
        env.get("HANOK_ARTIFACT_ROOT") or values.get("artifact_root", ""),
        env.get("HANOK_SECRETS_KEY") or values.get("secrets_key", ""),
        _length(path, "training_limit", values.get("training_limit", "6h")),
        values.get("training_memory_gb", 0.0),
    )
