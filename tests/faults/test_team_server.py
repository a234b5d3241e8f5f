"""A team on a real server: made from nothing on the command line, used over plain HTTP by several people."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.test_processes import _up

API = "/api/2.0/mlflow"


def hanok(*words, env, status=0):
    done = subprocess.run([sys.executable, "-m", "hanok", *words, "--json"], capture_output=True, text=True, env=env)
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout)


def send(address, path, body=None, *, token="", method=None, **headers):
    if token:
        headers["Authorization"] = f"Bearer {token}"
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address + path, content, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture
def team(tmp_path):
    """A server with the owner Ann and the editors Bob and Eve, and a token of each."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("HANOK_", "MLFLOW_"))}
    env["HANOK_HOME"] = str(tmp_path / "home")
    hanok("user", "add", "ann", "--role", "owner", env=env)
    hanok("user", "add", "bob", "--role", "editor", env=env)
    hanok("user", "add", "eve", "--role", "editor", "--project", "churn", env=env)
    tokens = {
        name: hanok("token", "create", "test", "--user", name, env=env)["token"] for name in ("ann", "bob", "eve")
    }
    process, address = _up(tmp_path / "home", "--login", env=env)
    try:
        yield address, tokens, env
    finally:
        process.terminate()
        process.wait(timeout=60)


def log_run(address, token, name, loss):
    body = {"experiment_id": "0", "run_name": name, "user_id": "somebody-else"}
    status, text = send(address, f"{API}/runs/create", body, token=token)
    assert status == 200, text
    run = json.loads(text)["run"]["info"]
    point = {"run_id": run["run_id"], "key": "val_loss", "value": loss, "timestamp": 1, "step": 1}
    assert send(address, f"{API}/runs/log-metric", point, token=token)[0] == 200
    return run


def test_two_users_compare_whose_run_is_best_on_one_page(team):
    address, tokens, _ = team
    mine = log_run(address, tokens["ann"], "wide-net", 0.31)
    theirs = log_run(address, tokens["bob"], "deep-net", 0.27)
    assert (mine["user_id"], theirs["user_id"]) == ("ann", "bob"), "who logged in counts, not what a client claims"
    for token in (tokens["ann"], tokens["bob"]):
        status, page = send(address, "/runs?sort=metric.val_loss&order=asc", token=token)
        assert status == 200
        assert all(word in page for word in ("wide-net", "deep-net", "ann", "bob"))
        view = json.loads(send(address, "/runs.json?sort=metric.val_loss&order=asc", token=token)[1])
        assert [(row["name"], row["user"]) for row in view["rows"]] == [("deep-net", "bob"), ("wide-net", "ann")]
        best = next(b for b in view["best"] if b["key"] == "val_loss")
        assert (best["name"], best["user"], best["value"]) == ("deep-net", "bob", 0.27)
        both = f"/compare?runs={mine['run_id']},{theirs['run_id']}"
        assert 'class="best"' in send(address, both, token=token)[1]


def test_a_revoked_token_and_a_disabled_user_are_refused_at_once_also_by_requests_under_way(team):
    address, tokens, env = team
    env = {**env, "HANOK_URL": address, "HANOK_TOKEN": tokens["ann"]}
    second = hanok("token", "create", "second", "--user", "bob", env=env)

    def ask(token):
        return send(address, "/api/v1/whoami", token=token)[0]

    with ThreadPoolExecutor(2) as pool:
        assert set(pool.map(ask, [second["token"]] * 20)) == {200}
        hanok("token", "revoke", second["id"], env=env)
        assert set(pool.map(ask, [second["token"]] * 20)) == {401}
        assert set(pool.map(ask, [tokens["bob"]] * 20)) == {200}
        hanok("user", "disable", "bob", env=env)
        assert set(pool.map(ask, [tokens["bob"]] * 20)) == {401}
        hanok("user", "enable", "bob", env=env)
        assert set(pool.map(ask, [tokens["bob"]] * 20)) == {200}
        assert send(address, f"{API}/experiments/get?experiment_id=0", token=tokens["eve"])[0] == 404
        hanok("role", "grant", "eve", "reader", "--project", "default", env=env)
        assert send(address, f"{API}/experiments/get?experiment_id=0", token=tokens["eve"])[0] == 200
        hanok("role", "revoke", "eve", "--project", "default", env=env)
        assert send(address, f"{API}/experiments/get?experiment_id=0", token=tokens["eve"])[0] == 404


def test_what_was_done_and_refused_is_on_record_after_a_clean_stop(team):
    address, tokens, env = team
    log_run(address, tokens["bob"], "r", 0.5)
    for _ in range(3):
        assert send(address, "/api/v1/doctor", {}, token=tokens["bob"])[0] == 403
    assert send(address, f"{API}/runs/search", {}, token="hanok_wrong")[0] == 401
    env = {**env, "HANOK_URL": address, "HANOK_TOKEN": tokens["ann"]}
    hanok("project", "assign", "fraud", "--experiment", "Default", env=env)
    rows, known = [], set()
    for _ in range(50):
        rows = hanok("audit", env=env)
        known = {(r["actor"], r["route"].rpartition("/")[2], r["status"]) for r in rows}
        if ("ann", "assign", 200) in known:
            break
    assert {("bob", "create", 200), ("bob", "log-metric", 200), ("bob", "doctor", 403), ("", "search", 401)} <= known
    assigned = next(r for r in rows if r["route"].endswith("/assign"))
    assert (assigned["project"], assigned["resource"]) == ("fraud", "experiment Default")
    assert all(r["token"] for r in rows if r["actor"] == "bob") and all(r["address"] == "127.0.0.1" for r in rows)
    assert sum(r["times"] for r in rows if r["route"].endswith("doctor")) == 3
    assert not any(token in json.dumps(rows) for token in tokens.values())
    assert hanok("audit", "--denied", env=env)
