"""The year of flights through the whole loop."""

import os
import resource
import subprocess
import tempfile
import time

from bench.tools import hanok, row


def measure():
    with tempfile.TemporaryDirectory() as home:
        before = os.times()
        started = time.perf_counter()
        subprocess.run(
            hanok("demo", "--headless", "--json", "--home", f"{home}/h"), check=True, stdout=subprocess.DEVNULL
        )
        wall = time.perf_counter() - started
        after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return [
        row("make demo: 336,776 flights, day by day", wall, "s"),
        row("the same", cpu, "s CPU"),
        row("largest memory of a process so far", memory, "MB"),
    ]
