"""A batch that was acknowledged and that a disk lost afterwards: it is named, and it can be sent again."""

import shutil

import pyarrow as pa
import pytest
from click.testing import CliRunner

import hanok as hk
from hanok.cli import cli
from hanok.compute.duck import read
from hanok.core.errors import Invalid
from hanok.stores.testing.tables import flush


def batch(*ids):
    return pa.table({"id": list(ids), "x": [float(i) for i in range(len(ids))]})


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "gone"])
def test_a_batch_whose_rows_a_disk_lost_is_named_and_taken_again(tmp_path, damage):
    with hk.open(tmp_path / "home") as h:
        h.app.ingesting.ingest("t", batch("a", "b"), key="first")
        flush(h.app.tables, "t")
        h.app.ingesting.ingest("t", batch("c", "d"), key="second")
        shutil.copytree(tmp_path / "home", tmp_path / "later")  # as after a kill: what is closed is flushed
    (segment,) = (tmp_path / "later/tables/t/tail").glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[-60] ^= 1
    if damage == "gone":
        segment.unlink()
    else:
        segment.write_bytes({"flip": bytes(data), "cut": bytes(data[:-60]), "empty": b""}[damage])
    with hk.open(tmp_path / "later") as h:
        (said,) = [f for f in h.call("doctor") if "rows of 1 batches are lost" in f["detail"]]
        assert (said["what"], said["ok"]) == ("table t", False) and "second" in said["detail"]
        assert h.app.ingesting.ingest("t", batch("a", "b"), key="first").accepted == 2  # it is here: nothing happens
        again = h.app.ingesting.ingest("t", batch("c", "d"), key="second")
        assert again.accepted == 2
        found = read(h.app.tables.scan("t")).to_pylist()
        assert [r["id"] for r in found] == ["a", "b", "c", "d"]
        assert found[-1]["_seq"] == 5  # numbers that named rows before name no others
        assert not [f for f in h.call("doctor") if "batches are lost" in f["detail"]]


@pytest.mark.parametrize("name", ["quarantine--t", "predictions--m", "outcomes--m"])
def test_a_table_that_hanok_keeps_takes_no_rows_from_outside(tmp_path, name):
    with hk.open(tmp_path / "home") as h, pytest.raises(Invalid, match="kept by Hanok itself"):
        h.app.ingesting.ingest(name, batch("a"), key="1")


def test_a_restored_home_that_is_damaged_is_said_by_the_exit_status(tmp_path):
    with hk.open(tmp_path / "home") as h:
        h.app.blobs.put(iter([b"precious" * 1000]))
        h.call("backup", path=str(tmp_path / "whole.tar"))
    data = (tmp_path / "whole.tar").read_bytes()
    (tmp_path / "damaged.tar").write_bytes(data.replace(b"precious", b"Precious"))
    for name, status in (("whole", 0), ("damaged", 1)):
        done = CliRunner().invoke(cli, ["restore", str(tmp_path / f"{name}.tar"), "--home", str(tmp_path / name)])
        assert done.exit_code == status, done.output
