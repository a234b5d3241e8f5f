"""What fits models or runs users' SQL for a server: `python -m hanok.engine.executors.child LIFE WORK REPLY MEMORY`.

It is two. The first one stays small and only watches: when the server is gone, however it ended, it ends all that was
begun here; when the second one dies, it dies in the same way, so that the server sees why. The second one reads names
of folders, fits what lies in each (see `work`)
or answers it (see `asking`), and says in one line that it is done. It opens no store of a home.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hanok.engine.executors.giving_way import give_way, go_last

if TYPE_CHECKING:
    from hanok.engine.executors.work import Fitted, OwnWork


def main(life: int, work: int, reply: int, memory: int) -> None:
    """`life` ends with the server, `work` names the folders, `reply` is where the server hears what is done, `memory` a
    bound in bytes (0: none). None of them is the standard input: a user's code may read that, and finds its end."""
    worker = os.fork()  # before anything is imported that has threads
    if worker:
        os.close(work)
        os.close(reply)
        _watch(worker, life)
    os.close(life)
    for descriptor in (work, reply):
        os.set_inheritable(descriptor, False)  # not for what a user's code starts
    _bound(memory)
    with os.fdopen(work) as asked, os.fdopen(reply, "w", buffering=1) as told:
        for line in asked:
            _work(Path(line.rstrip("\n")))
            sys.stdout.flush()
            sys.stderr.flush()
            told.write("done\n")
    os._exit(0)  # threads of a user's code hold nothing up


def _watch(worker: int, life: int) -> None:
    """Until the server or the worker is gone; never returns."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    while True:
        pid, status = os.waitpid(worker, os.WNOHANG)
        if pid:
            break
        ready, _, _ = select.select([life, woken], [], [])
        if life in ready:
            os.killpg(0, signal.SIGKILL)
        os.read(woken, 64)
    if os.WIFSIGNALED(status):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError, ValueError):
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _bound(memory: int) -> None:
    """Bounded memory, less claim on the processor, and the first to go when the machine has no memory left."""
    import resource

    give_way()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory:
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _work(folder: Path) -> None:
    if (folder / "query.json").exists():
        go_last()  # predictions come first, then trainings; users' SQL gets what is left
        from hanok.engine.executors import asking

        asking.answer(folder)
    else:
        _fit(folder)


def _fit(folder: Path) -> None:
    from hanok.engine.executors import work

    try:
        work.write_fitted(folder, _fitted(folder))
    except BaseException as error:  # noqa: BLE001 (a job ends here: the server is told what it said)
        work.write_error(folder, error)


def _fitted(folder: Path) -> Fitted:
    from hanok.engine.executors import work
    from hanok.engine.executors.inline import InlineFitter

    log = logging.getLogger("hanok.automl")  # what it says of how far it is: the server hears the last line
    log.handlers = [logging.StreamHandler(sys.stdout)]
    log.setLevel(logging.INFO)
    frame, asked = work.read_work(folder)
    fitter = InlineFitter(Path(asked.searches) if asked.searches else None)
    if asked.own is not None:
        from hanok.core.declare import OwnCode

        own = asked.own
        return work.Fitted(fitter.own(frame, OwnCode(_function(own), own.name, own.code_digest, own.source)))
    found = (
        fitter.run_plan(frame, asked.plan)
        if asked.plan is not None
        else fitter.search(frame, work.settings_of(asked.search or {}))
    )
    return work.Fitted(found.package, found.plan, found.metric, found.lines)


def _function(own: OwnWork) -> Callable[..., object]:
    """The function of the project file where that is still as the server loaded it, else of the text that the server
    has. What the file imports is taken as it is now."""
    from hanok.core.errors import HanokError
    from hanok.engine import own_code
    from hanok.engine.project import load_module

    folder = Path(own.project).parent if own.project else Path()
    if own.project:
        sys.path.insert(0, str(folder.resolve()))
        try:
            module = load_module(Path(own.project))
        except HanokError as error:  # it was edited since; what the server has loaded is trained
            sys.stderr.write(f"{error.message}; the training goes on with the file as the server loaded it\n")
        else:
            for found in own_code.codes([module]):
                if found.code_digest == own.code_digest and found.source == own.source:
                    return found.function
    return own_code.executed(own.name, own.code_digest, own.source, folder)


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:5]))
