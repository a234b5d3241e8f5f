"""Workers and a server of one study that are killed at random, and what must be true afterwards."""

import random
import signal
import subprocess
import sys
import time

import hanok as hk
from tests.faults.writers import up

SPACE = {"x": {"_type": "uniform", "_value": [-1, 1]}}
WORKER = """
import json, os, sys, time
from pathlib import Path
import hanok as hk
from hanok.core.errors import HanokError
from hanok.sdk.tuning.functions import OVER
from hanok.sdk.tuning.patience import patient_call

place, name, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
begun = open(place / f"{name}.begun", "a")

class Anywhere:  # the server comes back on another port
    def call(self, verb, **arguments):
        return hk.open((place / "address").read_text()).call(verb, **arguments)

client = Anywhere()
while True:
    try:
        asked = patient_call(client, "study.ask", name="s", worker=name)
    except HanokError as error:
        if error.code in OVER:
            break
        raise
    if not asked:
        time.sleep(0.05)
    for trial in asked:
        print(trial["id"], file=begun, flush=True)
        try:
            for step in range(2):
                patient_call(client, "study.report", trial=trial["id"], value=1.0, step=step, token=trial["token"])
            patient_call(client, "study.tell", trial=trial["id"], value=trial["params"]["x"], token=trial["token"])
        except HanokError as error:
            if error.status != 409:
                raise
"""


def killed_study(folder, *, trials, workers, kills, seed):
    """Run a study of so many trials over workers that are killed, and a server that is too; check what was kept.

    Returns the counts by state."""
    folder.mkdir(parents=True)
    rng = random.Random(seed)
    server, address = up(folder / "home")
    (folder / "address").write_text(address)
    limits = {"max_trials": trials, "concurrency": workers, "lease_s": 3.0, "retries": 1000}
    hk.open(address).call("study.create", name="s", space=SPACE, sampler="random", limits=limits, seed=seed)
    names = (f"w{number}" for number in range(10_000))

    def worker():
        return subprocess.Popen([sys.executable, "-c", WORKER, str(folder), next(names), str(seed)])

    pool = [worker() for _ in range(workers)]
    try:
        while not _begun(folder):  # a kill before there is work tells nothing
            assert all(process.poll() is None for process in pool), "a worker has ended before it began a trial"
            time.sleep(0.05)
        for _ in range(kills):
            time.sleep(rng.uniform(0.2, 1.5))
            if rng.random() < 0.4:
                server.send_signal(signal.SIGKILL)
                server.wait()
                server, address = up(folder / "home")
                (folder / "address.new").write_text(address)
                (folder / "address.new").replace(folder / "address")
            victim = rng.randrange(workers)
            pool[victim].send_signal(signal.SIGKILL)
            pool[victim].wait()
            pool[victim] = worker()
        for process in pool:
            assert process.wait(timeout=300) == 0
        return _checked(hk.open(address), folder, trials)
    finally:
        for process in (*pool, server):
            process.kill()
            process.wait()


def _begun(folder):
    """The trials that workers took up, each as often as one did."""
    return [int(line) for file in folder.glob("*.begun") for line in file.read_text().split()]


def _checked(client, folder, trials):
    shown = client.call("study.show", name="s")
    kept = client.call("study.trials", name="s", limit=100_000)
    assert shown["state"] == "done"
    assert set(shown["counts"]) <= {"complete", "failed"}, "none runs or waits for ever"
    complete = [t for t in kept if t["state"] == "complete"]
    assert len(complete) == trials, "none is lost, none counts twice"
    assert len({t["params"]["x"] for t in complete}) == trials, "each has parameters of its own"
    assert all("has been silent" in t["reason"] for t in kept if t["state"] == "failed")
    assert all(t["values"] == [t["params"]["x"]] and list(t["reports"]) == ["0", "1"] for t in complete)
    assert sorted(t["number"] for t in kept) == list(range(len(kept)))
    begun = _begun(folder)
    assert len(begun) == len(set(begun)), "no trial was begun by two workers"
    assert {t["id"] for t in complete} <= set(begun)
    runs = client.runs(experiment="s").to_pylist()
    assert len(runs) == len(kept) and {r["status"] for r in runs} <= {"FINISHED", "FAILED"}
    return shown["counts"]
