"""What a client may send, and how long it may take to, before anybody knows who it is. Raw sockets."""

import socket
import threading

import pytest
import uvicorn

from hanok.server.protocol import Bounded, Bounds, affordable

HEAD = b"POST /x HTTP/1.1\r\nHost: h\r\n"


@pytest.fixture(scope="module")
def server():
    """Of an application that answers with the size of the body, and notes bodies that were cut off."""
    cut = threading.Event()

    async def size_of_body(scope, receive, send):
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                cut.set()
                return
            size, more = size + len(message["body"]), message["more_body"]
        said = str(size).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(said))]})
        await send({"type": "http.response.body", "body": said})

    class Impatient(Bounded):
        bounds = Bounds(headers_bytes=4096, headers_s=0.2, body_s=0.2, connections=5)

    listener = socket.create_server(("127.0.0.1", 0))
    made = uvicorn.Server(uvicorn.Config(size_of_body, http=Impatient, ws="none", lifespan="off", log_level="critical"))
    made.cut, made.address = cut, listener.getsockname()
    thread = threading.Thread(target=made.run, kwargs={"sockets": [listener]})
    thread.start()
    yield made
    made.should_exit = True
    thread.join()


@pytest.fixture
def say(server):
    """Send, and read to the end of the connection, or of the answer."""
    sockets = []

    def send(*pieces, wait=True):
        made = socket.create_connection(server.address, timeout=10)
        sockets.append(made)
        for piece in pieces:
            made.sendall(piece)
        return made.recv(1 << 16) if wait else made

    yield send
    for made in sockets:
        made.close()


def test_headers_have_a_limit_in_one_line_or_in_many_and_bodies_have_none_here(say):
    assert say(HEAD + b"X: " + b"a" * 8192).startswith(b"HTTP/1.1 431")
    assert say(b"GET /" + b"a" * 8192).startswith(b"HTTP/1.1 431")
    assert say(HEAD, *[b"X%d: a\r\n" % i for i in range(900)]).startswith(b"HTTP/1.1 431")
    assert say(HEAD + b"X: " + b"a" * 4000 + b"\r\n\r\n").startswith(b"HTTP/1.1 200")
    body = b"b" * 100_000
    assert say(HEAD + b"Content-Length: 100000\r\n\r\n" + body).endswith(b"100000")


def test_headers_and_bodies_that_do_not_go_on_are_ended_and_the_application_hears_of_it(say, server):
    assert say(b"").startswith(b"HTTP/1.1 408")
    assert say(HEAD).startswith(b"HTTP/1.1 408")
    server.cut.clear()
    assert say(HEAD + b"Content-Length: 10\r\n\r\nabc").startswith(b"HTTP/1.1 408")
    assert server.cut.wait(10)


def test_a_connection_is_used_again_and_its_next_request_is_bounded_too(say):
    kept = say(HEAD + b"Content-Length: 2\r\n\r\nab", wait=False)
    assert kept.recv(1 << 16).endswith(b"2")
    kept.sendall(HEAD + b"Content-Length: 3\r\n\r\nabc" + HEAD)
    assert kept.recv(1 << 16).endswith(b"3")
    assert kept.recv(1 << 16).startswith(b"HTTP/1.1 408")


def test_connections_have_a_limit_and_those_that_say_nothing_make_room(say, server):
    held = [say(HEAD, wait=False) for _ in range(6)]
    answers = [made.recv(1 << 16)[:12] for made in held]
    assert b"HTTP/1.1 503" in answers
    assert b"HTTP/1.1 408" in answers
    assert affordable().connections <= Bounds().connections
    while server.server_state.connections:
        threading.Event().wait(0.02)
    assert say(HEAD + b"Content-Length: 0\r\n\r\n").startswith(b"HTTP/1.1 200")
