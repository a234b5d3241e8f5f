"""A user's rows in pieces: the same rows from every form of file, however they are cut."""

import gzip
import json

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import csv
from pyarrow import parquet as pq

from hanok.core.errors import BadData
from hanok.engine.pieces import in_pieces, open_source

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), min_size=1, max_size=6)


def written(folder, table):
    pq.write_table(table, folder / "rows.parquet", row_group_size=7)
    (folder / "many").mkdir(exist_ok=True)
    pq.write_table(table.slice(0, 5), folder / "many" / "a.parquet")
    pq.write_table(table.slice(5), folder / "many" / "b.parquet")
    csv.write_csv(table, folder / "rows.csv")
    (folder / "rows.csv.gz").write_bytes(gzip.compress((folder / "rows.csv").read_bytes()))
    lines = "\n".join(json.dumps(r) for r in table.to_pylist())
    (folder / "rows.jsonl").write_text(lines)
    with pa.ipc.new_file(str(folder / "rows.arrow"), table.schema) as file:
        file.write_table(table, 4)
    return ["rows.parquet", "many", "rows.csv", "rows.csv.gz", "rows.jsonl", "rows.arrow"]


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(TEXTS, min_size=1, max_size=40), cut=st.integers(1, 41))
def test_every_form_gives_the_same_rows_in_pieces_of_the_size_asked_for(tmp_path, texts, cut):
    texts = [f"t{t}" for t in texts]  # no word for null
    table = pa.table({"n": list(range(len(texts))), "text": texts})
    for name in written(tmp_path, table):
        source = open_source(tmp_path / name)
        assert (source.rows, source.columns) == (len(texts), ("n", "text")), name
        pieces = list(source.pieces(["text"], cut))
        assert [p.num_rows for p in pieces[:-1]] == [cut] * (len(pieces) - 1)
        assert [v for p in pieces for v in p.column("text").to_pylist()] == texts, name


def test_a_delta_table_is_read_at_the_version_it_has(tmp_path):
    write_deltalake(str(tmp_path / "t"), pa.table({"n": [1, 2], "p": ["a", "b"]}), partition_by=["p"])
    first = open_source(tmp_path / "t")
    write_deltalake(str(tmp_path / "t"), pa.table({"n": [3], "p": ["a"]}), mode="append")
    second = open_source(tmp_path / "t")
    assert (first.rows, second.rows) == (2, 3)
    assert first.digest != second.digest
    assert [p.column_names for p in first.pieces(["p", "n"], 10)] == [["p", "n"]]
    assert sum(p.num_rows for p in first.pieces(["n"], 10)) == 2


def _arrow(columns, names):
    sink = pa.BufferOutputStream()
    table = pa.table([pa.array(c) for c in columns], names=names)
    with pa.ipc.new_file(sink, table.schema) as file:
        file.write_table(table)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"a,b\n1,2\n3,4,5\n", "3 values and the header 2"),
        ("a.csv", b"a,b\n1,\xff\n", "not UTF-8"),
        ("a.csv", b"a,a\n1,2\n", "twice|a"),
        ("a.csv", b"", "empty"),
        ("a.jsonl", b'{"a": 1}\n{"a": \n', "line 2"),
        ("a.jsonl", b'{"a": 1}\n[1]\n', "line 2"),
        ("a.jsonl", b'{"a": ":"}\n{"a": 1, "a": 2}\n', "line 2.*'a' stands twice"),
        ("a.arrow", _arrow([[1], [2]], ["a", "a"]), "'a' 2 times"),
        ("a.json", b'[{"a": 1}]', "one object a line"),
        ("a.parquet", b"PAR1 and no more", "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_said_before_the_first_row(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadData, match=said):
        open_source(tmp_path / name)


def test_pieces_hold_no_more_than_they_give():
    batches = (pa.record_batch({"n": list(range(i, i + 3))}) for i in range(0, 30, 3))
    assert [p.column("n").to_pylist() for p in in_pieces(batches, 7)][:2] == [list(range(7)), list(range(7, 14))]


def test_a_page_that_is_damaged_is_told_when_it_is_reached(tmp_path):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"a": list(range(10_000))}), path, compression="none", use_dictionary=False)
    damaged = bytearray(path.read_bytes())
    damaged[4:16] = b"\xff" * 12
    path.write_bytes(damaged)
    with pytest.raises(BadData, match=r"rows\.parquet cannot be read"):
        list(open_source(path).batches(["a"], 1000))
