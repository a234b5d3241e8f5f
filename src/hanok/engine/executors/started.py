"""A process that was started to fit models or to run SQL, as its server sees it.

A user's code may leave behind what it likes: forks that hold the ends of all pipes, helpers in a session of their own.
Nothing here waits for those.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from multiprocessing.connection import wait
from pathlib import Path

from hanok.core.clock import wall_seconds

LINES_KEPT, LINES_SAID, LINE_BYTES = 200, 5, 1 << 16
DYING_S = 10.0  # so long the one that watches the other may take to die in the same way
END_S = 2.0  # so long a process that was killed may take to give back what it holds


class Child:
    """The process, what it says, and the pipe by whose end it knows that the server is gone."""

    def __init__(self, of: str, memory_bytes: int) -> None:
        life, self._life = os.pipe()
        work, self._work = os.pipe()
        self._reply, reply = os.pipe()
        ends = (life, work, reply)
        words = [sys.executable, "-P", "-m", "hanok.engine.executors.child", *map(str, ends), str(memory_bytes)]
        path = os.pathsep.join(p or str(Path.cwd()) for p in sys.path)
        said, says = os.pipe()
        try:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=says,
                stderr=subprocess.STDOUT,
                pass_fds=ends,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
            )
        finally:
            for end in (*ends, says):
                os.close(end)
        self._lock = threading.Lock()
        self._said = _Said(of, said)

    def ask(self, folder: Path) -> None:
        with contextlib.suppress(BrokenPipeError):  # it is gone: `answered` says so
            os.write(self._work, f"{folder}\n".encode())

    def answered(self, seconds: float) -> bool | None:
        """Whether what was asked is done; None when the process is gone, whoever still holds its pipes."""
        if self._ready(seconds):
            return True if os.read(self._reply, 64) else None
        if not self._gone():
            return False
        return True if self._ready(0) and os.read(self._reply, 64) else None

    def ended(self) -> str:
        """How the process ended, and its last words. One that ends is given time to say why."""
        until = wall_seconds() + DYING_S
        while not self._gone() and wall_seconds() < until:
            threading.Event().wait(0.01)
        code = self.end()
        if code >= 0:
            how = f"ended by itself with exit code {code}"
        else:
            how = f"was ended by signal {-code} ({signal.Signals(-code).name})"
            if -code == signal.SIGKILL:
                how += ": the machine may have had no memory left for it"
        return f"{how}; the training has failed, and nothing else was touched{self.said()}"

    def last(self) -> str:
        return self._said.lines[-1] if self._said.lines else ""

    def said(self) -> str:
        """The last words of a process that has ended."""
        self._said.close()
        last = list(self._said.lines)[-LINES_SAID:]
        return "; its last lines: " + " | ".join(last) if last else "; it had said nothing"

    def kill(self) -> None:
        """End it and all that it started, but for what left its session. Called by any thread."""
        with self._lock:
            if self._process.returncode is None:  # its number is free for others once it was waited for
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> int:
        """Its exit code. A process that lives is killed; what it started, too. It writes nothing more."""
        if not self._gone():
            self.kill()
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        self.kill()
        until = wall_seconds() + END_S
        while self._ready(max(0.0, until - wall_seconds())) and os.read(self._reply, 64):
            pass
        with self._lock:
            return self._process.wait()

    def close(self) -> None:
        self.end()
        self._said.close()
        for end in (self._life, self._work, self._reply):
            os.close(end)

    def _ready(self, seconds: float) -> bool:
        return bool(wait([self._reply], seconds))

    def _gone(self) -> bool:
        if self._process.returncode is not None:
            return True
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


class _Said:
    """What a process says, line by line, which also reaches whoever watches the server."""

    def __init__(self, of: str, said: int) -> None:
        self.lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._of, self._said = of, said
        self._over, self._end = os.pipe()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._read, name="hanok-training-says", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take what was said so far, and listen no more."""
        with self._lock:
            if self._end >= 0:
                os.close(self._end)
                self._end = -1
        self._thread.join(timeout=1)

    def _read(self) -> None:
        rest, over = b"", False
        try:
            while not over:
                ready = wait([self._said, self._over])
                over = self._over in ready  # then once more: all that a dead process said fits into one read
                data = os.read(self._said, LINE_BYTES) if self._said in ready else b""
                over = over or not data
                *lines, rest = (rest + data).replace(b"\r", b"\n").split(b"\n")
                if over or len(rest) > LINE_BYTES:
                    lines, rest = [*lines, rest], b""
                for line in lines:
                    self._take(line)
        finally:
            os.close(self._said)
            os.close(self._over)

    def _take(self, line: bytes) -> None:
        if text := line.decode(errors="replace").rstrip():
            self.lines.append(text[:500])
            with contextlib.suppress(ValueError, OSError):  # a terminal that is gone
                sys.stderr.write(f"[{self._of}] {text}\n")
