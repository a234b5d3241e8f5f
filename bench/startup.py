"""What starting costs: CPU, so that a busy machine does not count."""

import sys
import tempfile
import time

from bench.tools import child_cpu, hanok, row, server, tree


def measure():
    empty = child_cpu([sys.executable, "-c", "pass"])
    rows = [
        row(
            "import hanok, above an empty interpreter",
            1000 * (child_cpu([sys.executable, "-c", "import hanok"]) - empty),
            "ms CPU",
        ),
        row("hanok --help, whole process", 1000 * child_cpu(hanok("--help")), "ms CPU"),
    ]
    with tempfile.TemporaryDirectory() as home:
        started = time.perf_counter()
        with server(hanok("up", "--home", home, "--port", "5971"), 5971) as process:
            wall = time.perf_counter() - started
            cpu, memory = tree(process)
    rows.append(row("hanok up on a new home, until /health answers", cpu, "s CPU", f"{wall:.1f} s wall"))
    rows.append(row("hanok up, memory when ready", memory / 1e6, "MB"))
    return rows
