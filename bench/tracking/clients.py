"""Clients light enough that what is measured is the server: one thread, keep-alive connections."""

import selectors
import socket
import statistics
import time


def request(path, body):
    """The bytes of a POST."""
    lines = (
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join((*lines, "", "")).encode() + body


class Connection:
    """One keep-alive connection that has at most one request under way."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        """The body of the reply. Raises RuntimeError for any status but 200."""
        data = self.socket.recv(1 << 20)
        while b"\r\n\r\n" not in data:
            data += self.socket.recv(1 << 20)
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) < length:
            parts, missing = [body], length - len(body)
            while missing:
                part = self.socket.recv(min(missing, 1 << 20))
                if not part:
                    raise RuntimeError("the server hung up")
                parts.append(part)
                missing -= len(part)
            body = b"".join(parts)
        if b" 200 " not in head[:20]:
            raise RuntimeError(body[:200])
        return body


def get(path):
    """The bytes of a GET."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def one_client(port, requests):
    """Median seconds of a request, one after the other."""
    connection, times = Connection(port), []
    for data in requests:
        started = time.perf_counter()
        connection.send(data)
        connection.receive()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def many_clients(port, requests, clients=8):
    """Requests a second of so many connections, each with one request under way."""
    started = time.perf_counter()
    return len(replies(port, requests, clients)) / (time.perf_counter() - started)


def replies(port, requests, clients=8):
    """The bodies that came back, in the order in which they came."""
    waiting, bodies = iter(requests), []
    selector = selectors.DefaultSelector()
    for _ in range(clients):
        connection = Connection(port)
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        connection.send(next(waiting))
    while selector.get_map():
        for key, _ in selector.select():
            bodies.append(key.data.receive())
            data = next(waiting, None)
            if data is None:
                selector.unregister(key.fileobj)
                key.data.socket.close()
            else:
                key.data.send(data)
    return bodies
