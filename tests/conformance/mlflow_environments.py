"""Environments with an unmodified MLflow client, and a real server for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.writers import up

CACHE = Path.home() / ".cache/hanok"


def client_python(variable, folder, *packages):
    """The interpreter that `variable` names, or one made under ~/.cache/hanok with the packages; a loud skip else."""
    given = Path(os.environ.get(variable, CACHE / folder / "bin/python"))
    if not given.exists():
        if variable in os.environ:
            pytest.skip(f"SKIPPED LOUDLY: {variable} names {given}, which is not there")
        made = subprocess.run([sys.executable, "-m", "venv", str(given.parents[1])], capture_output=True, check=False)
        install = [str(given), "-m", "pip", "install", "-q", *packages]
        if made.returncode or subprocess.run(install, capture_output=True, check=False).returncode:
            pytest.skip(f"SKIPPED LOUDLY: {packages[0]} cannot be installed here; set {variable}")
    return given


def serving(home):
    """A server of its own on a home, and its address; stops it at the end."""
    process, address = up(home)
    try:
        yield address
    finally:
        process.terminate()
        process.wait(30)


def ran(python, script, *arguments, address, cwd):
    """The script run in the client's environment."""
    return subprocess.run(
        [str(python), "-W", "ignore", str(script), *arguments],
        env=os.environ | {"TRACKING_URL": address, "PYTHONPATH": ""},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
