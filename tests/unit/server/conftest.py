"""The MLflow surface over a store in memory."""

import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route as StarletteRoute
from starlette.testclient import TestClient

from hanok.core.clock import SystemClock
from hanok.parts.tracking import Tracking
from hanok.server.mlflow import routes
from hanok.stores.blobs import LocalBlobs, LocalUploads
from hanok.stores.sealing import FernetSealer
from hanok.stores.sql import SqlMetadata

API = "/api/2.0/mlflow"


class Sync(httpx.BaseTransport):
    """Runs the ASGI application in place of a socket."""

    def __init__(self, app):
        self._inner = httpx.ASGITransport(app=app, raise_app_exceptions=True)

    def handle_request(self, request):
        async def go():
            response = await self._inner.handle_async_request(request)
            headers = [(k, v) for k, v in response.headers.multi_items() if k != "content-encoding"]
            return httpx.Response(response.status_code, headers=headers, content=await response.aread())

        return asyncio.run(go())


@pytest.fixture
def client(tmp_path):
    metadata = SqlMetadata("sqlite://")
    blobs = LocalBlobs(tmp_path / "blobs")
    tracking = Tracking(
        metadata,
        blobs,
        SystemClock(),
        uploads=LocalUploads(tmp_path / "uploads", blobs),
        sealer=FernetSealer(tmp_path / "key"),
    )
    app = Starlette(routes=[StarletteRoute(r.path, r.handler, methods=[r.method]) for r in routes(tracking)])
    with TestClient(app) as made:
        made.tracking = tracking
        yield made
    metadata.close()


@pytest.fixture
def run(client):
    return client.post(f"{API}/runs/create", json={"experiment_id": "0"}).json()["run"]["info"]["run_id"]
