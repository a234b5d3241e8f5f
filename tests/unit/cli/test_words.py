"""What people type: a word that is no command, and questions where nothing is yet."""

import os

import pytest
from click.testing import CliRunner

from hanok.cli import COMMANDS, MEANT, cli


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("trian", "train"),
        ("runs", "run"),
        ("serve", "up"),
        ("Train", "train"),
        ("rolback", "rollback"),
        ("injest", "ingest"),
        ("validate", "check"),
    ],
)
def test_a_word_that_is_no_command_names_the_one_that_is_meant(word, meant):
    done = CliRunner().invoke(cli, [word, "x"])
    assert done.exit_code == 2 and f"did you mean {meant!r}?" in done.output


def test_a_word_that_is_near_none_names_none():
    done = CliRunner().invoke(cli, ["frobnicate"])
    assert done.exit_code == 2 and "did you mean" not in done.output and "hanok --help" in done.output


def test_what_people_call_a_command_elsewhere_is_no_command_here():
    assert set(MEANT.values()) <= set(COMMANDS) and not set(MEANT) & set(COMMANDS)


@pytest.mark.parametrize(
    "command", [["run", "list"], ["model", "list"], ["table", "list"], ["why", "x"], ["model", "show", "m"]]
)
def test_a_question_where_nothing_is_yet_makes_nothing_and_says_how_to_begin(command, tmp_path, monkeypatch):
    for name in [n for n in os.environ if n.startswith("HANOK_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, command)
    assert "hanok init --from" in done.output and not list(tmp_path.iterdir())
