"""Alerts to webhooks, with a real receiver."""

import json
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from hanok.core.alerts import OPEN, Alert
from hanok.core.errors import Unsafe
from hanok.engine import notify
from hanok.engine.notify import Outbound, send

RAISED = datetime(2014, 1, 1, tzinfo=UTC)
ALERT = Alert(
    id="a1",
    kind="feed",
    subject="weather",
    severity="critical",
    fingerprint="late-feed",
    summary="weather has sent nothing for 25 h",
    state=OPEN,
    raised=RAISED,
    last_seen=RAISED,
)


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
    assert send(url, ALERT, outbound=Outbound(allow_private=True)) == "sent, 200"
    assert got[0][0]["labels"]["alertname"] == "hanok_feed"
    assert got[0][0]["annotations"]["summary"] == ALERT.summary


def test_a_private_address_is_refused_unless_allowed(receiver):
    url, got = receiver
    assert "private address" in send(url, ALERT, outbound=Outbound(allow_private=False))
    assert "private address" in send(
        url.replace("127.0.0.1", "localhost"), ALERT, outbound=Outbound(allow_private=False)
    )
    assert got == []


def test_redirects_are_not_followed_and_failures_do_not_raise(receiver):
    url, got = receiver
    assert send(url + "/elsewhere", ALERT, outbound=Outbound(allow_private=True)).startswith("not sent")
    assert len(got) == 1
    assert send("http://127.0.0.1:9/", ALERT, outbound=Outbound(allow_private=True)).startswith("not sent")
    assert send("file:///etc/passwd", ALERT, outbound=Outbound(allow_private=True)).startswith("not sent")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://[64:ff9b::a00:1]/",
        "http://[2002:a00:1::]/",
        "http://[fe80::1]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://0.0.0.0:80/",
        "http://224.0.0.1/",
        "http://100.64.0.1/",
        "http://user:hunter2@example.com/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "http:///nohost",
        "http://[broken",
        "http://example.com:99999/",
        "http://example.com/\r\nX-Injected: 1",
    ],
)
def test_addresses_that_must_not_be_reached_are_refused_before_anything_is_sent(url):
    outbound = Outbound(allow_private=False)
    with pytest.raises(Unsafe):
        outbound.check(url)
    reply = outbound.post(url, b"{}", {})
    assert (reply.refused, reply.temporary) == (True, False)
    assert "hunter2" not in reply.error


def test_a_name_that_changes_after_it_was_checked_is_not_looked_up_again(receiver, monkeypatch):
    url, got = receiver
    asked = []

    def first_public_then_private(host, port, **_):
        asked.append(host)
        address = "93.184.216.34" if len(asked) == 1 else "127.0.0.1"
        return [(2, 1, 6, "", (address, port))]

    connected = []

    def refuse(address, timeout):
        connected.append(address[0])
        raise ConnectionRefusedError("nobody is there")

    monkeypatch.setattr(notify.socket, "getaddrinfo", first_public_then_private)
    monkeypatch.setattr(notify.socket, "create_connection", refuse)
    port = int(url.rsplit(":", 1)[1])
    reply = Outbound(allow_private=False).post(f"http://rebinding.example:{port}/", b"{}", {})
    assert (asked, connected, got) == (["rebinding.example"], ["93.184.216.34"], [])
    assert reply.temporary


def test_one_private_address_among_public_ones_is_enough_to_refuse(monkeypatch):
    both = [(2, 1, 6, "", ("93.184.216.34", 80)), (2, 1, 6, "", ("10.0.0.1", 80))]
    monkeypatch.setattr(notify.socket, "getaddrinfo", lambda *_, **__: both)
    with pytest.raises(Unsafe, match=r"10\.0\.0\.1"):
        Outbound(allow_private=False).check("https://two.example/")


def test_a_proxy_of_the_environment_is_not_asked(receiver, monkeypatch):
    url, got = receiver
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert Outbound(allow_private=True).post(url, b"[]", {}).status == 200
    assert got == [[]]
