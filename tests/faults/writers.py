"""Eight clients that log to a server until it is killed, and what must be true afterwards."""

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from urllib.parse import urlsplit

API = "/api/2.0/mlflow"
CLIENTS = 8
BATCH = 5


def up(home, *options, metadata_url=""):
    """A server on a port of its own, and its address. One that says none is a failure with what it said instead."""
    command = [sys.executable, "-m", "hanok", "up", "--home", str(home), "--port", "0", "--json", *options]
    env = os.environ | ({"HANOK_METADATA_URL": metadata_url} if metadata_url else {})
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=env)
        said = process.stdout.readline()
        try:
            return process, json.loads(said)["address"]
        except (ValueError, KeyError):
            try:
                status = process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                status = process.wait()
            errors.seek(0)
            raise AssertionError(
                f"the server of {home} said no address, but {said!r}; it ended with status {status} after:\n"
                f"{errors.read()[-8000:]}"
            ) from None


class Client:
    """One connection; raises OSError or HTTPException when the server is gone."""

    def __init__(self, address):
        place = urlsplit(address)
        self.connection = http.client.HTTPConnection(place.hostname, place.port, timeout=20)

    def call(self, path, **body):
        content, kind = json.dumps(body), {"Content-Type": "application/json"}
        self.connection.request("POST", API + path, content, kind)
        reply = self.connection.getresponse()
        answer = json.loads(reply.read())
        assert reply.status == 200, answer
        return answer

    def history(self, run):
        self.connection.request("GET", f"{API}/metrics/get-history?run_id={run}&metric_key=m")
        return json.loads(self.connection.getresponse().read())["metrics"]


def killed_round(*homes, seconds, seed, metadata_url=""):
    """Let eight clients write to the servers of these homes, kill one after the other, start the first again.

    A client whose server is gone sends the batch under way once more to the next one. In the end every acknowledged
    point is there once, and of what was not acknowledged at most the batch under way, whole or not at all. Returns the
    acknowledged points."""
    servers = [up(home, metadata_url=metadata_url) for home in homes]
    addresses = [address for _, address in servers]
    first = Client(addresses[0])
    runs = [first.call("/runs/create", experiment_id="0")["run"]["info"]["run_id"] for _ in range(CLIENTS)]
    acknowledged = [0] * CLIENTS

    def write(number):
        for turn in range(len(addresses)):
            try:
                client = Client(addresses[(number + turn) % len(addresses)])
                while True:
                    start = acknowledged[number] * BATCH
                    points = [
                        {"key": "m", "value": float(start + i), "timestamp": seed, "step": start + i}
                        for i in range(BATCH)
                    ]
                    client.call("/runs/log-batch", run_id=runs[number], metrics=points)
                    acknowledged[number] += 1
            except (OSError, http.client.HTTPException, json.JSONDecodeError):
                continue

    threads = [threading.Thread(target=write, args=(n,)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for process, _ in servers:
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    for thread in threads:
        thread.join()
    process, address = up(homes[0], metadata_url=metadata_url)
    try:
        reader = Client(address)
        for number, run in enumerate(runs):
            steps = [point["step"] for point in reader.history(run)]
            assert sorted(steps) == list(range(len(steps))), f"a point is missing or twice in {run}"
            batches, rest = divmod(len(steps), BATCH)
            assert rest == 0, "half a batch was kept"
            assert acknowledged[number] <= batches <= acknowledged[number] + 1
    finally:
        process.kill()
        process.wait()
    return sum(acknowledged) * BATCH
