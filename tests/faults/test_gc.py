"""`hanok gc` under kill -9: whatever a path names is there, and a repetition takes the rest."""

import io
import random
import signal
import subprocess
import sys
import time

import hanok as hk

GC = """
import sys, hanok as hk
with hk.open(sys.argv[1]) as client:
    print("open", flush=True)
    client.call("gc", grace="0s")
"""
RUNS, FILES, ROUNDS = 40, 10, 6


def filled(home):
    """Every second run is deleted; each shares its first file with its neighbour."""
    with hk.open(home) as client:
        tracking = client.app.tracking
        for number in range(RUNS):
            run = tracking.runs.create("0", name=str(number))
            for file in range(FILES):
                content = f"shared {number // 2}" if file == 0 else f"{number} {file}"
                path = f"0/{run.id}/artifacts/{file}"
                tracking.artifacts.put(path, io.BytesIO(content.encode()))
            if number % 2:
                tracking.runs.delete(run.id)


def test_no_path_is_left_without_its_bytes_and_no_bytes_for_long_without_a_path(tmp_path):
    home, choice = tmp_path / "home", random.Random(7)
    filled(home)
    for _ in range(ROUNDS):
        process = subprocess.Popen([sys.executable, "-c", GC, str(home)], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(choice.uniform(0, 0.03))
        process.send_signal(signal.SIGKILL)
        process.wait()
        with hk.open(home) as client:
            named = client.app.metadata.read(lambda r: r.blob_references.direct())
            assert all(client.app.blobs.verify(digest) for digest in named)
    with hk.open(home) as client:
        client.call("gc", grace="0s")
        named = client.app.metadata.read(lambda r: r.blob_references.direct())
        assert set(client.app.blobs.digests()) == named
        kept = client.call("run.list", limit=1000)
        assert sorted(int(r["name"]) for r in kept) == list(range(0, RUNS, 2))
        assert len(named) == RUNS // 2 * FILES
