"""MLflow's REST surface over the tracking room. An unmodified `mlflow` client works against it."""

from __future__ import annotations

from hanok.parts.tracking import Tracking
from hanok.server.mlflow import (
    artifacts,
    charts,
    datasets,
    experiments,
    gateway,
    graphql,
    logged_models,
    registry,
    runs,
    scorers,
    server_info,
    spans,
    traces,
    uploads,
    webhooks,
)
from hanok.server.mlflow.endpoint import PREFIXES, route
from hanok.server.routes import Route

__all__ = ["routes"]


def routes(tracking: Tracking) -> list[Route]:
    """Every route of the protocol, in the order to try them: the last ones answer what is left out."""
    endpoints = [
        *experiments.ENDPOINTS,
        *runs.ENDPOINTS,
        *charts.ENDPOINTS,
        *logged_models.ENDPOINTS,
        *registry.ENDPOINTS,
        *traces.ENDPOINTS,
        *webhooks.ENDPOINTS,
        *datasets.ENDPOINTS,
        *scorers.ENDPOINTS,
        *gateway.ENDPOINTS,
    ]
    calls = [route(tracking, endpoint, prefix) for endpoint in endpoints for prefix in PREFIXES]
    return [
        *spans.routes(tracking),
        *graphql.routes(tracking),
        *calls,
        *artifacts.routes(tracking),
        *uploads.routes(tracking),
        *server_info.routes(tracking),
    ]
