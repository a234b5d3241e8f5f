"""python -m bench [startup] [auth] [tracking] [artifacts] [pages] [serving] [arms] [load] [labels] [loop] [diagnosis]
[validation] [tuning] [automl]

All by default. Prints a table, writes bench/results.json.
"""

import json
import platform
import sys
from importlib import import_module
from pathlib import Path

SECTIONS = (
    "startup",
    "auth",
    "tracking",
    "artifacts",
    "pages",
    "serving",
    "arms",
    "load",
    "labels",
    "loop",
    "diagnosis",
    "validation",
    "tuning",
    "automl",
)


def main() -> None:
    wanted = [s for s in sys.argv[1:] if s in SECTIONS] or SECTIONS
    results = {"python": platform.python_version(), "machine": platform.machine()}
    for section in wanted:
        rows = import_module(f"bench.{section}").measure()
        results[section] = rows
        print(f"\n{section}")
        for row in rows:
            note = f"   {row['note']}" if row.get("note") else ""
            print(f"  {row['what']:<58} {row['value']:>10}  {row['unit']:<10}{note}")
    Path(__file__).with_name("results.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
