"""Alerts to webhooks, with a real receiver."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from hanok.engine.notify import send

ALERT = {
    "id": "a1",
    "kind": "feed",
    "subject": "weather",
    "severity": "critical",
    "fingerprint": "late-feed",
    "summary": "weather has sent nothing for 25 h",
    "raised": "2014-01-01T00:00:00+00:00",
}


@pytest.fixture
def receiver():
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            if self.path == "/elsewhere":
                self.send_response(307)
                self.send_header("location", "/")
            else:
                self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()


def test_an_alert_arrives_as_alertmanager_takes_it(receiver):
    url, got = receiver
    assert send(url, ALERT, allow_private=True) == "sent, 200"
    assert got[0][0]["labels"]["alertname"] == "hanok_feed"
    assert got[0][0]["annotations"]["summary"] == ALERT["summary"]


def test_a_private_address_is_refused_unless_allowed(receiver):
    url, got = receiver
    assert "private address" in send(url, ALERT, allow_private=False)
    assert "private address" in send(url.replace("127.0.0.1", "localhost"), ALERT, allow_private=False)
    assert got == []


def test_redirects_are_not_followed_and_failures_do_not_raise(receiver):
    url, got = receiver
    assert send(url + "/elsewhere", ALERT, allow_private=True).startswith("not sent")
    assert len(got) == 1
    assert send("http://127.0.0.1:9/", ALERT, allow_private=True).startswith("not sent")
    assert send("file:///etc/passwd", ALERT, allow_private=True).startswith("not sent")
