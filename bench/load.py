"""A server at saturation by careless and hostile callers: what health checks and predictions of the others get.

Predictions come on time over eight connections, authorised, whatever the replies do; health is asked ten times a
second. First they are alone; then come predictions over four more connections, as fast as they are answered; then for
`SECONDS` (HANOK_LOAD_SECONDS) all the rest beside these: bodies and headers sent by half, junk, junk tokens and wrong
passwords, SQL as large as is allowed, walks of the lineage graph to any depth. At the end the server is told to stop,
and every acknowledged prediction is looked for in its log.
"""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from bench.arms import _body
from bench.auth import _hanok
from bench.serving import _home
from bench.tools import hanok, row

PORT, RATE, CONNECTIONS, QUIET_S = 5979, 40, 8, 20
SECONDS = float(os.environ.get("HANOK_LOAD_SECONDS", "600"))
PATH = "/v2/models/bench/infer"
SQL = ("SELECT sum(sqrt(a.range * b.range)) FROM range(30000) a, range(30000) b", "SELECT len(range(200000000))")


async def _reply(reader):
    """(status, body) of one HTTP reply."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.split(b"content-length:")[1].split(b"\r\n")[0]) if b"content-length:" in head else 0
    return int(head.split(b" ")[1]), await reader.readexactly(length)


class _Caller:
    """One kept connection."""

    def __init__(self, token=""):
        self._login = f"authorization: Bearer {token}\r\n" if token else ""
        self._streams = None

    async def ask(self, path, body=None):
        """(status, body); 0 where the connection was ended."""
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", PORT)
            reader, writer = self._streams
            method = "GET" if body is None else "POST"
            head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\n{self._login}content-type: application/json\r\n"
            writer.write(f"{head}content-length: {len(body or b'')}\r\n\r\n".encode() + (body or b""))
            return await _reply(reader)
        except (OSError, EOFError, asyncio.IncompleteReadError):
            self._streams = None
            return 0, b""


async def _callers(token, bodies, seconds):
    """What predictions and health checks that come on time get: seconds of each, by when they were due."""
    idle, found, ids = asyncio.Queue(), {"predict": [], "health": [], "failed": []}, []
    for _ in range(CONNECTIONS):
        idle.put_nowait(_Caller(token))
    tasks, started = [], time.perf_counter()

    async def predict(number, due):
        caller = await idle.get()
        status, content = await caller.ask(PATH, bodies[number % len(bodies)])
        idle.put_nowait(caller)
        if status == 200:
            found["predict"].append(time.perf_counter() - due)
            ids.extend(json.loads(content)["parameters"]["prediction_ids"])
        else:
            found["failed"].append(time.perf_counter() - due)

    async def health():
        caller, number = _Caller(), 0
        while (due := started + number / 10) < started + seconds:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            status, _ = await caller.ask("/health")
            found["health" if status == 200 else "failed"].append(time.perf_counter() - due)
            number += 1

    tasks.append(asyncio.create_task(health()))
    for number in range(int(RATE * seconds)):
        due = started + number / RATE
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(predict(number, due)))
    await asyncio.gather(*tasks)
    return found | {"ids": ids}


async def _busy(token, bodies, seconds):
    return await _hostile(token, bodies, seconds, alone=True)


async def _hostile(token, bodies, seconds, alone=False):
    """Everything at once, or the predictions alone; counts of what was answered with which status."""
    until, counts, rng = time.monotonic() + seconds, {}, random.Random(5)

    def count(what, status):
        counts[f"{what} {status}"] = counts.get(f"{what} {status}", 0) + 1

    async def again(what, make, pause=0.0):
        caller = _Caller(token)
        while time.monotonic() < until:
            status, _ = await caller.ask(*make())
            count(what, status)
            await asyncio.sleep(pause if status else 0.1)

    async def stalled(head):
        while time.monotonic() < until:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
                writer.write(head)
                await asyncio.wait_for(reader.read(), max(0.1, until - time.monotonic()))
                count("stalled", "ended")
                writer.close()
            except (OSError, TimeoutError):
                await asyncio.sleep(0.1)

    async def strangers():
        while time.monotonic() < until:
            caller = _Caller(f"hk_{rng.getrandbits(64):x}")
            count("junk token", (await caller.ask(PATH, bodies[0]))[0])
            form = f"user=ann&password={rng.getrandbits(32)}".encode()
            count("password", (await caller.ask("/login", form))[0])
            await asyncio.sleep(0.05)

    junk = [b"{", b"[]", b"\x00" * 2000, b'{"inputs": 7}', json.dumps({"inputs": [{"name": "x0"}] * 500}).encode()]
    half = f"POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: 900000\r\n\r\n["
    work = [again("predict", lambda: (PATH, rng.choice(bodies))) for _ in range(4)]
    if alone:
        await asyncio.gather(*work)
        return counts
    work += [stalled(half.encode() + b"1," * 500) for _ in range(60)]
    work += [stalled(b"POST / HTTP/1.1\r\nhost: localhost\r\nx-a: ") for _ in range(60)]
    work += [again("junk", lambda: (PATH, rng.choice(junk)), 0.01) for _ in range(2)]
    work += [again("sql", lambda: ("/api/v1/sql", _json(query=rng.choice(SQL), timeout_s=60))) for _ in range(3)]
    work += [again("lineage", lambda: ("/api/v1/lineage", _json(node="bench@1", depth=2**31 - 1))) for _ in range(3)]
    await asyncio.gather(*work, strangers(), strangers())
    return counts


def _json(**arguments):
    return json.dumps(arguments).encode()


def _part(name, token, seconds, folder):
    """A client in a process of its own. What is measured are replies, not how long a client waits for the processor:
    the one that measures goes before all (where that may be), the others give way."""
    command = [sys.executable, "-m", "bench.load", name, token, str(seconds), str(folder)]
    return subprocess.Popen(["nice", "-n", "-10" if name == "callers" else "5", *command], stdout=subprocess.PIPE)


def _main(name, token, seconds, folder):
    bodies = json.loads((Path(folder) / "bodies.json").read_text())
    client = {"callers": _callers, "busy": _busy, "hostile": _hostile}[name]
    sys.stdout.write(json.dumps(asyncio.run(client(token, [b.encode() for b in bodies], float(seconds)))))


def _answer(part):
    return json.loads(part.communicate()[0])


def _p99(found, what):
    return 1000 * float(np.quantile(found[what], 0.99))


def measure():
    with tempfile.TemporaryDirectory() as folder:
        home, rng = Path(folder) / "home", np.random.default_rng(3)
        app, columns = _home(home)
        app.close()
        bodies = [_body({n: ["a"] if n == "kind" else [float(rng.normal())] for n in columns}) for _ in range(256)]
        (Path(folder) / "bodies.json").write_text(json.dumps([b.decode() for b in bodies]))
        _hanok("user", "add", "ann", "--role", "owner", home=home)
        token = _hanok("token", "create", "t", "--user", "ann", home=home)["token"]
        command = hanok("up", "--home", str(home), "--port", str(PORT), "--login")
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _until_healthy(process)
            quiet = _answer(_part("callers", token, QUIET_S, folder))
            beside = _part("busy", token, QUIET_S + 2, folder)
            busy = _answer(_part("callers", token, QUIET_S, folder))
            beside.communicate()
            memory, hostile = [_memory(process)], _part("hostile", token, SECONDS + 2, folder)
            callers = _part("callers", token, SECONDS, folder)
            found = None
            while found is None:
                memory.append(_memory(process))
                try:
                    found = json.loads(callers.communicate(timeout=1)[0])
                except subprocess.TimeoutExpired:
                    continue
            process.send_signal(signal.SIGTERM)  # while the hostile ones are at it
            asked = time.monotonic()
            process.wait(timeout=60)
            ended = time.monotonic() - asked
            counts = _answer(hostile)
        finally:
            process.kill()
        lost = _lost(home, [*quiet["ids"], *busy["ids"], *found["ids"]])
        times = [_p99(found, "predict") / _p99(other, "predict") for other in (busy, quiet)]
        said = f"{times[0]:.2f}x busy, {times[1]:.2f}x alone; {len(found['failed'])} failed"
        beside = ", ".join(f"{n} {what}" for what, n in sorted(counts.items()))
        span = f"{SECONDS:g} s; beside them {beside}"
        return [
            row("predictions alone, p99", _p99(quiet, "predict"), "ms", f"{RATE} a second, authorised"),
            row("predictions beside four busy connections, p99", _p99(busy, "predict"), "ms"),
            row("predictions at saturation, p99", _p99(found, "predict"), "ms", f"{said}; {span}"),
            row("health at saturation, p99", _p99(found, "health"), "ms"),
            row("health alone, p99", _p99(quiet, "health"), "ms"),
            row("memory of the server, all processes", max(memory) / 2**20, "MB", _growth(memory)),
            row("from SIGTERM to the end", ended, "s", f"exit {process.returncode}"),
            row("acknowledged predictions that are not in the log", lost, "rows", f"of {len(found['ids'])}"),
        ]


def _growth(memory):
    low, high = (f"{m / 2**20:.0f}" for m in (memory[0], memory[-1]))
    return f"{low} MB before, {high} MB at the end"


def _memory(process):
    members = [psutil.Process(process.pid)]
    members += members[0].children(recursive=True)
    total = 0
    for member in members:
        try:
            total += member.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def _until_healthy(process):
    async def healthy():
        while (await _Caller().ask("/health"))[0] != 200:
            if process.poll() is not None:
                raise RuntimeError("the server ended")
            await asyncio.sleep(0.05)

    asyncio.run(healthy())


def _lost(home, ids):
    """How many of these predictions the home does not have."""
    from hanok.compute.duck import read
    from hanok.engine.app import open_app
    from hanok.engine.config import Config
    from hanok.parts.serving.log import TABLE

    app = open_app(Config(home=home))
    app.serving.compact(everything=True)
    known = set(read(app.tables.scan(f"{TABLE}bench"), ["prediction_id"]).column(0).to_pylist())
    app.close()
    return len(set(ids) - known)


if __name__ == "__main__":
    _main(*sys.argv[1:])
