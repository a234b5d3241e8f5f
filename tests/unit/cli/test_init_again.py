"""The file that a project began with is known when it comes again, whatever tells its rows apart."""

import csv
import json

import pytest
from click.testing import CliRunner

from hanok.cli import cli


@pytest.mark.parametrize(
    ("identified", "options"), [(False, ()), (True, ()), (False, ("--null", "none", "--encoding", "latin-1"))]
)
def test_the_first_file_again_changes_nothing(tmp_path, monkeypatch, identified, options):
    monkeypatch.chdir(tmp_path)
    rows = [[*([f"c{i}"] if identified else []), i % 9 / 2, i % 4, ["yes", "no"][i * 5 % 3 == 0]] for i in range(80)]
    with (tmp_path / "sales.csv").open("w", newline="") as file:
        csv.writer(file).writerows([[*(["customer"] if identified else []), "a", "b", "late"], *rows])

    def hanok(*arguments):
        done = CliRunner().invoke(cli, [*arguments, "--json"], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    hanok("init", "--from", "sales.csv", "--target", "late", *options)
    for _ in range(2):
        assert hanok("ingest", "sales", "sales.csv")["repeated"]
    assert {t["name"]: t["rows"] for t in hanok("table", "list") if t["name"].startswith("sales")} == {
        "sales": 80,
        "sales-labels": 80,
    }
