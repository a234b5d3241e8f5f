"""`hk.run`: a run from a training process."""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hanok.core.clock import SystemClock
from hanok.core.errors import HanokError, Invalid, words
from hanok.core.ids import new_id
from hanok.core.recording import Entry, ModelEntry
from hanok.core.tracking import FAILED, FINISHED, KILLED, Metric
from hanok.engine.config import load_config
from hanok.parts.tracking import checks
from hanok.sdk.runs import capture as captured
from hanok.sdk.runs import values
from hanok.sdk.runs.console import Console
from hanok.sdk.runs.sinks import Place, Sink, sink_for
from hanok.sdk.runs.system import SystemSampler
from hanok.sdk.runs.writer import Chore, Upload, Writer

CAPTURES = ("code", "packages", "system", "console")
ALL_BUT_CONSOLE = ("code", "packages", "system")
CONSOLE_EVERY_S = 10.0
_clock = SystemClock()
_active: set[Run] = set()
_current: list[Run] = []


class Run:
    """A run that is being recorded. Its methods return at once; a thread stores what they are given, in order.

    What cannot be stored is warned about when it happens and raised by `flush` and by the end of the `with` block.
    """

    def __init__(
        self,
        name: str,
        *,
        experiment: str,
        params: Mapping[str, Any],
        tags: Mapping[str, Any],
        capture: Sequence[str],
        every_s: float,
        place: Place,
        goes_on: str = "",
        sink: Sink | None = None,
    ) -> None:
        if unknown := sorted(set(capture) - set(CAPTURES)):
            raise Invalid(f"capture has {unknown[0]!r}; there are {', '.join(CAPTURES)}")
        self.id = goes_on or new_id(_clock.now())
        self.name = name
        self.ended = False
        self._writer_name = new_id(_clock.now())
        self._spool = Path(tempfile.mkdtemp(prefix="hanok-run-"))
        self._names = itertools.count()
        self._steps: dict[str, int] = {}
        self._console = Console() if "console" in capture else None
        chores = []
        if "system" in capture:
            self._sampler = SystemSampler()
            chores.append(Chore(every_s, self._sample))
        if self._console is not None:
            chores.append(Chore(min(every_s, CONSOLE_EVERY_S), self._console_piece))
        sink = sink or sink_for(place, self.id, self._writer_name, time.sleep)
        self._writer = Writer(sink, self.id, self._writer_name, self._spool, chores)
        texts = _texts("tag", tags, checks.TAG_VALUE_MAX)
        found = {**captured.source_tags(), **captured.git_tags()} if "code" in capture else {}
        if goes_on and (found or texts):
            self.tag({**found, **texts})
        elif not goes_on:
            self._put(
                Entry(
                    0,
                    "start",
                    at_ms=_now_ms(),
                    experiment=experiment,
                    name=name,
                    user=captured.user(),
                    tags={**found, **texts},
                )
            )
        if params:
            self.param(params)
        if "code" in capture and (diff := captured.uncommitted()):
            self.artifact(diff.encode(), "code/uncommitted.diff")
        if "packages" in capture:
            self.artifact(captured.packages().encode(), "environment/packages.txt")
        _active.add(self)

    def log(self, metrics: Mapping[str, Any] | None = None, /, *, step: int | None = None, **more: Any) -> None:
        """Log metrics: `run.log(loss=0.3, step=1)` or `run.log({"val/loss": 0.3})`. Without a step, each key counts its
        own. Raises Invalid for what is no number."""
        given = {**(metrics or {}), **more}
        checks.check_keys("metric", given)
        now = _now_ms()
        points = []
        for key, value in given.items():
            at = self._steps.get(key, -1) + 1 if step is None else int(step)
            self._steps[key] = at
            points.append(Metric(key, values.number(key, value), now, at))
        self._put(Entry(0, "log", metrics=tuple(points)))

    def param(self, params: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Log params; a param keeps the value that it was first logged with."""
        given = _texts("param", {**(params or {}), **more}, checks.PARAM_VALUE_MAX)
        self._put(Entry(0, "log", params=given))

    def tag(self, tags: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Set tags."""
        given = _texts("tag", {**(tags or {}), **more}, checks.TAG_VALUE_MAX)
        self._put(Entry(0, "log", tags=given))

    def artifact(self, source: Any, name: str = "") -> None:
        """Keep a file, a folder with all in it, or a value under a name: bytes, text, a figure, an image, a table
        (Parquet), or anything JSON. Files are copied now, so they may be removed or changed afterwards."""
        path = Path(source) if isinstance(source, os.PathLike) or (isinstance(source, str) and not name) else None
        if path is None and isinstance(source, str) and len(source) < 1024 and Path(source).is_file():
            path = Path(source)
        if path is None:
            if not name:
                raise Invalid(f"an artifact made of a {type(source).__name__} needs a name, like 'report.txt'")
            spooled = self._spooled()
            spooled.write_bytes(values.content_of(source, name))
            self._writer.put(Upload("runs", self.id, name, spooled))
            return
        if not path.exists():
            raise Invalid(
                f"there is no file {str(path)[:200]!r}; to keep text, give it a name: artifact(text, 'a.txt')"
            )
        inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in inside:
            relative = (
                f"{name or path.name}/{file.relative_to(path).as_posix()}" if path.is_dir() else name or path.name
            )
            self._upload_file("runs", self.id, relative, file)

    def dataset(self, data: Any, name: str = "", *, context: str = "training") -> None:
        """Note the data that the run reads: a file, an Arrow table, a frame, or a matrix. Equal name and content are
        one dataset in the lineage graph, whichever run reads it."""
        self._put(Entry(0, "dataset", dataset=values.described(data, name, context)))

    def model(self, model: Any, data: Any = None, label: Any = None, *, name: str = "model", register: str = "") -> str:
        """Keep a trained model in a format that is safe to serve, proven equal on `data`; returns its id.

        `data` (features: a table, frame or matrix) and `label` are what it was trained on, or a part of them. With
        `register` it becomes the next version of that model. A `hk.Package` needs neither. Raises ConversionFailed.
        """
        from hanok.sdk.runs.models import packaged

        return self._package(packaged(model, data, label), name, type(model).__name__, register)

    def flush(self) -> None:
        """Wait until everything is stored. Raises the first error there was."""
        self._writer.flush()

    def finish(self, status: str = FINISHED) -> None:
        """End the run and wait until everything is stored. A second call does nothing."""
        if self.ended:
            return
        self.ended = True
        _active.discard(self)
        if self in _current:
            _current.remove(self)
        if self._console is not None and (tail := self._console.close()):
            self.artifact(tail.encode(), "console/tail.log")
        self._put(Entry(0, "end", at_ms=_now_ms(), status=status))
        self._writer.close()

    def __enter__(self) -> Run:
        _current.append(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if kind is None or error is None:
            self.finish()
            return
        if not self.ended:
            self.tag({"hanok.error": words(error)[:1000]})
            text = "".join(traceback.format_exception(kind, error, trace))
            self.artifact(text.encode(errors="backslashreplace"), "error.txt")
        clean = isinstance(error, SystemExit) and error.code in (None, 0)
        try:
            self.finish(KILLED if issubclass(kind, KeyboardInterrupt) else FINISHED if clean else FAILED)
        except HanokError as lost:
            error.add_note(f"and not everything of run {self.id} is stored: {lost.message}")

    def __repr__(self) -> str:
        return f"<hanok run {self.name or self.id} {self.id}>"

    def _package(self, package: Any, name: str, kind: str, register: str) -> str:
        model_id = f"m-{new_id(_clock.now())}"
        entry = ModelEntry(
            id=model_id,
            name=name,
            model_type=kind,
            runtime=package.runtime,
            signature=package.signature.as_dict(),
            notes=dict(package.notes),
            files=tuple(sorted(package.files)),
            register=register,
        )
        self._put(Entry(0, "model", model=ModelEntry(id=model_id, name=name, model_type=kind)))
        for file, content in package.files.items():
            spooled = self._spooled()
            spooled.write_bytes(content)
            self._writer.put(Upload("logged-models", model_id, file, spooled))
        self._put(Entry(0, "package", model=entry))
        return model_id

    def _put(self, entry: Entry) -> None:
        self._writer.put(entry)

    def _spooled(self) -> Path:
        return self._spool / str(next(self._names))

    def _upload_file(self, of: str, identity: str, path: str, file: Path) -> None:
        spooled = self._spooled()
        shutil.copyfile(file, spooled)
        self._writer.put(Upload(of, identity, path, spooled))

    def _sample(self) -> Sequence[Entry | Upload]:
        now, step = _now_ms(), self._steps.get("system/", -1) + 1
        self._steps["system/"] = step
        points = tuple(Metric(key, value, now, step) for key, value in self._sampler.sample().items())
        return [Entry(0, "log", metrics=points)]

    def _console_piece(self) -> Sequence[Entry | Upload]:
        assert self._console is not None
        name, text = self._console.take()
        if not text:
            return []
        spooled = self._spooled()
        spooled.write_text(text, encoding="utf-8", errors="replace")
        return [Upload("runs", self.id, name, spooled)]


def run(
    name: str = "",
    *,
    experiment: str = "",
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, Any] | None = None,
    capture: Sequence[str] = ALL_BUT_CONSOLE,
    every_s: float = 10.0,
    where: str | Path | None = None,
) -> Run:
    """Start a run: `with hk.run("first", experiment="churn") as run: run.log(loss=0.3)`.

    It goes to `where` (a home, or a server's URL), else to HANOK_URL, else to the home of this directory, through
    `hanok up` where that is running. HANOK_OFFLINE=1, a server that does not answer, and a home that another process
    has open lead to a journal on disk, which `hanok sync` brings over. Within a
    trial of a study (HANOK_RUN_ID is set) the first run of a process is that trial's, and ends with it. `capture`
    chooses from code (git commit, branch, uncommitted diff, command), packages, system (every `every_s` seconds) and
    console.
    """
    return Run(
        name,
        goes_on=os.environ.pop("HANOK_RUN_ID", ""),
        experiment=experiment,
        params=params or {},
        tags=tags or {},
        capture=tuple(capture),
        every_s=every_s,
        place=place_of(where),
    )


def current() -> Run | None:
    """The innermost run whose `with` block we are in."""
    return _current[-1] if _current else None


def place_of(where: str | Path | None) -> Place:
    """From an argument and the environment."""
    text = str(where) if where is not None else os.environ.get("HANOK_URL", "")
    url = text if text.startswith(("http://", "https://")) else ""
    home = Path(where) if where is not None and not url else None
    offline = os.environ.get("HANOK_OFFLINE", "") == "1"
    return Place(url.rstrip("/"), offline, journal_folder(home), home)


def journal_folder(home: Path | None = None) -> Path:
    """Where journals wait: HANOK_JOURNAL, else a folder of the home."""
    chosen = os.environ.get("HANOK_JOURNAL", "")
    return Path(chosen) if chosen else (home or load_config(Path.cwd()).home) / "journal"


@atexit.register
def _finish_all() -> None:
    """Runs that nobody ended when Python does."""
    status = FAILED if getattr(sys, "last_type", None) is not None else FINISHED
    for left in list(_active):
        try:
            left.finish(status)
        except HanokError as error:
            print(f"hanok: run {left.id}: not everything is stored: {error.message}", file=sys.stderr)  # noqa: T201


def _texts(kind: str, given: Mapping[str, Any], longest: int) -> dict[str, str]:
    found = {key: value if isinstance(value, str) else str(value) for key, value in given.items()}
    checks.check_values(kind, found, longest)
    return found


def _now_ms() -> int:
    return int(_clock.now().timestamp() * 1000)
