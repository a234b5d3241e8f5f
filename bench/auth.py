"""What a login costs: time to the answer and server CPU time of the same requests without and with an API token.

Two servers, each on a home of its own, take turns in one run, so that a busy machine disturbs both alike. The token's
user edits one project, which is the dearest case: every request is held to that project.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from bench.tools import row
from bench.tracking.clients import Connection

ROUNDS, REQUESTS = 15, 400
API = "/api/2.0/mlflow"


def measure():
    with tempfile.TemporaryDirectory() as folder:
        plain_home, team_home = Path(folder) / "plain", Path(folder) / "team"
        _hanok("user", "add", "ann", "--role", "owner", home=team_home)
        _hanok("user", "add", "bob", "--role", "editor", "--project", "default", home=team_home)
        tokens = {u: _hanok("token", "create", "t", "--user", u, home=team_home)["token"] for u in ("ann", "bob")}
        with _up(plain_home) as plain, _up(team_home, "--login") as team:
            return [
                _row(what, path, body, [(*plain, ""), (*team, tokens[user])], role)
                for what, path, body in (
                    ("experiments/get", f"{API}/experiments/get?experiment_id=0", None),
                    ("log-metric", f"{API}/runs/log-metric", {}),
                )
                for user, role in (("bob", "editor of one project"), ("ann", "owner of all"))
            ]


def _row(what, path, body, sides, role):
    """Totals of all rounds; each request goes to one side, then to the other: both live through the same."""
    sends = [_requests(port, path, body, token) for _, port, token in sides]
    connections = [Connection(port) for _, port, _ in sides]
    spent, waited = [0.0, 0.0], ([], [])
    for number in range(ROUNDS + 2):  # the first two do not count
        before = [_spent(pid) for pid, _, _ in sides]
        for both in zip(*(send(number) for send in sends), strict=True):
            for connection, data, times in zip(connections, both, waited, strict=True):
                started = time.perf_counter()
                connection.send(data)
                connection.receive()
                times.append(time.perf_counter() - started)
        if number >= 2:
            spent = [s + _spent(pid) - b for s, b, (pid, _, _) in zip(spent, before, sides, strict=True)]
    for connection in connections:
        connection.socket.close()
    per_request = [s / ROUNDS / REQUESTS * 1e6 for s in spent]
    plain, team = (statistics.median(times) for times in waited)
    cpu = f"CPU {spent[1] / spent[0]:.2f}x, {per_request[1]:.0f} us against {per_request[0]:.0f}"
    note = f"{1e6 * team:.0f} us against {1e6 * plain:.0f}; {cpu}; {ROUNDS} x {REQUESTS} requests each"
    return row(f"{what}, token of an {role}", team / plain, "x no login", note)


def _requests(port, path, body, token):
    """A function from a round's number to the bytes of its requests."""
    run = ""
    if body is not None:
        made = _send(port, f"{API}/runs/create", {"experiment_id": "0"}, token)
        run = json.loads(made)["run"]["info"]["run_id"]

    def of_round(number):
        for i in range(REQUESTS):
            step = number * REQUESTS + i
            point = {"run_id": run, "key": "m", "value": 0.5, "timestamp": 1, "step": step}
            yield _bytes(path, point if body is not None else None, token)

    return of_round


def _spent(pid):
    """CPU seconds of all threads of a process so far, to the nanosecond."""
    return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def _send(port, path, body, token):
    connection = Connection(port)
    connection.send(_bytes(path, body, token))
    return connection.receive()


def _bytes(path, body, token):
    content = b"" if body is None else json.dumps(body).encode()
    method = "GET" if body is None else "POST"
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(content)}"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    return "\r\n".join([*lines, "", ""]).encode() + content


def _hanok(*words, home):
    command = [sys.executable, "-m", "hanok", *words, "--home", str(home), "--json"]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


@contextmanager
def _up(home, *extra):
    """A server: its process id and its port."""
    command = [sys.executable, "-m", "hanok", "up", "--home", str(home), "--port", "0", "--json", *extra]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HANOK_")}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    try:
        address = json.loads(process.stdout.readline())["address"]
        yield process.pid, int(address.rpartition(":")[2])
    finally:
        process.terminate()
        process.wait(timeout=60)
