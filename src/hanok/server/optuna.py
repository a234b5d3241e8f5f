"""Optuna's clients beside the HTTP server."""

from __future__ import annotations

from hanok.core.errors import ConfigError
from hanok.engine.app import App


def serve_optuna(app: App, port: int, *, team: bool) -> None:
    """Let Optuna's clients on this machine use the home as their storage. Raises ConfigError for a team's server:
    Optuna's protocol has no login."""
    if team:
        raise ConfigError("--optuna is for a server without a login: Optuna's gRPC protocol cannot say who calls")
    from hanok.parts.tuning.optuna_storage import OptunaStorage, serve

    serve(OptunaStorage(app.metadata, app.clock), "127.0.0.1", port)
