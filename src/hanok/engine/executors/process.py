"""Models fitted in processes of their own, one for each training: it may die, hang or grow, and nothing else does."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from hanok.compute.frames import Frame
from hanok.compute.runtimes import Package
from hanok.core.clock import wall_seconds
from hanok.core.declare import AutoML, OwnCode
from hanok.core.durations import shortest
from hanok.core.errors import NotTrainable, Suspended, TrainingDied, TrainingTimedOut
from hanok.core.training import Plan
from hanok.engine.executors import work
from hanok.parts.training.needs import Fitter

MEMORY_SHARE = 0.8
LOOK_S = 0.5  # so often it is asked whether to go on
LINES_KEPT, LINES_SAID = 200, 5


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one training."""

    time: timedelta
    memory_bytes: int


def memory_of(gigabytes: float) -> int:
    """In bytes; for 0 four fifths of what the machine, or the container, has."""
    if gigabytes:
        return int(gigabytes * (1 << 30))
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):  # "max", or no such file
        whole = min(whole, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return int(whole * MEMORY_SHARE)


class Processes:
    """An executor whose work may die. `folder` is emptied when it begins: what lies there is left over from a kill.
    `project` names the project file of now."""

    def __init__(self, folder: Path, limits: Limits, project: Callable[[], Path | None]) -> None:
        self._folder, self._limits, self._project = folder, limits, project
        shutil.rmtree(folder, ignore_errors=True)
        self._running: set[ProcessFitter] = set()
        self._closed = False

    @contextmanager
    def fitting(self, of: str, go_on: Callable[[], None]) -> Iterator[Fitter]:
        """A fitter for one training; its process starts with the first fit. Each fit raises TrainingDied,
        TrainingTimedOut, Suspended when the server stops, what `go_on` raises, and what the fit itself raises."""
        if self._closed:
            raise Suspended(f"the training of {of} waits for the next start of the server")
        fitter = ProcessFitter(of, self._folder, self._limits, self._project, go_on)
        self._running.add(fitter)
        try:
            yield fitter
        finally:
            self._running.discard(fitter)
            fitter.end()

    def close(self) -> None:
        """End all processes now; their trainings are suspended."""
        self._closed = True
        for fitter in list(self._running):
            fitter.suspend()

    def says(self, of: str) -> str:
        """The last line that the process of a training wrote."""
        return next((fitter.says() for fitter in list(self._running) if fitter.of == of), "")


class ProcessFitter:
    def __init__(
        self,
        of: str,
        folder: Path,
        limits: Limits,
        project: Callable[[], Path | None],
        go_on: Callable[[], None],
    ) -> None:
        self.of, self._folder, self._limits, self._project, self._go_on = of, folder, limits, project, go_on
        self._started = wall_seconds()
        self._child: _Child | None = None
        self._suspended = False

    def search(self, frame: Frame, settings: AutoML) -> work.Fitted:
        return self._fitted(frame, work.of_search(settings))

    def run_plan(self, frame: Frame, plan: Plan) -> work.Fitted:
        return self._fitted(frame, work.FitWork(plan=plan))

    def own(self, frame: Frame, own: OwnCode) -> Package:
        if not own.source:
            raise NotTrainable(
                f"the code of {own.name} is in no file, so a server cannot run it in a process of its own: put it into "
                "the project file, or train where the home is: hk.open().train(...)"
            )
        return self._fitted(frame, work.of_own(own, self._project())).package

    def _fitted(self, frame: Frame, asked: work.FitWork) -> work.Fitted:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=self._folder, prefix="fit-") as name:
            folder = Path(name)
            work.write_work(folder, frame, asked)
            if self._child is None:
                self._child = _Child(self.of, self._limits.memory_bytes)
            self._wait(self._child, folder)
            return work.read_fitted(folder)

    def _wait(self, child: _Child, folder: Path) -> None:
        child.ask(folder)
        while True:
            if self._suspended:
                child.kill()
                raise Suspended(f"the server stops; the training of {self.of} goes on after its next start")
            answered = child.answered(LOOK_S)
            if answered:
                return
            if answered is None and not self._suspended:
                raise TrainingDied(f"the process that trained {self.of} {child.ended()}")
            if wall_seconds() - self._started > self._limits.time.total_seconds():
                child.kill()
                raise TrainingTimedOut(
                    f"the training of {self.of} was stopped after {shortest(self._limits.time)}, the limit of a "
                    f"training (training_limit in hanok.toml){child.said()}"
                )
            try:
                self._go_on()
            except BaseException:
                child.kill()
                raise

    def suspend(self) -> None:
        """Called by another thread."""
        self._suspended = True
        if self._child is not None:
            self._child.kill()

    def says(self) -> str:
        return self._child.last() if self._child is not None else ""

    def end(self) -> None:
        if self._child is not None:
            self._child.close()


class _Child:
    """The process, what it says, and the pipe by whose end it knows that the server is gone."""

    def __init__(self, of: str, memory_bytes: int) -> None:
        self._of = of
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        life, self._life = os.pipe()
        self._reply, reply = os.pipe()
        words = [sys.executable, "-P", "-m", "hanok.engine.executors.child", str(life), str(reply), str(memory_bytes)]
        path = os.pathsep.join(p or str(Path.cwd()) for p in sys.path)
        try:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(life, reply),
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
                text=True,
                errors="replace",
            )
        finally:
            os.close(life)
            os.close(reply)
        self._reader = threading.Thread(target=self._read, name="hanok-training-says", daemon=True)
        self._reader.start()

    def ask(self, folder: Path) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it is gone: `answered` says so
            self._process.stdin.write(f"{folder}\n")
            self._process.stdin.flush()

    def answered(self, seconds: float) -> bool | None:
        """Whether what was asked is done; None when the process is gone."""
        ready, _, _ = select.select([self._reply], [], [], seconds)
        if not ready:
            return False
        return True if os.read(self._reply, 64) else None

    def ended(self) -> str:
        """How the process ended, and its last words."""
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        self.kill()  # what it started; before its number is free for another process
        code = self._process.wait()
        if code >= 0:
            how = f"ended by itself with exit code {code}"
        else:
            how = f"was ended by signal {-code} ({signal.Signals(-code).name})"
            if -code == signal.SIGKILL:
                how += ": the machine may have had no memory left for it"
        return f"{how}; the training has failed, and nothing else was touched{self.said()}"

    def last(self) -> str:
        return self._lines[-1] if self._lines else ""

    def said(self) -> str:
        self._reader.join(timeout=1)
        last = list(self._lines)[-LINES_SAID:]
        return "; its last lines: " + " | ".join(last) if last else "; it had said nothing"

    def kill(self) -> None:
        """End it and all that it started."""
        if self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        self.kill()
        self._process.wait()
        self._reader.join(timeout=1)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        os.close(self._life)
        os.close(self._reply)

    def _read(self) -> None:
        """What it says reaches whoever watches the server."""
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError, OSError):  # closed under the reader
            for line in self._process.stdout:
                text = line.rstrip("\n")
                if text:
                    self._lines.append(text[:500])
                    sys.stderr.write(f"[training {self._of}] {text}\n")
