"""Answering other commands while one command works on a home without a server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from hanok.core.access import SYSTEM, acting
from hanok.engine.app import App
from hanok.server.run import admin_secret, bind, build

STOP_WAIT_S = 10


@contextmanager
def answering_others(app: App | None) -> Iterator[None]:
    """While the block runs, other commands on this home are answered at a free port of this machine, as `hanok up`
    would answer them; nothing runs in the background. None, for a home that a server has, changes nothing."""
    if app is None:
        yield
        return
    import uvicorn

    from hanok.server.protocol import Bounded

    listener = bind("127.0.0.1", 0)
    built = build(app, admin_secret())
    server = uvicorn.Server(uvicorn.Config(built, http=Bounded, ws="none", access_log=False, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="hanok-beside", daemon=True)
    thread.start()
    app.home.note(f"http://127.0.0.1:{listener.getsockname()[1]}")
    try:
        with acting(SYSTEM):
            yield
    finally:
        app.home.forget()
        server.should_exit = True
        thread.join(timeout=STOP_WAIT_S)
        listener.close()
        built.keep()
        app.metadata.strict = False
