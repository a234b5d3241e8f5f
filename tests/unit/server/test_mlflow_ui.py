"""MLflow's own pages served from where they are installed. The folder here stands for a build of them."""

import pytest
from starlette.applications import Starlette
from starlette.routing import Route as StarletteRoute
from starlette.testclient import TestClient

from hanok.core.clock import SystemClock
from hanok.core.errors import ConfigError
from hanok.parts.tracking import Tracking
from hanok.server.mlflow import routes, ui
from hanok.server.mlflow.endpoint import answering
from hanok.stores.blobs import LocalBlobs
from hanok.stores.sql import SqlMetadata

BUILD = "lib/python3.11/site-packages/mlflow/server/js/build"


@pytest.fixture
def environment(tmp_path):
    build = tmp_path / "env" / BUILD
    (build / "static/js").mkdir(parents=True)
    (build / "index.html").write_text("<title>MLflow</title>")
    (build / "static/js/main.js").write_text("1")
    (tmp_path / "secret").write_text("secret")
    (build / "static/way-out").symlink_to(tmp_path / "secret")
    return tmp_path / "env"


@pytest.fixture
def client(environment, tmp_path):
    metadata = SqlMetadata("sqlite://")
    found = routes(Tracking(metadata, LocalBlobs(tmp_path / "blobs"), SystemClock()))
    found += ui.routes(ui.build_folder(str(environment)), found)
    app = Starlette(routes=[StarletteRoute(r.path, answering(r.handler), methods=[r.method]) for r in found])
    with TestClient(app, follow_redirects=False) as made:
        yield made
    metadata.close()


def test_the_page_and_its_files_are_served_with_a_policy_of_their_own(client):
    page = client.get("/mlflow/")
    assert page.text == "<title>MLflow</title>"
    assert "frame-ancestors 'self'" in page.headers["content-security-policy"]
    script = client.get("/mlflow/static-files/static/js/main.js")
    assert (script.text, script.headers["content-type"]) == ("1", "text/javascript")
    assert client.get("/mlflow").headers["location"] == "/mlflow/"


@pytest.mark.parametrize(
    "path", ["static/way-out", "../secret", "..%2f..%2fsecret", "%2e%2e/secret", "/etc/passwd", "static", "", "nothing"]
)
def test_nothing_but_the_files_of_the_build_is_served(client, path):
    reply = client.get(f"/mlflow/static-files/{path}")
    assert reply.status_code == 404
    assert reply.text != "secret"


def test_what_the_pages_ask_for_answers_below_them(client):
    found = client.get("/mlflow/ajax-api/2.0/mlflow/experiments/get?experiment_id=0").json()
    assert found["experiment"]["name"] == "Default"
    assert client.get("/mlflow/ajax-api/3.0/mlflow/server-info").status_code == 200
    assert client.get("/mlflow/get-artifact?run_id=x&path=y").status_code == 404
    assert client.get("/mlflow/ajax-api/2.0/mlflow/gateway-proxy?gateway_path=x").json() == {"endpoints": []}


@pytest.mark.parametrize("inside", ["", "lib/python3.11/site-packages", "lib/python3.11/site-packages/mlflow", BUILD])
def test_an_environment_a_package_or_the_build_itself_may_be_named(environment, inside):
    assert ui.build_folder(str(environment / inside)) == (environment / BUILD).resolve()


def test_a_place_without_the_pages_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match="mlflow-skinny has no pages"):
        ui.build_folder(str(tmp_path))
