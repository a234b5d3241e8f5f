"""What users of comparable tools have run into, as small scripts of the shared conformance material (HANOK_REPORTS).

A script prints a line for each thing that it expects and ends with 1 while one of them says WRONG. Some lines of
`csv_that_is_not_read_right` expect a sentence, not a value, and so say WRONG of every answer: those are judged here, by
what its README asks ("two columns, or a BadData that names the cause").
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.material import path_of

FOLDER = path_of("HANOK_REPORTS", "reports")
SCRIPTS = sorted(FOLDER.glob("*/repro.py")) if FOLDER is not None else []
QUICK = {"csv_that_is_not_read_right", "rules_and_filters_at_the_edge"}  # others train and serve: minutes in all
SENTENCES = {
    "latin-1 header: an error that says so": "BadData: the header .*iconv",
    "pipes": re.escape("(['id', 'x'], 1)"),
    "JSON lines under .json": re.escape("(['a'], 2)"),
    "xlsx": "BadData: .* not a CSV or Parquet file",
    "UTF-16 without a mark": "BadData: .* is UTF-16",
}
SOURCE = Path(__file__).parents[2] / "src"

if FOLDER is None:
    print("SKIPPED LOUDLY: reports is missing; set HANOK_REPORTS to a folder of scripts")  # noqa: T201


def is_right_after_all(line):
    what, _, answer = line.removeprefix("WRONG ").partition(": expected ")
    return what in SENTENCES and re.search(f"got .?{SENTENCES[what]}", answer) is not None


@pytest.mark.parametrize(
    "script",
    [pytest.param(s, marks=[] if s.parent.name in QUICK else [pytest.mark.conformance]) for s in SCRIPTS],
    ids=[s.parent.name for s in SCRIPTS],
)
def test_nothing_of_a_report_is_wrong(script):
    path = os.pathsep.join(filter(None, (str(SOURCE), os.environ.get("PYTHONPATH", ""))))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        timeout=600,
    )
    said = [line for line in done.stdout.splitlines() if line.startswith("WRONG")]
    wrong = [line for line in said if not is_right_after_all(line)]
    assert not wrong and done.returncode == (1 if said else 0), "\n".join([*wrong, done.stderr[-2000:]])
