"""What was installed when a version was trained: the lock that it carries."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import sys
from dataclasses import dataclass
from functools import cache
from hashlib import sha256


@dataclass(frozen=True, slots=True)
class Environment:
    python: str
    machine: str
    packages: tuple[str, ...]
    digest: str


@cache
def environment() -> Environment:
    packages = sorted(
        {f"{d.metadata['Name']}=={d.version}" for d in importlib.metadata.distributions() if d.metadata["Name"]}
    )
    python, machine = sys.version.split()[0], platform.machine()
    lock = {"python": python, "machine": machine, "packages": packages}
    digest = sha256(json.dumps(lock, sort_keys=True).encode()).hexdigest()
    return Environment(python, machine, tuple(packages), digest)
