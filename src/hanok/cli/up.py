from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from hanok.cli.output import say


@click.command()
@click.option("--home", type=click.Path(path_type=Path), help="The home (default: hanok.toml, HANOK_HOME, ./.hanok).")
@click.option("--host", default="127.0.0.1", show_default=True, help="Any host but loopback asks for a login.")
@click.option("--port", default=5000, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--mlflow-ui",
    is_flag=False,
    flag_value="installed",
    metavar="[DIR]",
    help="Serve MLflow's own web UI at /mlflow/, from the mlflow package beside Hanok or in DIR.",
)
@click.option(
    "--optuna",
    default=0,
    metavar="PORT",
    type=click.IntRange(0, 65535),
    help="Serve Optuna's GrpcStorageProxy clients on this port of 127.0.0.1.",
)
@click.option(
    "--grpc",
    default=0,
    metavar="PORT",
    type=click.IntRange(0, 65535),
    help="Answer inference.GRPCInferenceService (Triton's and KServe's clients) on this port of the same host.",
)
@click.option("--login", is_flag=True, help="Ask for a login on loopback too, behind a proxy.")
@click.option("--json", "as_json", is_flag=True, help="Print the address as JSON when ready.")
def up(
    home: Path | None, host: str, port: int, login: bool, mlflow_ui: str | None, optuna: int, grpc: int, as_json: bool
) -> None:
    """Serve everything from one process, in the foreground, until interrupted."""
    from hanok.engine.app import open_app
    from hanok.engine.config import load_config
    from hanok.server.ending import GRACE_S
    from hanok.server.optuna import serve_optuna
    from hanok.server.run import admin_secret, asks_for_login, bind, serve

    config = load_config(Path.cwd())
    if home is not None:
        config = replace(config, home=home)
    if mlflow_ui is not None:
        config = replace(config, mlflow_ui=mlflow_ui)
    secret = admin_secret()
    listener = bind(host, port)
    app = open_app(config)

    def ready(address: str) -> None:
        if as_json:
            click.echo(f'{{"address": "{address}"}}')
        say(f"hanok is up at {address}  (home {app.home.root}; Ctrl-C stops it)")
        if config.mlflow_ui:
            say(f"MLflow's web UI is at {address}/mlflow/")
        if grpc:
            say(f"inference over gRPC is at {host}:{grpc}")
        if optuna:
            say(f"Optuna's clients: optuna.storages.GrpcStorageProxy(host='127.0.0.1', port={optuna})")

    try:
        team = asks_for_login(host, secret=secret, has_owner=app.access.has_owner(), login=login)
        if optuna:
            serve_optuna(app, optuna, team=team)
        serve(
            app, listener, secret=secret, team=team, ready=ready, grpc=(host, grpc) if grpc else None, grace_s=GRACE_S
        )
    finally:
        app.close()
