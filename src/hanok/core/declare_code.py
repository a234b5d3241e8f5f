"""Code of users in declarations: known by its name and the hash of its source."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT_MODULE = "hanok_project_"  # what the modules of project files are named, and then a number


@dataclass(frozen=True, slots=True)
class OwnCode:
    """A user's `def train(frame) -> model`, known by its name and the hash of its source, in whatever process and
    folder it is loaded. `source` is all of its file; it is no part of the declaration."""

    function: Callable[..., Any] = field(compare=False)
    name: str = ""
    code_digest: str = ""
    source: str = field(default="", compare=False, repr=False)


def own_code(function: Callable[..., Any]) -> OwnCode:
    """A training function as it is declared. Its name is that of its file as seen from the project, and its own."""
    try:
        source, whole = inspect.getsource(function), "".join(inspect.findsource(function)[0])
    except (OSError, TypeError):
        source, whole = function.__code__.co_code.hex() if hasattr(function, "__code__") else repr(function), ""
    module = function.__module__
    if module.startswith(PROJECT_MODULE):  # the same project in another process or place is the same code
        module = Path(getattr(sys.modules.get(module), "__file__", None) or module).stem
    name = f"{module}.{function.__qualname__}"
    return OwnCode(function, name, hashlib.sha256(source.encode()).hexdigest(), whole)
