"""Putting Hanok in the place of NNI's manager, in one Python environment, and taking it away again."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from hanok.core.errors import Conflict, Invalid
from hanok.sdk.nni.mirror import PLACE

MARK = "# Put here by 'hanok nni install'"
KEPT = "node.of-nni"
_LOOK = (
    "import json, nni, nni_node; from importlib.metadata import version; "
    "print(json.dumps([nni_node.__path__[0], version('nni')]))"
)


@dataclass(frozen=True, slots=True)
class Place:
    """NNI's own manager in an environment: the folder, and the version of NNI."""

    folder: Path
    version: str

    @property
    def node(self) -> Path:
        return self.folder / "node"

    @property
    def kept(self) -> Path:
        return self.folder / KEPT

    @property
    def is_ours(self) -> bool:
        return self.node.is_file() and MARK.encode() in self.node.read_bytes()[:400]


def find(python: str) -> Place:
    """NNI in the environment of a Python. Raises Invalid where there is none, or one of another version."""
    try:
        ran = subprocess.run([python, "-c", _LOOK], capture_output=True, text=True, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Invalid(f"{python} cannot be run: {error}") from None
    if ran.returncode:
        last = (ran.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise Invalid(f"there is no NNI in the environment of {python}: {last}. Install it there: pip install nni==3.0")
    folder, version = json.loads(ran.stdout.strip().splitlines()[-1])
    if not version.startswith("3."):
        raise Invalid(f"the NNI of {python} is {version}; Hanok stands in for the manager of NNI 3")
    return Place(Path(folder), version)


def install(place: Place, where: str) -> list[str]:
    """Put a script in the place of NNI's manager, which is kept beside it; returns what was done.

    `where` is the home or the server whose studies the experiments become.
    """
    script = "\n".join(
        (
            "#!/bin/sh",
            f"{MARK}; 'hanok nni uninstall' puts {KEPT} back.",
            f'[ -n "${PLACE}" ] || {PLACE}={shlex.quote(where)}',
            f"export {PLACE}",
            f'exec {shlex.quote(sys.executable)} -P -m hanok.sdk.nni "$@"',
            "",
        )
    )
    done = []
    if not place.is_ours:
        if not place.node.exists():
            raise Conflict(f"there is no manager at {place.node}; is NNI {place.version} whole? pip install nni again")
        place.node.rename(place.kept)
        done.append(f"NNI's own manager is kept as {place.kept}")
    made = place.node.with_name("node.new")
    made.write_text(script)
    made.chmod(0o755)
    made.replace(place.node)
    return [
        *done,
        f"{place.node} starts Hanok now: nnictl and nni.experiment of this environment use it",
        f"experiments become studies of {where}",
        "'hanok nni uninstall' undoes this",
    ]


def uninstall(place: Place) -> list[str]:
    """Put NNI's own manager back; returns what was done."""
    if not place.is_ours:
        return [f"{place.node} is NNI's own manager; there is nothing to undo"]
    if not place.kept.exists():
        raise Conflict(
            f"NNI's own manager is not at {place.kept} any more; reinstall NNI: pip install --force-reinstall nni"
        )
    place.kept.replace(place.node)
    return [f"{place.node} is NNI's own manager again"]
