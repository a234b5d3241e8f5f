"""`hanok up`: one process that owns a home and serves everything."""

from __future__ import annotations

import gc
import ipaddress
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from hanok.core.access import SYSTEM, acting
from hanok.core.errors import ConfigError, HanokError, PortInUse
from hanok.engine.app import App, project_file
from hanok.engine.evidence import Evidence
from hanok.engine.executors.asking import InlineQueries, QueryProcesses
from hanok.engine.executors.inline import Inline
from hanok.engine.executors.process import Limits, Processes, memory_of
from hanok.engine.parts import find
from hanok.engine.predicting import DeclaredKeys
from hanok.parts.serving.beside import Bulk, score_beside
from hanok.parts.serving.reading import read
from hanok.server import api
from hanok.server.app import Server
from hanok.server.audit import GROUP_S, Trail
from hanok.server.auth import SECRET_MIN, Gatekeeper
from hanok.server.ending import KEEPERS_S, REPLIES_S, end_in_time, ending_in_order
from hanok.server.grpc_inference import GrpcServer
from hanok.server.inference import Inference
from hanok.server.metrics import ServerMetrics
from hanok.server.reading import ReadingProcess
from hanok.server.rehearsing import RehearsalProcess
from hanok.server.shadowing import ShadowProcess

log = logging.getLogger("hanok.server")
SYNC_S = 1.0
SWITCH_S = 0.0005
TICK_S = 60.0
GUARD_S = 3.0
FOLLOW_S = 1.0  # another server on the same store deploys too
TELL_S = 0.5
UPKEEP_S = 3600.0
REHEARSE_S = 600.0
COLLECTED_EVERY = (50_000, 20, 50)  # by default a history of 100,000 points is looked through 140 times as it grows


def bind(host: str, port: int) -> socket.socket:
    """One listening socket. A second server on the port is an error, so the port is not shared. Raises PortInUse."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise PortInUse(f"{host}:{port} cannot be used: {error.strerror}; choose another with --port") from None
    return listener


def admin_secret() -> str:
    """`HANOK_ADMIN_SECRET`, "" when it is not set. Raises ConfigError when it is short."""
    secret = os.environ.get("HANOK_ADMIN_SECRET", "")
    if secret and len(secret) < SECRET_MIN:
        raise ConfigError(f"HANOK_ADMIN_SECRET has {len(secret)} characters; it needs at least {SECRET_MIN}")
    return secret


def asks_for_login(host: str, *, secret: str, has_owner: bool, login: bool = False) -> bool:
    """Whether a server on this host does. Raises ConfigError where it must and nobody could log in."""
    loopback = host == "localhost" or _is_loopback(host)
    if loopback and not secret and not login:
        return False
    if not secret and not has_owner:
        without = "leave --login out" if loopback else "use --host 127.0.0.1"
        raise ConfigError(
            f"a login is asked for on {host}, and nobody could log in: make an owner first (hanok user add NAME --role "
            f"owner), or export HANOK_ADMIN_SECRET (at least {SECRET_MIN} characters), or {without}"
        )
    return True


def build(app: App, secret: str = "", *, team: bool | None = None) -> Server:
    """The ASGI application over an open home. For a `team` (always so with a secret) it asks for a login."""
    from hanok.server import feast, features, login, mlflow, pages, recording, tables

    team = bool(secret) if team is None else team
    metrics = ServerMetrics()
    gatekeeper = Gatekeeper(secret, access=app.access, team=team, clock=app.clock, shared=bool(app.config.metadata_url))
    app.metadata.strict = team
    routes = [
        *api.routes(app, team=team),
        *recording.routes(app),
        *tables.routes(app),
        *features.routes(app),
        *feast.routes(app),
        *mlflow.routes(app.tracking),
        *login.routes(app, gatekeeper),
        *pages.routes(app, metrics),
    ]
    if app.config.mlflow_ui:
        from hanok.server.mlflow import ui

        routes += ui.routes(ui.build_folder(app.config.mlflow_ui), routes)
    if os.environ.get("HANOK_TEST") == "1" and not team:
        from hanok.server import testing

        routes += testing.routes(app)
    trail = Trail(app.access, app.clock) if team else None
    inference = Inference(app.serving, metrics, app.metadata.require_model, spine_keys(app))
    return Server(routes, inference, gatekeeper, metrics, trail)


def spine_keys(app: App) -> Callable[[str], Sequence[Sequence[str]] | None]:
    """The keys of a model's spine, as it is declared and as the versions that answer were; None for a model that nobody
    declared."""

    def keys(name: str) -> Sequence[Sequence[str]] | None:
        declared = app.serving.keys
        try:
            each = declared.each(name) if isinstance(declared, DeclaredKeys) else ()
            present = [m for m in app.training.models() if m.name == name and not each]
            return [tuple(own) for own in each] or [app.features.spine_keys(m) for m in present] or None
        except HanokError:
            return None

    return keys


def serve(
    app: App,
    listener: socket.socket,
    *,
    secret: str = "",
    team: bool | None = None,
    ready: Callable[[str], None] = lambda _: None,
    grpc: tuple[str, int] | None = None,
    grace_s: float | None = None,
) -> None:
    """Serve until interrupted. `ready` is called with the address once requests are answered. With `grace_s` the
    process ends at the latest so long after it was told to stop. `grpc` is the host and port for callers of gRPC."""
    import uvicorn

    from hanok.server.protocol import Bounded

    host, port = listener.getsockname()[:2]
    address = f"http://{'[' + host + ']' if ':' in host else host}:{port}"
    built = build(app, secret, team=team)
    config = uvicorn.Config(
        built,
        http=Bounded,
        ws="none",
        access_log=False,
        log_level="warning",
        timeout_keep_alive=30,
        timeout_graceful_shutdown=None if grace_s is None else round(REPLIES_S),
    )
    server = uvicorn.Server(config)
    calls = None if grpc is None else GrpcServer(built, *grpc)

    def started() -> None:
        if calls is not None and built.loop is not None:
            calls.start(built.loop)
        ready(address)

    stopping = threading.Event()
    keepers = [
        threading.Thread(target=_every, args=(stopping, SYNC_S, app.log.sync), name="hanok-log-sync", daemon=True),
        threading.Thread(
            target=_every,
            args=(stopping, TICK_S, lambda: _tick(app), *((app.bus.drain,) if app.keeps_data else ())),
            name="hanok-tick",
            daemon=True,
        ),
        threading.Thread(
            target=_every, args=(stopping, FOLLOW_S, app.serving.refresh), name="hanok-follow", daemon=True
        ),
        threading.Thread(target=_every, args=(stopping, GROUP_S, built.keep), name="hanok-audit", daemon=True),
        threading.Thread(
            target=_every,
            args=(stopping, TELL_S, app.upkeep.tell_registry_webhooks),
            name="hanok-webhooks",
            daemon=True,
        ),
        threading.Thread(
            target=_every,
            args=(stopping, UPKEEP_S, app.upkeep.forget_old, app.upkeep.forget_old),
            name="hanok-upkeep",
            daemon=True,
        ),
    ]
    if app.keeps_data:  # a training is long: rollouts are looked at beside it
        keepers += [
            threading.Thread(
                target=_every,
                args=(stopping, TICK_S, lambda: _train(app), app.training.resume, app.bus.drain),
                name="hanok-train",
                daemon=True,
            ),
            threading.Thread(
                target=_every, args=(stopping, GUARD_S, app.upkeep.guard), name="hanok-guard", daemon=True
            ),
            threading.Thread(
                target=_every,
                args=(stopping, REHEARSE_S, lambda: app.rehearsals.rehearse_new(find(app, Evidence))),
                name="hanok-rehearse",
                daemon=True,
            ),
        ]
    limits = Limits(app.config.training_limit, memory_of(app.config.training_memory_gb))
    app.executing.executor = Processes(
        app.home.work, limits, lambda: project_file(app.config, app.home), app.home.searches
    )
    app.executing.queries = QueryProcesses(app.home.work)
    shadows = ShadowProcess(app.home.blobs, app.home.log)

    def scored(bulk: Bulk) -> Sequence[bytes]:
        """Models that have a process of their own are asked there; the others share the one of shadows."""
        if any(app.packages.is_foreign(digest) for digest in bulk.packages.values()):
            return score_beside(app.packages, bulk)
        return shadows(bulk)

    app.serving.score_shadows_with(scored, shadows.finish)
    reading = app.log.reader = ReadingProcess()
    rehearsing = app.rehearsals.elsewhere = RehearsalProcess(app.home.blobs)
    sys.setswitchinterval(SWITCH_S)  # a reply takes the interpreter back several times: background work must let it
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTED_EVERY)
    app.home.note(address)
    for keeper in keepers:
        keeper.start()
    threading.Thread(target=_announce, args=(server, stopping, started), daemon=True).start()
    end_in_time(server, lambda: _stop_work(app, stopping, rehearsing), grace_s)
    try:
        with ending_in_order():
            server.run(sockets=[listener])
    finally:
        if calls is not None:
            calls.stop(0)
        _stop_work(app, stopping, rehearsing)
        until = time.monotonic() + (30 if grace_s is None else KEEPERS_S)
        for keeper in keepers:
            keeper.join(timeout=max(0.0, until - time.monotonic()))
        app.executing.executor, app.executing.queries = Inline(), InlineQueries()
        built.close()
        app.serving.score_shadows_with(None)
        shadows.close()
        app.log.reader = read
        reading.close()
        app.rehearsals.elsewhere = None
        _attempt(built.keep)
        app.metadata.strict = False


def _stop_work(app: App, stopping: threading.Event, rehearsing: RehearsalProcess) -> None:
    """No background work begins any more, and trainings are suspended."""
    stopping.set()
    rehearsing.close()
    app.executing.close()


def _announce(server: Any, stopping: threading.Event, ready: Callable[[], None]) -> None:
    while not stopping.wait(0.02):
        if server.started:
            ready()
            return


def _every(stopping: threading.Event, seconds: float, work: Callable[[], Any], *first: Callable[[], Any]) -> None:
    """Do `first` and then `work`, and `work` again every so often; what fails is logged and tried again."""
    for step in first:
        _attempt(step)
    while not stopping.wait(seconds):
        _attempt(work)


def _attempt(work: Callable[[], Any]) -> None:
    try:
        with acting(SYSTEM):
            work()
    except HanokError as error:
        log.warning("background work: %s", error.message)
    except Exception:
        log.exception("background work failed; it is tried again")


def _train(app: App) -> None:
    """What was left meanwhile first: by a server that is gone, or by this one while its metadata was away."""
    _attempt(app.training.resume)
    app.upkeep.retrain()


def _tick(app: App) -> None:
    """Each step by itself, so that one that fails holds up no other."""
    steps: list[Callable[[], Any]] = [app.serving.compact]
    if app.keeps_data:
        steps += [
            app.tuning.give_up_all_silent,
            app.bus.drain,
            app.watching.measure_live,
            app.watching.check_feeds,
            app.bus.drain,
        ]
    for step in steps:
        _attempt(step)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
