"""Where conformance cases lie: in a file named by an environment variable, else in the folder beside the project."""

import json
import os
from pathlib import Path

SHARED = Path(__file__).parents[3] / "shared" / "conformance"


def path_of(variable: str, name: str) -> Path | None:
    path = Path(os.environ.get(variable, SHARED / name))
    return path if path.exists() else None


def cases(variable: str, name: str) -> list:
    """The cases of a file; none, said loudly, when it is not there."""
    path = path_of(variable, name)
    if path is None:
        print(f"SKIPPED LOUDLY: {name} is missing; set {variable} to a file of this form")  # noqa: T201
        return []
    return json.loads(path.read_text())["cases"]
