"""What `hanok check`, `profile` and `drift` say first, and what they never leave out in silence."""

import json

import pytest
from click.testing import CliRunner

from hanok.cli.validate import check, drift, profile

HEADER = "temp,city,late,when\n"
ROWS = [f"{i % 17}.5,{'abc'[i % 3]},{i % 2},2024-01-{i % 28 + 1:02d}" for i in range(400)]
SCHEMA = "default_environment: [TRAINING]\nfeature:\n  - name: temp\n    type: FLOAT\n"


def run(command, *arguments):
    done = CliRunner().invoke(command, [str(a) for a in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def moved(path, header, rows):
    (path / "a.csv").write_text(HEADER + "\n".join(ROWS) + "\n")
    (path / "b.csv").write_text(header + "\n".join(rows) + "\n")
    return run(drift, path / "a.csv", path / "b.csv")


def test_the_same_rows_have_not_moved_and_times_are_said_to_be_left_out(tmp_path):
    done = moved(tmp_path, HEADER, ROWS)
    assert done.exit_code == 0 and "when is not compared" in done.stderr


@pytest.mark.parametrize(
    ("header", "change", "said"),
    [
        (HEADER, lambda c: [c[0], "", *c[2:]], "! city went empty: 400 of 400"),
        (HEADER, lambda c: [f"t{c[0]}", *c[1:]], "! temp was FLOAT and is STRING"),
        ("temp,late,when\n", lambda c: [c[0], *c[2:]], "! city is gone"),
        ("Temp,city,late,when\n", lambda c: c, "! temp is there as 'Temp' now"),
    ],
)
def test_a_column_that_cannot_be_compared_is_named_and_fails(tmp_path, header, change, said):
    done = moved(tmp_path, header, [",".join(change(r.split(","))) for r in ROWS])
    assert done.exit_code == 1 and said in done.stderr
    assert json.loads(run(drift, tmp_path / "a.csv", tmp_path / "b.csv", "--json").stdout)[0]["moved"]


def test_numbers_that_are_given_out_go_on_and_are_no_drift_but_a_unit_of_ten_is(tmp_path):
    numbered = [f"{i},{r}" for i, r in enumerate(ROWS, 1)]
    later = [f"{i},{r}" for i, r in enumerate(ROWS, 401)]
    other = [f"{i * 10},{r}" for i, r in enumerate(ROWS, 401)]
    for rows, status in ((later, 0), (other, 1)):
        (tmp_path / "a.csv").write_text("order," + HEADER + "\n".join(numbered) + "\n")
        (tmp_path / "b.csv").write_text("order," + HEADER + "\n".join(rows) + "\n")
        done = run(drift, tmp_path / "a.csv", tmp_path / "b.csv")
        assert done.exit_code == status, done.output
        assert ("order is not compared: it numbers the rows" in done.stderr) == (status == 0)


def test_whole_numbers_that_became_decimals_are_compared_and_few_rows_are_said(tmp_path):
    done = moved(tmp_path, HEADER, [r.replace(",1,", ",1.5,") for r in ROWS[:40]])
    assert "late" in done.stdout and "40 rows only" in done.stderr


def test_failures_come_first(tmp_path):
    (tmp_path / "a.csv").write_text("id,x\n" + "".join(f"{i},1\n" for i in range(9)))
    (tmp_path / "c.dqdl").write_text('Rules = [IsComplete "id", IsUnique "id", Mean "x" > 5, Mean "gone" > 1]')
    done = run(check, tmp_path / "a.csv", "--checks", tmp_path / "c.dqdl", "--json")
    assert [o["status"] for o in json.loads(done.stdout)["outcomes"]] == ["Error", "Failure", "Success", "Success"]
    assert done.exit_code == 1


def test_an_environment_that_the_schema_does_not_name_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("temp\n1.5\n2.5\n")
    (tmp_path / "s.yaml").write_text(SCHEMA)
    refused = CliRunner().invoke(
        check, [str(tmp_path / "a.csv"), "--schema", str(tmp_path / "s.yaml"), "--environment", "TRAIN"]
    )
    assert "has no environment 'TRAIN'; it names TRAINING" in str(refused.exception)
    assert run(check, tmp_path / "a.csv", "--schema", tmp_path / "s.yaml", "--environment", "TRAINING").exit_code == 0


def test_what_was_guessed_of_a_file_is_said_and_the_words_for_null_are_an_option(tmp_path):
    (tmp_path / "a.csv").write_bytes("café,x\n1,NA\n2,-\n".encode("latin-1"))
    done = run(profile, tmp_path / "a.csv", "--encoding", "latin-1")
    assert "note: x: 1 cell NA count as null" in done.stderr
    done = run(profile, tmp_path / "a.csv", "--encoding", "latin-1", "--null", "-", "--json")
    assert [c["missing"] for c in json.loads(done.stdout)["columns"]] == [0, 0.5]
