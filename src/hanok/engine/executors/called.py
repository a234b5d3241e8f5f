"""A process that answers messages, one after the other: it may hang, grow or die, and whoever called it goes on."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from multiprocessing.connection import Connection

from hanok.core.clock import wall_seconds

END_S = 2.0
LOOK_S = 0.5  # so often it is looked whether the process lives


class Ended(Exception):
    """The process came to an end over a message, or did not answer it in time."""


class Busy(Exception):
    """The process is at another message."""


class Called:
    """Started when it is first called, and again after it ended. `command` is what is run, given the descriptor of its
    end of the connection."""

    def __init__(
        self,
        command: Callable[[int], Sequence[str]],
        *,
        answer_s: float,
        environment: Callable[[], Mapping[str, str]] = lambda: os.environ,
        started: Callable[[Connection], None] = lambda connection: None,
    ) -> None:
        self._command, self._answer_s, self._environment, self._started = command, answer_s, environment, started
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        process = self._process
        return None if process is None else process.pid

    def __call__(self, message: bytes, *, within_s: float | None = None) -> bytes:
        """Its answer. Raises Ended. With `within_s` it waits no longer than that for its turn (then it raises Busy)
        and no longer for the answer."""
        if not self._lock.acquire(timeout=-1 if within_s is None else within_s):
            raise Busy
        answer_s = self._answer_s if within_s is None else within_s
        try:
            try:
                connection = self._connection or self._start()
                connection.send_bytes(message)
                if self._answered(connection, answer_s):
                    return connection.recv_bytes()
                why = f"had not answered after {answer_s:.0f} s"
            except (EOFError, OSError):
                why = f"ended {_how(self._process)}"
            except BaseException:
                self._end()
                raise
            self._end()
        finally:
            self._lock.release()
        raise Ended(why)

    def close(self) -> None:
        """End the process, whatever it is at."""
        if (process := self._process) is not None:
            process.kill()  # a call that waits for it ends
        with self._lock:
            self._end()

    def _answered(self, connection: Connection, answer_s: float) -> bool:
        """Whether a reply begins to come. Raises EOFError when the process is gone, whoever still holds its socket."""
        until = wall_seconds() + answer_s
        while (left := until - wall_seconds()) > 0:
            if connection.poll(min(left, LOOK_S)):
                return True
            if self._process is not None and self._process.poll() is not None:
                raise EOFError
        return False

    def _start(self) -> Connection:
        ours, theirs = socket.socketpair()
        for bound in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):  # half a message holds nothing up for ever either
            ours.setsockopt(socket.SOL_SOCKET, bound, struct.pack("@ll", int(self._answer_s) + 1, 0))
        with theirs:
            self._process = _kept(
                lambda: subprocess.Popen(
                    list(self._command(theirs.fileno())),
                    env=dict(self._environment()),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                )
            )
        self._connection = Connection(ours.detach())
        self._started(self._connection)
        return self._connection

    def _end(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.kill()  # it holds nothing that could be lost
            self._process.wait()
        self._process = self._connection = None


def _kept(start: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    """Started by a thread that lives as long as the process does: a child that asked to die with its parent dies with
    the thread that started it, and a thread that asked for an answer may end at any time."""
    begun: Future[subprocess.Popen[bytes]] = Future()

    def keep() -> None:
        try:
            process = start()
        except BaseException as error:  # noqa: BLE001 (raised to the caller)
            begun.set_exception(error)
            return
        begun.set_result(process)
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # who called reaps it

    threading.Thread(target=keep, name="hanok-child", daemon=True).start()
    return begun.result()


def _how(process: subprocess.Popen[bytes] | None) -> str:
    try:
        code = process.wait(END_S) if process is not None else 0
    except subprocess.TimeoutExpired:
        return "its connection"
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
