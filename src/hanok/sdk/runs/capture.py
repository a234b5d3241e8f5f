"""What made a run: code, command line, Python and packages."""

from __future__ import annotations

import getpass
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

DIFF_MAX_BYTES = 1 << 20
GIT_TIMEOUT_S = 10
CUT = "\n# the diff is longer; it is cut here\n"


def source_tags() -> Mapping[str, str]:
    """Under MLflow's names where it has them."""
    script = sys.argv[0] if sys.argv and sys.argv[0] else "interactive"
    tags = {
        "mlflow.source.name": script,
        "mlflow.source.type": "LOCAL",
        "hanok.command": shlex.join([sys.executable, *sys.argv])[:8000],
        "hanok.python": platform.python_version(),
        "hanok.platform": platform.platform(),
    }
    return tags


def git_tags(folder: Path | None = None) -> Mapping[str, str]:
    """Commit and branch of a folder (the working directory); nothing outside a repository."""
    commit = _git("rev-parse", "HEAD", folder=folder)
    branch = _git("rev-parse", "--abbrev-ref", "HEAD", folder=folder)
    tags = {"mlflow.source.git.commit": commit, "mlflow.source.git.branch": branch}
    return {key: value for key, value in tags.items() if value}


def uncommitted(folder: Path | None = None) -> str:
    """The diff of tracked files to the commit, at most DIFF_MAX_BYTES of it."""
    diff = _git("diff", "--no-ext-diff", "--no-textconv", "HEAD", strip=False, folder=folder)
    content = diff.encode()
    if len(content) <= DIFF_MAX_BYTES:
        return diff
    return content[:DIFF_MAX_BYTES].decode("utf-8", "ignore") + CUT


def packages() -> str:
    """Installed packages, one `name==version` a line."""
    found = {d.metadata["Name"]: d.version for d in metadata.distributions() if d.metadata["Name"]}
    return "".join(f"{name}=={found[name]}\n" for name in sorted(found, key=str.lower))


def user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return str(os.getuid())


def _git(*words: str, strip: bool = True, folder: Path | None = None) -> str:
    try:
        done = subprocess.run(
            ["git", *words],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=GIT_TIMEOUT_S,
            check=False,
            cwd=folder,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    if done.returncode:
        return ""
    return done.stdout.strip() if strip else done.stdout
