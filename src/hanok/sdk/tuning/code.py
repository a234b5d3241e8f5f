"""What code works on trials: kept with the run of a worker's first trial, and taken over by the runs of the others."""

from __future__ import annotations

import inspect
import shlex
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from hanok.core.clock import SystemClock
from hanok.core.ids import new_id
from hanok.core.recording import Entry
from hanok.sdk.client import Client
from hanok.sdk.runs import capture
from hanok.sdk.tuning.patience import patient_call, patient_upload
from hanok.wire.recording import as_json

FILE_MAX_BYTES = 1 << 20
_clock = SystemClock()


class Code:
    """`of` is the run that has it, "" until one does. Safe to use from several threads."""

    def __init__(
        self, client: Client, files: Mapping[str, str], *, command: str = "", folder: Path | None = None
    ) -> None:
        """`files` are texts by name; `command` and `folder` are those of the trials where they are commands."""
        self._client, self._files, self._command, self._folder = client, files, command, folder
        self._lock = threading.Lock()
        self.of = ""

    def keep(self, run: str) -> None:
        """Store the code with a run, unless another has it; a server that restarts is waited for.

        Raises HanokError: then the next run gets it.
        """
        if not run or self.of:
            return
        with self._lock:
            if self._kept():
                return
            for path, text in self._texts().items():
                self._upload(run, path, text)
            entry = Entry(1, "log", tags=self._tags())
            patient_call(self._client, "run.record", run=run, writer=new_id(_clock.now()), entries=as_json([entry]))
            self.of = run

    def _kept(self) -> bool:
        return bool(self.of)

    def _tags(self) -> Mapping[str, str]:
        tags = {**capture.source_tags(), **capture.git_tags(self._folder)}
        if self._command:
            tags |= {"hanok.command": self._command[:8000], "mlflow.source.name": self._command[:500]}
        return tags

    def _texts(self) -> Mapping[str, str]:
        kept = {f"code/{name}": text for name, text in self._files.items() if text}
        if diff := capture.uncommitted(self._folder):
            kept["code/uncommitted.diff"] = diff
        return kept | {"environment/packages.txt": capture.packages()}

    def _upload(self, run: str, path: str, text: str) -> None:
        with tempfile.TemporaryDirectory(prefix="hanok-code-") as folder:
            file = Path(folder) / "file"
            file.write_text(text, encoding="utf-8", errors="replace")
            patient_upload(self._client, run, path, file)


def function_name(function: Callable[..., object]) -> str:
    name = getattr(function, "__name__", "")
    return name if name.isidentifier() else "objective"


def source_of(function: Callable[..., object]) -> str:
    """The text of a function; "" where Python does not know it."""
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return ""


def files_of(command: str, folder: Path) -> Mapping[str, str]:
    """The scripts that a command names, by their path in its folder."""
    try:
        words = shlex.split(command)
    except ValueError:
        return {}
    found = {word: folder / word for word in words if not word.startswith(("-", "/")) and ".." not in Path(word).parts}
    return {
        Path(word).as_posix(): path.read_text(encoding="utf-8", errors="replace")
        for word, path in found.items()
        if path.is_file() and path.stat().st_size <= FILE_MAX_BYTES
    }
