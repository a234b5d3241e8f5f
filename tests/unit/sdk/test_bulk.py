"""Bulk predictions from where the caller is: whole or not there, the same bytes however often it was interrupted."""

import json

import pyarrow as pa
import pytest
from pyarrow import csv
from pyarrow import parquet as pq

from hanok.core.errors import BadData, Conflict, Invalid
from hanok.core.tables import Overlay
from hanok.sdk.batches import Bulk, predict_bulk
from hanok.sdk.transports import InProcess


class Killed(BaseException):
    pass


@pytest.fixture
def transport(shop):
    return InProcess(shop)


@pytest.fixture
def orders(shop, tmp_path):
    """A file of orders with the inputs of the model, the key, and one cell that no number is in."""
    inputs = shop.serving.model("returns").signature.inputs
    count = 47
    columns = {"order": [f"new{i}" for i in range(count)], "note": [f"n, {i}" for i in range(count)]}
    for place, column in enumerate(inputs):
        if column.datatype == "BYTES":
            columns[column.name] = [(column.categories or ("x",))[i % 2] for i in range(count)]
        else:
            columns[column.name] = [str(i % 7 + place) for i in range(count)]
    spoilt = next(c.name for c in inputs if c.datatype != "BYTES")
    columns[spoilt][11] = "many"
    csv.write_csv(pa.table(columns), tmp_path / "orders.csv")
    return tmp_path / "orders.csv"


def asked(orders, out, **more):
    return Bulk("returns", str(orders), out, keep=("note",), piece_rows=10, **more)


def logged(shop, batch):
    from hanok.compute.duck import read

    rows = read(shop.tables.scan("predictions--returns")).to_pylist()
    return [r for r in rows if r["batch"].startswith(f"file {batch['id']}")]


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ""])
def test_interrupted_after_any_piece_it_goes_on_to_the_same_bytes(shop, transport, orders, tmp_path, suffix):
    whole, out = tmp_path / f"whole{suffix}", tmp_path / f"out{suffix}"
    batch = predict_bulk(transport, asked(orders, whole))
    for last in (20, 47):

        def stop(done, rows, last=last):
            if done >= last:
                raise Killed

        with pytest.raises(Killed):
            predict_bulk(transport, asked(orders, out), stop)
        assert not out.exists(), "what is not whole is not there"
    assert predict_bulk(transport, asked(orders, out)) == batch
    assert predict_bulk(transport, asked(orders, out)) == batch
    assert _bytes(out) == _bytes(whole)
    answering = [r for r in logged(shop, batch) if r["arm"] != "shadow"]
    assert len(answering) == 46
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".o")] == []
    assert (batch["rows"], batch["refused"], batch["failed"]) == (47, 1, 0)


@pytest.mark.parametrize("suffix", [".csv", ""])
def test_two_runs_at_once_answer_each_row_once_and_write_no_file_together(shop, transport, orders, tmp_path, suffix):
    one, other = tmp_path / f"one{suffix}", tmp_path / f"other{suffix}"

    def meanwhile(done, rows):
        if done == 20:
            with pytest.raises(Conflict, match="another run writes"):
                predict_bulk(transport, asked(orders, one))
            predict_bulk(transport, asked(orders, other))

    batch = predict_bulk(transport, asked(orders, one), meanwhile)
    assert _bytes(one) == _bytes(other) and batch["state"] == "done"
    assert len([r for r in logged(shop, batch) if r["arm"] != "shadow"]) == 46


def _bytes(path):
    return [p.read_bytes() for p in sorted(path.iterdir())] if path.is_dir() else path.read_bytes()


def test_every_row_is_in_the_answers_with_what_was_kept_of_it(shop, transport, orders, tmp_path):
    predict_bulk(transport, asked(orders, tmp_path / "o.jsonl"))
    rows = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert [r["row"] for r in rows] == list(range(47))
    assert [r["note"] for r in rows] == [f"n, {i}" for i in range(47)]
    assert rows[11]["prediction_id"] is None and "'many' is no number" in rows[11]["error"]
    assert all(r["error"] is None and 0 <= r["score"] <= 1 for i, r in enumerate(rows) if i != 11)
    found = shop.serving.find(rows[12]["prediction_id"])
    assert found.entity == {"order": "new12"} and found.score == rows[12]["score"]


def test_a_table_of_the_home_is_answered_as_the_file_of_its_rows_is(shop, transport, orders, tmp_path):
    rows = csv.read_csv(orders)
    spoilt = next(n for n, c in zip(rows.column_names, rows.columns, strict=True) if "many" in map(str, c.to_pylist()))
    rows = rows.set_column(rows.column_names.index(spoilt), spoilt, pa.array([1] * 47))
    pq.write_table(rows, tmp_path / "plain.parquet")
    transport.ingest("plain", tmp_path / "plain.parquet", {})
    predict_bulk(transport, asked(tmp_path / "plain.parquet", tmp_path / "file.csv"))
    predict_bulk(transport, Bulk("returns", "plain", tmp_path / "table.csv", keep=("note",), piece_rows=20))
    scores = [csv.read_csv(tmp_path / f"{n}.csv").select(["row", "order", "score", "label"]) for n in ("file", "table")]
    assert scores[0].equals(scores[1])


def test_of_a_table_whose_rows_were_corrected_those_are_answered_that_count(shop, transport, orders, tmp_path):
    rows = csv.read_csv(orders)
    spoilt = next(n for n, c in zip(rows.column_names, rows.columns, strict=True) if "many" in map(str, c.to_pylist()))
    rows = rows.set_column(rows.column_names.index(spoilt), spoilt, pa.array([1] * 47))
    corrected = rows.slice(0, 25).set_column(rows.column_names.index(spoilt), spoilt, pa.array([6] * 25))
    for name, made in {"first": rows, "corrected": corrected, "whole": pa.concat_tables([rows, corrected])}.items():
        pq.write_table(made, tmp_path / f"{name}.parquet")
    transport.ingest("amended", tmp_path / "first.parquet", {})
    predict_bulk(transport, Bulk("returns", "amended", tmp_path / "before.csv", piece_rows=10))
    transport.ingest("amended", tmp_path / "corrected.parquet", {})
    predict_bulk(transport, asked(tmp_path / "whole.parquet", tmp_path / "file.csv"))
    shop.features.spines.overlay = {"amended": Overlay(("order",))}.get
    batch = predict_bulk(transport, Bulk("returns", "amended", tmp_path / "after.csv", keep=("note",), piece_rows=10))
    was, said, file = (csv.read_csv(tmp_path / f"{n}.csv").to_pylist() for n in ("before", "after", "file"))
    assert (len(was), batch["rows"]) == (47, 47), "each order once: none of the earlier forms, no other lost"
    shown = ("row", "order", "note", "score", "error")
    assert [[r[n] for n in shown] for r in said] == [[r[n] for n in shown] for r in file[25:]]
    assert {r["prediction_id"] for r in said}.isdisjoint(r["prediction_id"] for r in was)


def test_what_cannot_be_done_is_said_before_anything_is(shop, transport, orders, tmp_path):
    (tmp_path / "full").mkdir()
    before = shop.tables.size("predictions--returns")
    for out, said in (("a.xlsx", "a.xlsx|xlsx"), ("no/a.csv", "no folder"), ("full", "there already")):
        with pytest.raises(Invalid, match=said):
            predict_bulk(transport, asked(orders, tmp_path / out))
    with pytest.raises(BadData, match="no file"):
        predict_bulk(transport, Bulk("returns", str(tmp_path / "none.csv")))
    with pytest.raises(Invalid, match="no column"):
        predict_bulk(transport, Bulk("returns", str(orders), at="nowhere"))
    assert shop.tables.size("predictions--returns") == before
    assert shop.serving.batches.list() == []


def test_a_file_that_is_ingested_is_answered_in_the_same_spelling(shop, transport, orders, tmp_path):
    """Semicolons, decimal commas, a word for no value and another encoding: as the table's first file was read, or as
    it is said."""
    inputs = shop.serving.model("returns").signature.inputs
    numbers = [c.name for c in inputs if c.datatype == "FP64"]
    rows = csv.read_csv(orders, convert_options=csv.ConvertOptions(column_types={n: pa.string() for n in numbers}))
    plain, spelled = rows, rows
    for name in numbers:
        texts = [None if i == 5 else f"{i}.5" for i in range(rows.num_rows)]
        place = rows.column_names.index(name)
        plain = plain.set_column(place, name, pa.array(texts))
        spelled = spelled.set_column(
            place, name, pa.array(["k.ä." if t is None else t.replace(".", ",") for t in texts])
        )
    csv.write_csv(plain, tmp_path / "plain.csv", csv.WriteOptions(quoting_style="needed"))
    csv.write_csv(spelled, tmp_path / "there.csv", csv.WriteOptions(delimiter=";", quoting_style="needed"))
    (tmp_path / "there.csv").write_bytes((tmp_path / "there.csv").read_text().replace('"', "").encode("latin-1"))
    said = {"nulls": ["k.ä."], "encoding": "latin-1"}
    for file, more in (("plain.csv", {}), ("there.csv", said)):
        predict_bulk(transport, asked(tmp_path / file, tmp_path / f"{file}.parquet", **more))
    one, other = (pq.read_table(tmp_path / f"{f}.parquet") for f in ("plain.csv", "there.csv"))
    assert numbers and one.column("score").to_pylist() == other.column("score").to_pylist()
    assert one.column("error").to_pylist() == other.column("error").to_pylist()
    with pytest.raises(BadData, match="--encoding latin-1"):
        predict_bulk(transport, asked(tmp_path / "there.csv", tmp_path / "none.csv"))
