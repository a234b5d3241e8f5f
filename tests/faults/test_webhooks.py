"""A server killed between a change and the telling of it: who asked is told by the next one, with the same id."""

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

API = "/api/2.0/mlflow"
MODELS = 20


class Receiver:
    """A real receiver that answers 503 until it is opened, and keeps what came with its delivery id."""

    def __init__(self):
        self.open, self.got, self.refused = False, [], threading.Event()
        self.all_there = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(200 if outer.open else 503)
                self.send_header("content-length", "0")
                self.end_headers()
                if not outer.open:
                    outer.refused.set()
                    return
                outer.got.append((self.headers["X-MLflow-Delivery-Id"], body["data"]["name"]))
                if len({name for _, name in outer.got}) == MODELS:
                    outer.all_there.set()

            def log_message(self, *_):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/"


def up(folder):
    command = [sys.executable, "-m", "hanok", "up", "--home", str(folder / "home"), "--port", "0", "--json"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder, env=os.environ
    )
    return process, json.loads(process.stdout.readline())["address"]


def post(address, path, **body):
    request = urllib.request.Request(
        address + API + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as reply:
        return json.load(reply)


def test_what_was_changed_before_the_kill_is_told_after_it(tmp_path):
    (tmp_path / "hanok.toml").write_text("webhooks_allow_private = true\n")
    receiver = Receiver()
    process, address = up(tmp_path)
    try:
        event = {"entity": "REGISTERED_MODEL", "action": "CREATED"}
        post(address, "/webhooks", name="w", url=receiver.url, events=[event])
        for number in range(MODELS):
            post(address, "/registered-models/create", name=f"m{number:02}")
        assert receiver.refused.wait(20), "the first attempts met a receiver that was down"
        process.send_signal(signal.SIGKILL)
        process.wait()
        receiver.open = True
        process, address = up(tmp_path)
        assert receiver.all_there.wait(90), sorted(name for _, name in receiver.got)
        assert len({delivery for delivery, _ in receiver.got}) == MODELS, "a repeated message carries the same id"
    finally:
        process.kill()
        process.wait()
        receiver.server.shutdown()
