"""Small servers of this machine hear programs of this machine, not pages of the browser that runs on it."""

import urllib.error
import urllib.request
from email.message import Message

import pytest

from hanok.sdk.loopback import refusal
from hanok.sdk.tuning.channel import Channel

OWN = {"host": "localhost:8080"}
JSON = {"content-type": "application/json; charset=utf-8", "content-length": "2"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (OWN, None),
        ({"host": "127.0.0.1"}, None),
        (OWN | JSON, None),
        (OWN | JSON | {"origin": "http://localhost:8080"}, None),
        ({}, 403),
        ({"host": "evil.example:8080"}, 403),
        ({"host": "localhost.evil.example:8080"}, 403),
        (OWN | {"origin": "http://evil.example"}, 403),
        (OWN | {"origin": "http://localhost:3000"}, 403),
        (OWN | {"origin": "null"}, 403),
        (OWN | {"origin": ""}, 403),
        (OWN | {"content-length": "2"}, 415),
        (OWN | JSON | {"content-type": "text/plain"}, 415),
        (OWN | JSON | {"content-type": "application/x-www-form-urlencoded"}, 415),
        (OWN | JSON | {"content-length": "101"}, 413),
        (OWN | JSON | {"content-length": "\xb2"}, 413),
        (OWN | JSON | {"content-length": "9" * 5000}, 413),
        (OWN | JSON | {"content-length": "-1"}, 413),
        (OWN | {"transfer-encoding": "chunked"}, 413),
    ],
)
def test_a_request_is_heard_or_refused(headers, status):
    told = Message()
    for name, value in headers.items():
        told[name] = value
    found = refusal(told, body_max_bytes=100)
    assert (found and found.status) == status


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}, {}])
def test_the_channel_of_a_trial_refuses_what_is_not_of_a_trial(headers):
    with Channel(lambda trial, report: pytest.fail("it was heard")) as channel:
        body = b'{"type": "metric", "metric": "{\\"type\\": \\"FINAL\\", \\"value\\": \\"1\\"}"}'
        request = urllib.request.Request(channel.open(1, {}), body, headers, method="PUT")
        with pytest.raises(urllib.error.HTTPError, match=r"403|415"):
            urllib.request.urlopen(request, timeout=10)
