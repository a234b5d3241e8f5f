"""What the manager's process does from its first request to its end."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from pathlib import Path

from hanok.core.errors import HanokError
from hanok.sdk.nni.arguments import read_arguments
from hanok.sdk.nni.experiment import Experiment
from hanok.sdk.nni.mirror import PLACE
from hanok.sdk.nni.web import Rest, serve
from hanok.stores.nni_files import ExperimentFile, ExperimentList

VERSION = "3.0"


def main(words: list[str], listening: socket.socket) -> int:
    """Answer on a socket that listens already, and run until the experiment is stopped. The working directory holds
    NNI's pages, as for its own manager."""
    try:
        arguments = read_arguments(words)
    except HanokError as error:
        print(error.message, file=sys.stderr)  # noqa: T201
        return 2
    logs = arguments.folder / "log"
    logs.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        format="[%(asctime)s] %(levelname)s (%(name)s) %(message)s",
        level=logging.INFO,
        handlers=[logging.FileHandler(logs / "nnimanager.log")]
        + ([logging.StreamHandler(sys.stdout)] if arguments.foreground else []),
    )
    listed = ExperimentList(Path.home() / "nni-experiments" / ".experiment")
    files = ExperimentFile(arguments.folder / "db")
    over = threading.Event()
    experiment = Experiment(arguments, files, listed, os.environ.get(PLACE) or _place())
    rest = Rest(experiment, listed, VERSION, over.set)
    server = serve(listening, rest, experiment, Path.cwd() / "static", logs)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: over.set())
    threading.Thread(target=server.serve_forever, name="nni-rest", daemon=True).start()
    over.wait()
    experiment.stop()
    server.shutdown()
    files.close()
    return 0


def _place() -> str:
    """Where studies are kept: HANOK_URL, HANOK_HOME, or the home of this user."""
    url = os.environ.get("HANOK_URL", "")
    return url or os.environ.get("HANOK_HOME") or str(Path.home() / ".hanok")
