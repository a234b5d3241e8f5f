"""Models fitted in processes of their own, one for each training: it may die, hang or grow, and nothing else does."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
import threading
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
from hanok.core.errors import Cancelled, LeaseLost, NotTrainable, Suspended, TrainingDied, TrainingTimedOut
from hanok.core.training import Plan
from hanok.engine.executors import work
from hanok.engine.executors.started import Child
from hanok.parts.training.needs import Fitter

MEMORY_SHARE = 0.8
LOOK_S = 0.5  # so often it is asked whether to go on
log = logging.getLogger("hanok.training")


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
    `project` names the project file of now; `searches` is where finished parts of searches are kept."""

    def __init__(
        self, folder: Path, limits: Limits, project: Callable[[], Path | None], searches: Path | None = None
    ) -> None:
        self._folder, self._limits, self._project, self._searches = folder, limits, project, searches
        shutil.rmtree(folder, ignore_errors=True)
        self._running: set[ProcessFitter] = set()
        self._closed = False
        self._lock = threading.Lock()  # one that begins while all is ended is refused, or ended too

    @contextmanager
    def fitting(self, of: str, go_on: Callable[[], None]) -> Iterator[Fitter]:
        """A fitter for one training; its process starts with the first fit. Each fit raises TrainingDied,
        TrainingTimedOut, Suspended when the server stops, what `go_on` raises, and what the fit itself raises."""
        fitter = ProcessFitter(of, self._folder, self._limits, self._project, go_on, self._searches)
        with self._lock:
            if self._closed:
                raise Suspended(f"the training of {of} waits for the next start of the server")
            self._running.add(fitter)
        try:
            yield fitter
        finally:
            with self._lock:
                self._running.discard(fitter)
            fitter.end()

    def close(self) -> None:
        """End all processes now; their trainings are suspended."""
        with self._lock:
            self._closed = True
            running = list(self._running)
        for fitter in running:
            fitter.suspend()

    def says(self, of: str) -> str:
        """The last line that the process of a training wrote."""
        with self._lock:
            running = list(self._running)
        return next((fitter.says() for fitter in running if fitter.of == of), "")


class ProcessFitter:
    def __init__(
        self,
        of: str,
        folder: Path,
        limits: Limits,
        project: Callable[[], Path | None],
        go_on: Callable[[], None],
        searches: Path | None = None,
    ) -> None:
        self._searches = searches
        self.of, self._folder, self._limits, self._project, self._go_on = of, folder, limits, project, go_on
        self._started = wall_seconds()
        self._child: Child | None = None
        self._suspended = False

    def search(self, frame: Frame, settings: AutoML) -> work.Fitted:
        return self._fitted(frame, work.of_search(settings, self._searches))

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
        with tempfile.TemporaryDirectory(dir=self._folder, prefix="fit-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            work.write_work(folder, frame, asked)
            if self._child is None:
                self._child = Child(f"training {self.of}", self._limits.memory_bytes)
            try:
                self._wait(self._child, folder)
            except BaseException:
                self._child.end()  # nothing writes to the folder when it is removed
                raise
            return work.read_fitted(folder)

    def _wait(self, child: Child, folder: Path) -> None:
        child.ask(folder)
        away = False
        while True:
            if self._suspended:
                raise Suspended(f"the server stops; the training of {self.of} goes on after its next start")
            answered = child.answered(LOOK_S)
            if answered:
                return
            if answered is None and not self._suspended:
                raise TrainingDied(f"the process that trained {self.of} {child.ended()}")
            if wall_seconds() - self._started > self._limits.time.total_seconds():
                child.end()
                raise TrainingTimedOut(
                    f"the training of {self.of} was stopped after {shortest(self._limits.time)}, the limit of a "
                    f"training (training_limit in hanok.toml){child.said()}"
                )
            away = self._asked(away)

    def _asked(self, away: bool) -> bool:
        """Ask whether to go on. A store that cannot say so for a moment ends no training: whether that is so, said once
        each time (`away`: it was so)."""
        try:
            self._go_on()
        except (Cancelled, LeaseLost):
            raise
        except Exception as error:  # noqa: BLE001 (whatever it is, it says nothing of the training)
            if not away:
                log.warning("whether the training of %s is to go on could not be asked; it goes on: %s", self.of, error)
            return True
        return False

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
