"""What the server is, and clean answers for the parts of the protocol that it leaves out."""

from __future__ import annotations

import orjson
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from hanok.core.access import Access
from hanok.parts.tracking import Tracking
from hanok.server.mlflow.endpoint import JSON, PREFIXES, answering
from hanok.server.routes import Handler, Route
from hanok.wire.mlflow.errors import NoSuchEndpoint, NotOffered

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
SPOKEN_VERSION = "3.18.0"
"""The newest MLflow whose client was tested; clients choose features by it."""


def routes(tracking: Tracking) -> list[Route]:
    left_out, not_offered, info = answering(_left_out), answering(_no_calls), _info(tracking)
    return [
        Route("GET", "/api/3.0/mlflow/server-info", info, Access.PUBLIC),
        Route("GET", "/ajax-api/3.0/mlflow/server-info", info, Access.PUBLIC),
        Route("GET", "/version", _version, Access.PUBLIC),
        Route("GET", "/ajax-api/2.0/mlflow/gateway-proxy", _no_gateway, Access.READ),
        Route("POST", "/gateway/{path:path}", not_offered, Access.READ),
        *(
            Route(method, prefix + path, not_offered, Access.READ)
            for prefix in PREFIXES
            for path in ("/gateway/{path:path}", "/scorer/invoke")
            for method in METHODS
        ),
        *(
            Route(method, prefix + "/{left_out:path}", left_out, Access.READ)
            for prefix in PREFIXES
            for method in METHODS
        ),
    ]


def _info(tracking: Tracking) -> Handler:
    """Clients choose what to use by these."""
    body = orjson.dumps(
        {
            "store_type": "SqlStore",
            "workspaces_enabled": False,
            "trace_archival_enabled": False,
            "multipart_uploads_enabled": tracking.uploads is not None,
            "multipart_downloads_enabled": True,
            "features_enabled": {"gateway": False},
        }
    )

    async def handle(request: Request) -> Response:
        return Response(body, media_type=JSON)

    return handle


async def _version(request: Request) -> Response:
    return PlainTextResponse(SPOKEN_VERSION)


async def _no_gateway(request: Request) -> Response:
    """MLflow's pages ask which endpoints its gateway has; here is none, and that is no fault to show."""
    return Response(b'{"endpoints":[]}', media_type=JSON)


async def _no_calls(request: Request) -> Response:
    raise NotOffered(
        f"{request.method} {request.url.path[:200]}: this server keeps what a gateway is declared by (secrets, model "
        "definitions, endpoints) and calls no language model; ask the provider, or MLflow's own gateway"
    )


async def _left_out(request: Request) -> Response:
    raise NoSuchEndpoint(f"{request.method} {request.url.path[:200]} is not a part of MLflow's protocol that Hanok has")
