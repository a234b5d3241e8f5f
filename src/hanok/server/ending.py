"""How a server ends: within its grace time, whatever runs."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

GRACE_S = 10.0
REPLIES_S = 4.0  # of it, for requests that are being answered
KEEPERS_S = 3.0  # of it, for what runs in the background
LOOK_S = 0.1
log = logging.getLogger("hanok.server")


class Stopping(Protocol):
    should_exit: bool


def end_in_time(server: Stopping, stop: Callable[[], None], grace_s: float | None) -> None:
    """From the moment that the server is to stop: `stop` ends what could hold it up, and after the grace time the
    process ends with whatever it is at; what was acknowledged is on the disk. Without a grace time it only stops."""

    def watch() -> None:
        look = threading.Event()
        while not server.should_exit:
            look.wait(LOOK_S)
        stop()
        if grace_s is not None:
            look.wait(grace_s)
            log.warning("something was still at work %g s after the server was told to stop; it is cut off", grace_s)
            os._exit(0)

    threading.Thread(target=watch, name="hanok-ending", daemon=True).start()


@contextlib.contextmanager
def ending_in_order() -> Iterator[None]:
    """While the block runs, SIGTERM leads to its end and not to that of the process: what the server does when it
    stops is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: None)  # the server's own handler stands over it while it serves
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
