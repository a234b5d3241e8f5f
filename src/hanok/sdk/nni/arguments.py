"""The command line with which NNI starts its manager."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from hanok.core.errors import Invalid


@dataclass(frozen=True, slots=True)
class Arguments:
    """As `nni.experiment.launcher` passes them (NNI 3.0)."""

    port: int
    experiment_id: str
    action: str
    experiments_directory: str
    log_level: str = "info"
    python_interpreter: str = "python3"
    foreground: bool = False
    url_prefix: str = ""
    tuner_command_channel: str = ""
    mode: str = "local"

    @property
    def folder(self) -> Path:
        """Of the experiment."""
        return Path(self.experiments_directory) / self.experiment_id

    @property
    def tuner_address(self) -> str:
        prefix = f"/{self.url_prefix}" if self.url_prefix else ""
        return f"ws://localhost:{self.port}{prefix}/tuner"


def read_arguments(words: Sequence[str]) -> Arguments:
    """What Node itself is told (its options, main.js) is passed over. Raises Invalid."""
    known = {f"--{f.name.replace('_', '-')}": f.name for f in fields(Arguments)}
    given: dict[str, str] = {}
    for word, value in zip(words, [*words[1:], ""], strict=True):
        name = known.get(word)
        if name is not None:
            given[name] = value
    if missing := [o for o in ("--port", "--experiment-id", "--action") if known[o] not in given]:
        raise Invalid(f"NNI's manager is started by nnictl or nni.experiment with {missing[0]}; it is missing")
    if not given["port"].isdigit() or given["action"] not in ("create", "resume", "view"):
        raise Invalid(f"port {given['port']!r} or action {given['action']!r} is none of NNI 3.0")
    if os.sep in given["experiment_id"] or given["experiment_id"] in ("", ".", ".."):
        raise Invalid(f"{given['experiment_id']!r} is no experiment id")
    return Arguments(
        port=int(given["port"]),
        experiment_id=given["experiment_id"],
        action=given["action"],
        experiments_directory=given.get("experiments_directory") or str(Path.home() / "nni-experiments"),
        log_level=given.get("log_level", "info"),
        python_interpreter=given.get("python_interpreter", "python3"),
        foreground=given.get("foreground") == "true",
        url_prefix=given.get("url_prefix", "").strip("/"),
        tuner_command_channel=given.get("tuner_command_channel", ""),
        mode=given.get("mode", "local"),
    )
