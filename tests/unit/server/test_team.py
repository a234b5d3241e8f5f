"""A server that a team shares: nothing is open without a login, and roles bound what one sees and changes."""

import base64
import importlib
import inspect
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from hanok.core.access import SYSTEM, Access, Actor, Call, acting
from hanok.core.clock import ReplayClock, SystemClock
from hanok.core.errors import Forbidden, NotFound
from hanok.core.records import owner_of
from hanok.engine.app import open_app
from hanok.engine.config import Config
from hanok.engine.verbs import VERBS
from hanok.engine.verbs.registry import load_all
from hanok.parts.access.directory import Directory
from hanok.parts.access.gate import Gate, Guarded
from hanok.parts.access.repositories import GuardedRepositories
from hanok.server.run import build
from hanok.stores import ports
from tests.unit.server.conftest import Sync

SECRET = "a-long-enough-secret"
API = "/api/2.0/mlflow"
PUBLIC = {
    ("GET", "/health"),
    ("GET", "/version"),
    ("GET", "/api/3.0/mlflow/server-info"),
    ("GET", "/ajax-api/3.0/mlflow/server-info"),
    ("GET", "/login"),
    ("POST", "/login"),
    ("GET", "/static/{name}"),
    *(
        (method, prefix + path)
        for prefix in ("/api/2.0/mlflow-artifacts", "/ajax-api/2.0/mlflow-artifacts")
        for method, path in (
            ("PUT", "/mpu/parts/{number:int}"),
            ("GET", "/mpu/parts"),
            ("GET", "/linked/{path:path}"),
        )
    ),
}
"""Parts of an upload and links to artifacts carry a permission of their own: without it they answer 403."""
PUBLIC_BEFORE_ROUTING = ("/ping", "/v2/health/live", "/v2/health/ready")
OF_NOBODY = {("lineage", "add"), ("outbox", "append"), ("deployments", "generation"), ("gateway_endpoints", "named")}
"""Without a rule: what is written along with what has one, and what says nothing of anybody's."""
OWN_AFFAIRS = {"/logout"}
"""What changes only what is the caller's own, and therefore asks for no more than to be somebody."""


class Team:
    """A server in team mode, and a client for whoever is asked for."""

    def __init__(self, app):
        self.app, self.server = app, build(app, SECRET)

    def anonymous(self):
        return httpx.Client(transport=Sync(self.server), base_url="http://team.example")

    def admin(self):
        return self.bearer(SECRET)

    def bearer(self, secret):
        client = self.anonymous()
        client.headers["authorization"] = f"Bearer {secret}"
        return client

    def member(self, name, roles, **token):
        """Somebody with roles, by a token of his."""
        self.app.access.add_user(name, f"the password of {name}")
        for project, role in roles.items():
            self.app.access.grant(name, role, project)
        return self.bearer(self.app.access.create_token("t", user=name, **token)[1])


@pytest.fixture
def app(tmp_path):
    made = open_app(Config(home=tmp_path / "home"), clock=SystemClock())
    yield made
    made.close()


@pytest.fixture
def team(app):
    return Team(app)


@pytest.fixture
def two_projects(team):
    """Ann edits `fraud`, Bob reads it, Eve edits `churn` and holds nothing in `fraud`, which has one of everything."""
    ann, bob = team.member("ann", {"fraud": "editor"}), team.member("bob", {"fraud": "reader"})
    eve = team.member("eve", {"churn": "editor"})
    made = {"experiment": ann.post(f"{API}/experiments/create", json={"name": "secret-plan"}).json()["experiment_id"]}
    run = ann.post(f"{API}/runs/create", json={"experiment_id": made["experiment"], "run_name": "hidden-run"}).json()
    made["run"] = run["run"]["info"]["run_id"]
    point = {"run_id": made["run"], "key": "auc", "value": 0.9, "timestamp": 1, "step": 1}
    assert ann.post(f"{API}/runs/log-metric", json=point).status_code == 200
    made["path"] = f"{made['experiment']}/{made['run']}/artifacts/notes.txt"
    assert ann.put(f"/api/2.0/mlflow-artifacts/artifacts/{made['path']}", content=b"confidential").status_code == 200
    logged = ann.post(
        f"{API}/logged-models", json={"experiment_id": made["experiment"], "name": "hidden-logged"}
    ).json()
    made["logged"] = logged["model"]["info"]["model_id"]
    made["model"] = "hidden-model"
    assert ann.post(f"{API}/registered-models/create", json={"name": made["model"]}).status_code == 200
    version = {"name": made["model"], "source": f"mlflow-artifacts:/{made['experiment']}", "run_id": made["run"]}
    assert ann.post(f"{API}/model-versions/create", json=version).status_code == 200
    alias = {"name": made["model"], "alias": "champion", "version": "1"}
    assert ann.post(f"{API}/registered-models/alias", json=alias).status_code == 200
    return {"ann": ann, "bob": bob, "eve": eve, "made": made}


def filled(route_path, **values):
    return re.sub(r"\{(\w+)(?::(\w+))?\}", lambda m: str(values.get(m[1], 1 if m[2] == "int" else "x")), route_path)


def test_no_route_is_open_without_a_login_but_those_that_are_declared(team):
    outside = team.anonymous()
    declared = {(r.method, r.path) for r in team.server.routes if r.access is Access.PUBLIC}
    assert declared == PUBLIC
    for route in team.server.routes:
        reply = outside.request(route.method, filled(route.path))
        if (route.method, route.path) not in PUBLIC:
            assert reply.status_code == 401, (route.method, route.path, reply.status_code)
        else:
            assert reply.status_code != 401, route.path
            if "/mlflow-artifacts/" in route.path:
                assert reply.status_code == 403, route.path
    for path in ("/v2", "/v2/models/m", "/v2/models/m/infer", "/v2/repository/index", "/invocations", "/v2/anything"):
        assert outside.post(path, content=b"{}").status_code == 401
        assert outside.get(path).status_code == 401
    for path in PUBLIC_BEFORE_ROUTING:
        assert outside.get(path).status_code == 200


def test_a_reader_writes_nowhere(team):
    bob = team.member("bob", {"*": "reader"})
    for route in team.server.routes:
        if route.access >= Access.USE and route.path not in OWN_AFFAIRS:
            reply = bob.request(route.method, filled(route.path))
            assert reply.status_code == 403, (route.method, route.path, reply.status_code)
    assert bob.post("/invocations", json={}).status_code == 403
    assert bob.post("/v2/models/m/infer", json={}).status_code == 403


def test_whoever_holds_no_role_gets_nothing(team):
    new = team.member("new", {})
    for route in team.server.routes:
        if route.access is not Access.PUBLIC:
            assert new.request(route.method, filled(route.path)).status_code == 403, route.path


def test_every_repository_has_a_rule_for_each_of_its_methods(team):
    """What a caller with less than all rights gets is a guarded class, or nothing."""
    rooms = [importlib.import_module(f"hanok.stores.{p.stem}") for p in Path(ports.__file__).parent.glob("ports*.py")]
    nobody = Actor("eve", Access.EDIT, {"hers": Access.OWN})
    guarded = team.app.metadata.inner.read(lambda r: GuardedRepositories(Gate(r, Call(nobody), Directory())))
    for name, member in vars(ports.Repositories).items():
        if not isinstance(member, property):
            continue
        wanted = member.fget.__annotations__["return"]
        protocol = next(getattr(room, wanted) for room in rooms if hasattr(room, wanted))
        methods = {m for m in vars(protocol) if not m.startswith("_")}
        try:
            repository = getattr(guarded, name)
        except Forbidden:
            continue
        assert isinstance(repository, Guarded), name
        assert methods == {m for m in vars(type(repository)) if not m.startswith("_")}, name
        for method in methods:  # and each of them asks something before it hands on
            said = inspect.getsource(getattr(type(repository), method))
            assert re.search(r"self\.(?!_inner)", said) or (name, method) in OF_NOBODY, (name, method)


def test_a_record_of_a_kind_without_an_owner_is_refused(team):
    bob = Actor("bob", Access.EDIT, {"*": Access.EDIT})
    with acting(bob), pytest.raises(Forbidden, match="no owner"):
        team.app.metadata.read(lambda r: r.records.get("diary", "bob", "today"))


def test_every_kind_of_record_that_is_written_has_an_owner():
    """Also those whose name stands in a constant: what is kept in a home is looked at in tests/loop."""
    source = Path(ports.__file__).parents[1]
    found = {
        kind
        for room in ("core", "parts", "engine", "sdk", "ui", "server")
        for file in (source / room).rglob("*.py")
        for kind in re.findall(r"""records\s*\.(?:put|get|list)\(\s*"([^"]+)\"""", file.read_text())
    }
    assert found and {kind for kind in found if owner_of(kind) is None} == set()


def test_what_lies_in_a_project_is_not_there_for_those_without_a_role_in_it(team, two_projects):
    eve, made = two_projects["eve"], two_projects["made"]
    hidden = ("secret-plan", "hidden-run", "hidden-logged", made["run"], made["logged"], made["model"], "confidential")
    values = {"run": made["run"], "model": made["model"], "name": made["model"], "model_id": made["logged"]}
    values |= {"node": made["run"], "subject": made["model"], "path": made["path"]}
    query = {"run_id": made["run"], "run_uuid": made["run"], "experiment_id": made["experiment"], "name": made["model"]}
    query |= {
        "experiment_name": "secret-plan",
        "version": "1",
        "path": "notes.txt",
        "metric_key": "auc",
        "alias": "champion",
    }
    query |= {"runs": f"{made['run']},{made['run']}", "artifact_file_path": "notes.txt"}
    body = {**query, "experiment_ids": [made["experiment"]], "run_ids": [made["run"]], "model_id": made["logged"]}
    asked = 0
    for route in team.server.routes:
        if route.access is not Access.READ or route.path in OWN_AFFAIRS:
            continue
        arguments = {"params": query} if route.method == "GET" else {"json": body}
        if route.path.endswith("get-history-bulk-interval"):
            arguments["params"] = {"run_ids": made["run"], "metric_key": "auc"}
        reply = eve.request(route.method, filled(route.path, **values), **arguments)
        assert reply.status_code != 500, (route.method, route.path, reply.text)
        told = reply.text if reply.status_code == 200 else ""
        for word in hidden:
            assert word not in told, (route.method, route.path, word, reply.text[:300])
        asked += 1
    assert asked > 60


def test_nobody_changes_a_project_in_which_he_only_reads(team, two_projects):
    """Bob reads `fraud`; as an editor elsewhere he passes the dispatcher and is stopped at the thing itself."""
    made = two_projects["made"]
    team.app.access.grant("bob", "editor", "churn")
    bob, eve = two_projects["bob"], two_projects["eve"]
    changes = [
        ("POST", "/experiments/update", {"experiment_id": made["experiment"], "new_name": "mine"}),
        ("POST", "/experiments/delete", {"experiment_id": made["experiment"]}),
        ("POST", "/experiments/set-experiment-tag", {"experiment_id": made["experiment"], "key": "k", "value": "v"}),
        ("POST", "/runs/create", {"experiment_id": made["experiment"]}),
        ("POST", "/runs/update", {"run_id": made["run"], "status": "KILLED"}),
        ("POST", "/runs/delete", {"run_id": made["run"]}),
        ("POST", "/runs/log-metric", {"run_id": made["run"], "key": "m", "value": 1, "timestamp": 1}),
        ("POST", "/runs/log-parameter", {"run_id": made["run"], "key": "p", "value": "1"}),
        ("POST", "/runs/set-tag", {"run_id": made["run"], "key": "t", "value": "1"}),
        ("POST", "/runs/log-batch", {"run_id": made["run"], "metrics": [{"key": "m", "value": 1, "timestamp": 1}]}),
        ("POST", "/logged-models", {"experiment_id": made["experiment"], "name": "n"}),
        ("PATCH", f"/logged-models/{made['logged']}", {"status": "LOGGED_MODEL_READY"}),
        ("POST", "/registered-models/rename", {"name": made["model"], "new_name": "mine"}),
        ("DELETE", "/registered-models/delete", {"name": made["model"]}),
        ("POST", "/registered-models/set-tag", {"name": made["model"], "key": "k", "value": "v"}),
        ("POST", "/model-versions/create", {"name": made["model"], "source": "mlflow-artifacts:/x"}),
        ("DELETE", "/model-versions/delete", {"name": made["model"], "version": "1"}),
        ("POST", "/registered-models/alias", {"name": made["model"], "alias": "next", "version": "1"}),
        ("POST", "/model-versions/transition-stage", {"name": made["model"], "version": "1", "stage": "Staging"}),
    ]
    for method, path, body in changes:
        assert bob.request(method, API + path, json=body).status_code == 403, path
        assert eve.request(method, API + path, json=body).status_code in (403, 404), path
    upload = f"/api/2.0/mlflow-artifacts/artifacts/{made['path']}"
    assert bob.put(upload, content=b"x").status_code == 403
    assert bob.delete(upload).status_code == 403
    assert eve.put(upload, content=b"x").status_code in (403, 404)
    assert bob.get(upload).content == b"confidential"
    assert (
        two_projects["ann"]
        .post(f"{API}/runs/set-tag", json={"run_id": made["run"], "key": "t", "value": "1"})
        .status_code
        == 200
    )


def test_the_jobs_of_a_model_are_seen_and_ended_by_whoever_may_do_so_with_the_model(team, two_projects):
    with acting(SYSTEM):
        hidden = team.app.durable.start("train", "hidden-model 1", {"model": "hidden-model"})
        day = team.app.durable.start("replay", "2026-01-01", {"day": "2026-01-01"})
    ann, bob, eve = two_projects["ann"], two_projects["bob"], two_projects["eve"]
    team.app.access.grant("bob", "editor", "churn")

    def listed(person):
        return [job["id"] for job in person.post("/api/v1/job/list", json={"limit": 1}).json()]

    def cancelled(person, job):
        return person.post("/api/v1/job/cancel", json={"id": job}).status_code

    assert (listed(ann), listed(bob), listed(eve)) == ([hidden.id], [hidden.id], [])
    assert (cancelled(bob, hidden.id), cancelled(eve, hidden.id), cancelled(ann, day.id)) == (403, 404, 404)
    for grants, error in (({"fraud": Access.READ}, Forbidden), ({"churn": Access.EDIT}, NotFound)):
        with acting(Actor("he", Access.EDIT, grants)):
            with pytest.raises(error):
                team.app.durable.run(hidden, lambda steps: {})
            with pytest.raises(error):
                team.app.durable.cancel(hidden.id)
    assert cancelled(ann, hidden.id) == 200
    with acting(SYSTEM):
        assert team.app.durable.get(hidden.id).state == "cancelled"
        assert team.app.durable.run(day, lambda steps: {"done": 1}) == {"done": 1}


def test_no_place_for_artifacts_leads_into_another_project(team, two_projects):
    eve, made = two_projects["eve"], two_projects["made"]
    for place in (f"mlflow-artifacts:/{made['experiment']}", f"mlflow-artifacts:/{made['experiment']}/{made['run']}"):
        body = {"name": f"trojan {place}", "artifact_location": place}
        assert eve.post(f"{API}/experiments/create", json=body).status_code in (403, 404)
    root = eve.get("/api/2.0/mlflow-artifacts/artifacts").json()
    assert root == {"files": []}


def test_new_things_land_in_the_one_project_that_their_maker_edits(team, two_projects):
    projects = team.admin().post("/api/v1/project/list", json={}).json()
    assert {"project": "fraud", "experiments": 1, "models": 1} in projects
    ann = two_projects["ann"]
    body = {"name": "elsewhere", "tags": [{"key": "hanok.project", "value": "churn"}]}
    assert ann.post(f"{API}/experiments/create", json=body).status_code == 403


def basic(user, password):
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_password_token_and_session_all_open(team):
    team.app.access.add_user("ann", "correct horse battery")
    team.app.access.grant("ann", "editor", "*")
    secret = team.app.access.create_token("laptop", user="ann")[1]
    client = team.anonymous()
    for headers in (
        basic("ann", "correct horse battery"),
        basic("whoever", secret),
        basic(secret, ""),
        {"authorization": f"Bearer {secret}"},
    ):
        assert client.get("/api/v1/whoami", headers=headers).json()["user"] == "ann"
    form = {"user": "ann", "password": "correct horse battery", "next": "/runs"}
    reply = client.post("/login", data=form)
    assert (reply.status_code, reply.headers["location"]) == (303, "/runs")
    assert "HttpOnly" in reply.headers["set-cookie"] and "SameSite=Lax" in reply.headers["set-cookie"]
    cookie = {"cookie": reply.headers["set-cookie"].partition(";")[0]}
    assert client.get("/runs", headers=cookie).status_code == 200
    change = {"name": "by cookie"}
    assert client.post(f"{API}/experiments/create", json=change, headers=cookie).status_code == 403
    same_page = {**cookie, "origin": "http://team.example"}
    assert client.post(f"{API}/experiments/create", json=change, headers=same_page).status_code == 200
    assert client.post("/logout", headers=same_page).status_code == 303
    assert client.get("/api/v1/whoami", headers=cookie).status_code == 401


def test_a_token_may_no_more_than_its_scope_and_its_user(team):
    reads = team.member("ann", {"*": "owner"}, access="reader")
    assert reads.get("/api/v1/whoami").json()["roles"] == {"*": "reader"}
    assert reads.post(f"{API}/experiments/create", json={"name": "x"}).status_code == 403
    assert reads.post("/api/v1/user/list", json={}).status_code == 403
    narrow = team.bearer(team.app.access.create_token("n", user="ann", access="editor", project="churn")[1])
    assert narrow.get("/api/v1/whoami").json()["roles"] == {"churn": "editor"}
    made = narrow.post(f"{API}/experiments/create", json={"name": "mine"}).json()["experiment_id"]
    assert team.admin().post("/api/v1/project/list", json={}).json()[0]["project"] == "churn"
    assert narrow.post(f"{API}/runs/create", json={"experiment_id": made}).status_code == 200
    assert narrow.post(f"{API}/runs/create", json={"experiment_id": "0"}).status_code == 404
    for client in (reads, narrow):
        assert client.post("/api/v1/token/create", json={"name": "more", "access": "owner"}).status_code == 403
        assert client.post("/api/v1/user/password", json={"password": "a-password-of-mine"}).status_code == 403
    weak = team.member("bob", {"churn": "reader"}, access="owner")
    assert weak.get("/api/v1/whoami").json()["roles"] == {"churn": "reader"}


def test_an_expired_token_is_refused_when_its_time_has_come(tmp_path):
    clock = ReplayClock(datetime(2026, 1, 1, tzinfo=UTC))
    app = open_app(Config(home=tmp_path / "home"), clock=clock)
    ann = Team(app).member("ann", {"*": "reader"}, days=1)
    assert ann.get("/api/v1/whoami").status_code == 200
    clock.move_to(clock.now() + timedelta(days=1))
    assert ann.get("/api/v1/whoami").status_code == 401
    app.close()


def test_a_project_owner_gives_roles_in_his_project_and_nowhere_else(team):
    team.app.access.add_user("bob", "the password of bob")
    owner = team.member("ann", {"churn": "owner"})
    grant = {"user": "bob", "role": "editor", "project": "churn"}
    assert owner.post("/api/v1/role/grant", json=grant).status_code == 200
    assert owner.post("/api/v1/role/grant", json={**grant, "project": "fraud"}).status_code == 403
    assert owner.post("/api/v1/role/grant", json={**grant, "project": "*"}).status_code == 403
    assert owner.post("/api/v1/audit", json={"project": "churn"}).status_code == 200
    assert owner.post("/api/v1/audit", json={}).status_code == 403
    assert owner.post("/api/v1/user/list", json={}).status_code == 403
    assert (
        owner.post("/api/v1/project/assign", json={"project": "churn", "experiments": ["Default"]}).status_code == 404
    )


def test_failed_logins_are_slowed_down_and_do_not_tell_who_exists(team):
    team.app.access.add_user("ann", "correct horse battery")
    client = team.anonymous()
    said = []
    for user in ("ann", "nobody"):
        replies = [client.get("/api/v1/whoami", headers=basic(user, f"guess {i}")) for i in range(7)]
        said.append([(r.status_code, r.json()["error"]["message"].partition("try again")[0]) for r in replies])
        assert replies[-1].status_code == 429 and int(replies[-1].headers["retry-after"]) >= 1
    assert said[0] == said[1]


def test_a_browser_without_a_login_is_shown_the_way_and_comes_back_only_to_this_server(team):
    page = team.anonymous().get("/models?x=1", headers={"accept": "text/html"})
    assert (page.status_code, page.headers["location"]) == (303, "/login?next=/models%3Fx%3D1")
    team.app.access.add_user("ann", "correct horse battery")
    form = {"user": "ann", "password": "correct horse battery"}
    for evil in ("https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)"):
        assert team.anonymous().post("/login", data={**form, "next": evil}).headers["location"] == "/"
    wrong = team.anonymous().post("/login", data={**form, "password": "<script>"})
    assert wrong.status_code == 401 and "<script>" not in wrong.text
    foreign = {"origin": "http://evil.example"}
    assert team.anonymous().post("/login", data=form, headers=foreign).status_code == 403


def test_work_on_nobodys_behalf_is_refused_where_a_login_is_asked_for(team):
    with pytest.raises(Forbidden, match="nobody"):
        team.app.tracking.experiments.search()
    with acting(SYSTEM):
        assert team.app.tracking.experiments.search().items


def test_the_access_page_shows_an_owner_everything_and_others_their_own(team):
    ann, bob = team.member("ann", {"*": "owner"}), team.member("bob", {"*": "reader"})
    ann.post(f"{API}/experiments/create", json={"name": "x"})
    team.server.keep()
    page = ann.get("/access").text
    assert "Log out" in page and "bob" in page and "experiments/create" in page
    theirs = bob.get("/access").text
    assert "ann" not in theirs.replace("channel", "") and "experiments/create" not in theirs


def test_a_large_file_goes_in_parts_and_comes_by_a_link_and_neither_leads_into_another_project(two_projects, team):
    ann, bob, eve, made = (two_projects[name] for name in ("ann", "bob", "eve", "made"))
    files, folder = "/api/2.0/mlflow-artifacts", f"{made['experiment']}/{made['run']}/artifacts"
    create = {"path": "big", "num_parts": 1}
    assert eve.post(f"{files}/mpu/create/{folder}", json=create).status_code == 404
    assert bob.post(f"{files}/mpu/create/{folder}", json=create).status_code == 403
    begun = ann.post(f"{files}/mpu/create/{folder}", json=create).json()
    (part,) = begun["credentials"]
    sent = team.anonymous().put(part["url"], content=b"parts carry their own permission", headers=part["headers"])
    done = {"path": "big", "upload_id": begun["upload_id"]}
    done["parts"] = [{"part_number": 1, "etag": sent.headers["etag"]}]
    assert eve.post(f"{files}/mpu/complete/{folder}", json=done).status_code == 404
    assert ann.post(f"{files}/mpu/complete/{folder}", json=done).status_code == 200
    assert eve.get(f"{files}/presigned/{folder}/big").status_code == 404
    link = bob.get(f"{files}/presigned/{folder}/big").json()
    assert team.anonymous().get(link["url"], headers=link["headers"]).content == b"parts carry their own permission"
    assert team.anonymous().get(link["url"].replace("big", "notes.txt"), headers=link["headers"]).status_code == 403


def test_webhooks_are_the_affair_of_owners_and_are_noted_in_a_team_as_well(two_projects, team):
    hook = {"name": "w", "url": "https://hooks.example/x"}
    hook["events"] = [{"entity": "REGISTERED_MODEL", "action": "CREATED"}]
    for member in (two_projects["ann"], two_projects["bob"]):
        assert member.post(f"{API}/webhooks", json=hook).status_code == 403
        assert member.get(f"{API}/webhooks").status_code == 403
    assert team.admin().post(f"{API}/webhooks", json=hook).status_code == 200
    assert two_projects["ann"].post(f"{API}/registered-models/create", json={"name": "another"}).status_code == 200
    with acting(SYSTEM):
        team.app.registry_bus.drain()
        (due,) = team.app.metadata.read(lambda r: r.webhook_deliveries.due(team.app.clock.now(), limit=9))
    assert due.event == "registered_model.created"


def test_logins_and_ones_own_tokens_are_on_record_and_reading_is_not(team):
    team.app.access.add_user("ann", "correct horse battery")
    team.app.access.grant("ann", "reader", "*")
    client = team.anonymous()
    client.post("/login", data={"user": "ann", "password": "correct horse battery"})
    client.headers.update(basic("ann", "correct horse battery"))
    assert client.post("/api/v1/token/create", json={"name": "laptop"}).status_code == 200
    assert client.post(f"{API}/runs/search", json={}).status_code == 200
    team.server.keep()
    rows = team.app.metadata.inner.read(lambda r: r.audit.list())
    found = [(e.route, e.status, e.resource.partition(" ")[0]) for e in rows]
    assert found == [("/api/v1/token/create", 200, "token"), ("/login", 303, "token")]


LOGGED_ELSEWHERE = {"predict", "predict.batch", "predict.begin", "predict.finish"}
"""What the prediction log keeps, with who asked in the batch."""
READS = {"validation.statistics", "predict.reading"}


def test_every_verb_that_writes_leaves_a_row_in_the_audit_record(app, team):
    """Also where it asks for no more than to use a model, and where it is refused."""
    load_all()
    assert {v.name for v in VERBS.values() if v.access is Access.USE and not v.audited} == LOGGED_ELSEWHERE | READS
    assert all(v.audited for v in VERBS.values() if v.access >= Access.EDIT)
    uma, admin = team.member("uma", {"*": "user"}), team.admin()
    assert admin.post(f"{API}/registered-models/create", json={"name": "m"}).status_code == 200
    for verb in VERBS.values():
        if verb.audited and verb.access is Access.USE:
            uma.post(f"/api/v1/{verb.name.replace('.', '/')}", json={"model": "m", "value": 1})
    team.server.keep()
    rows = admin.post("/api/v1/audit", json={"who": "uma"}).json()
    assert [(r["route"], r["resource"]) for r in rows] == [("/api/v1/label/add", "model m")]
