"""The processes of an experiment's trials on this machine, with NNI's environment and NNI's folders."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hanok.wire.nni.channel import MetricReport, decode_metric_file, decode_output

KILL_AFTER_S = 5.0
LINES_SAID = 5
SHELL = "/bin/bash"


@dataclass
class TrialProcess:
    """One trial's process. `stopping` is the status that a kill leads to, "" while it may run."""

    folder: Path
    process: subprocess.Popen[bytes]
    started: float = field(default_factory=time.monotonic)
    stopping: str = ""
    _killed: float = 0.0
    _read: int = 0

    def stop(self, status: str) -> None:
        """SIGINT now, SIGKILL to its whole group when it does not end."""
        if not self.stopping:
            self.stopping, self._killed = status, time.monotonic()
            _signal(self.process, signal.SIGINT)

    def ended(self) -> int | None:
        """The exit status; None while it runs."""
        code = self.process.poll()
        if code is None and self.stopping and time.monotonic() - self._killed > KILL_AFTER_S:
            _signal(self.process, signal.SIGKILL)
        return code

    def older_reports(self, *, last: bool = False) -> list[MetricReport]:
        """Results that came through files, or at the `last` look as lines of output, as trials of NNI 1 and 2 do."""
        found: list[MetricReport] = []
        path = self.folder / ".nni" / "metrics"
        if path.exists():
            with path.open("rb") as file:
                file.seek(self._read)
                found, size = decode_metric_file(file.read())
            self._read += size
        if last:
            found += decode_output((self.folder / "trial.stdout").read_bytes())
        return found

    def why(self, code: int) -> str:
        """Why it failed, with the end of what it wrote."""
        texts = [(self.folder / f"trial.{name}").read_bytes()[-4000:] for name in ("stdout", "stderr")]
        lines = b"\n".join(texts).decode(errors="replace").strip().splitlines()[-LINES_SAID:]
        ended = f"ended by signal {-code}" if code < 0 else f"ended with status {code}"
        return f"{ended}; last output: " + "\n".join(lines) if lines else ended


def start_trial(command: str, code: Path, folder: Path, environment: Mapping[str, str]) -> TrialProcess:
    """Raises OSError where the folder of the code is not there."""
    (folder / ".nni").mkdir(parents=True, exist_ok=True)
    with (folder / "trial.stdout").open("wb") as out, (folder / "trial.stderr").open("wb") as err:
        process = subprocess.Popen(
            command,
            shell=True,
            executable=SHELL,
            cwd=code,
            env=os.environ | dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
    return TrialProcess(folder, process)


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
