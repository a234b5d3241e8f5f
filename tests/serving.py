"""An open home behind a real socket, for clients that speak HTTP."""

import threading
from contextlib import contextmanager

from hanok.server.run import build


@contextmanager
def served(app):
    """The address at which the home answers."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(build(app), port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()
