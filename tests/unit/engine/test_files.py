"""Files as people have them: read as they are meant, or refused with the place and what to do."""

import csv
import gzip
import io
import random

import pyarrow as pa
import pytest

from hanok.compute.schemas import check_batch
from hanok.compute.values import bring
from hanok.core.errors import BadData
from hanok.core.validation import ColumnSchema, TableSchema
from hanok.engine.files import Options, read, read_file

DIALECTS = [
    {"delimiter": d, "quoting": q, "lineterminator": e}
    for d in (",", ";", "\t", "|")
    for q, e in ((csv.QUOTE_MINIMAL, "\n"), (csv.QUOTE_ALL, "\r\n"), (csv.QUOTE_NONNUMERIC, "\n"))
]


def wrote(tmp_path, content, name="f.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def first(tmp_path, content):
    return read_file(wrote(tmp_path, content)).column(0).to_pylist()


@pytest.mark.parametrize(
    ("content", "values"),
    [
        ("zip,x\n02134,1\n00501,2\n", ["02134", "00501"]),
        ('zip,x\n"02134",1\n10115,2\n', ["02134", "10115"]),
        ("id,x\n12345678901234567890,1\n1,2\n", ["12345678901234567890", "1"]),
        ("v,x\n3.10,1\n3.1,2\n", ["3.10", "3.1"]),
        ("price,x\n3.10,1\n3.20,2\n", [3.1, 3.2]),
        ('c,x\n"NA",1\nDE,2\nNA,3\n', ["NA", "DE", None]),
        ('s,x\n"",1\n,2\na,3\n', ["", None, "a"]),
        ("n,x\n 1,1\n+2,2\n0,3\n", [1, 2, 0]),
        ("n,x\n0x1F,1\n0x2F,2\n", ["0x1F", "0x2F"]),
        ("b,x\ntrue,1\nFalse,2\n", [True, False]),
        ("n;x\n1,5;1\n2,25;2\n", [1.5, 2.25]),
        ("n,x\n9007199254740993,1\n1.5,2\n", ["9007199254740993", "1.5"]),
        ("n,x\n0.5,1\n-0.25,2\n", [0.5, -0.25]),
        ("n,x\n007,1\nabc,2\n", ["007", "abc"]),
    ],
)
def test_a_first_file_gives_each_column_the_type_that_loses_nothing(tmp_path, content, values):
    assert first(tmp_path, content) == values


def test_a_column_of_nulls_has_no_type_yet_and_dates_are_times(tmp_path):
    rows = read_file(
        wrote(tmp_path, "a,t,u\n,2024-01-31,2024-01-31T10:00:00Z\n,2024-02-01,2024-01-31 10:00:00.5+02:00\n")
    )
    assert pa.types.is_null(rows.schema.field("a").type)
    assert all(pa.types.is_timestamp(rows.schema.field(n).type) for n in "tu")


def test_what_was_guessed_and_which_words_were_null_is_said(tmp_path):
    found = read(wrote(tmp_path, "zip,c,n\n00501,NA,1\n10115,x,null\n10115,NA,2\n"))
    assert found.notes == (
        "c: 2 cells NA count as null (in quotes they are text)",
        "n: 1 cell null count as null (in quotes they are text)",
        "zip is kept as text: as a number '00501' would lose the zeros in front",
    )
    assert read(wrote(tmp_path, "c,n\nNA,1\n"), Options(nulls=())).rows.column("c").to_pylist() == ["NA"]
    assert read(wrote(tmp_path, "c,n\n-,1\nNA,2\n"), Options(nulls=("-",))).rows.column("c").to_pylist() == [None, "NA"]


def test_columns_that_a_table_knows_keep_the_text_of_the_file(tmp_path):
    found = read(wrote(tmp_path, "A,b\n3.10,True\n00501,1\n"), as_text=["a"]).rows
    assert found.column("A").to_pylist() == ["3.10", "00501"]
    assert found.column("b").to_pylist() == ["True", "1"]


@pytest.mark.parametrize(
    ("content", "names", "rows"),
    [
        ("\ufeffid,x\n1,2\n", ["id", "x"], 1),
        ("\n\r\nid;x\n1;2\n", ["id", "x"], 1),
        ("sep=;\nid;x\n1;2\n", ["id", "x"], 1),
        ('"sep=|"\r\nid|x\r\n1|2\r\n', ["id", "x"], 1),
        ('"price, EUR";"size, m2, net"\n1;2\n', ["price, EUR", "size, m2, net"], 1),
        ("id , x\n1, 2\n", ["id", "x"], 1),
        ("note\na;b\nc|d|e\n", ["note"], 2),
        (",age\n1,30\n2,40\n", ["column_1", "age"], 2),
        ('a,b\n"x;y;z","p;q"\n"x;y;z","p;q"\n', ["a", "b"], 2),
        (
            "id,note,x\n" + "".join(f'{i},"note {i}\nand, more",{i}\n' for i in range(40_000)),
            ["id", "note", "x"],
            40_000,
        ),
        ('id,note\n1,"' + "x\n" * 700_000 + '"\n2,b\n', ["id", "note"], 2),
        ("a,b", ["a", "b"], 0),
    ],
)
def test_forms_of_csv(tmp_path, content, names, rows):
    found = read_file(wrote(tmp_path, content))
    assert (found.column_names, found.num_rows) == (names, rows)
    assert read_file(wrote(tmp_path, gzip.compress(content.encode()), "f.csv.gz")).equals(found)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "id,café\n1,2\n".encode("latin-1"), "header.*UTF-8.*iconv.*encoding"),
        ("b.csv", "id,x\n1,café\n".encode("latin-1"), "'x'.*row 1.*iconv.*encoding"),
        ("c.csv", "id,x\n1,2\n".encode("utf-16"), "UTF-16"),
        ("d.csv", "id,x\n1,2\n".encode("utf-16-le"), "UTF-16"),
        ("e.xlsx", b"PK\x03\x04\x14\x00", "workbook.*save its rows as CSV"),
        ("f.csv", "a,a\n1,2\n", "'a' 2 times"),
        ("g.csv", "a,A\n1,2\n", "'a' and 'A'.*one name to SQL"),
        ("h.csv", "a, ,Column_2\n1,2,3\n", "'column_2' and 'Column_2'.*one name to SQL"),
        ("i.csv", "a,_seq\n1,2\n", "_seq.*Hanok's own"),
        ("j.csv", "a,b\n1,2\n1,2,3\n", "line 3.*3 values and the header 2"),
        ("k.csv.gz", gzip.compress(b"a,b\n1,2\n", mtime=0)[:-6], "k.csv.gz"),
        ("l.json", '{"a":1}\n{"a":\n', "line 2.*not JSON"),
        ("m.json", '{"a":1}\n{"a":"x"}\n', "'a'.*number and text"),
        ("n.csv", "\n\n", "empty"),
        ("o.parquet", b"PAR1 and nothing", "o.parquet"),
    ],
)
def test_what_cannot_be_read_says_why_and_what_to_do(tmp_path, name, content, said):
    with pytest.raises(BadData, match=said):
        read_file(wrote(tmp_path, content, name))


def test_an_encoding_can_be_named(tmp_path):
    path = wrote(tmp_path, "id;café\n1;é\n".encode("latin-1"))
    assert read(path, Options(encoding="latin-1")).rows.to_pylist() == [{"id": 1, "café": "é"}]
    path = wrote(tmp_path, "id\tx\n1\té\n".encode("utf-16"))
    assert read(path, Options(encoding="utf-16")).rows.to_pylist() == [{"id": 1, "x": "é"}]


def test_what_is_no_encoding_of_the_file_is_said(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id,x\n1,2\n")
    for encoding in ("undefined", "nope", "utf-16"):
        with pytest.raises(BadData, match=f"is not {encoding}"):
            read(path, Options(encoding=encoding))


def test_json_lines_and_lists_keep_their_texts_and_numbers(tmp_path):
    rows = [{"z": "00501", "n": 1, "f": 1, "b": True}, {"z": "1", "n": None, "f": 0.5, "t": "2024-01-31T00:00:00Z"}]
    import json

    for name, text in (("a.jsonl", "\n".join(map(json.dumps, rows))), ("b.json", json.dumps(rows))):
        found = read_file(wrote(tmp_path, text, name))
        assert found.column("z").to_pylist() == ["00501", "1"]
        assert found.column("n").to_pylist() == [1, None]
        assert found.column("f").to_pylist() == [1.0, 0.5]
        assert pa.types.is_timestamp(found.schema.field("t").type)


@pytest.mark.parametrize("seed", range(30))
def test_texts_and_numbers_survive_every_dialect(tmp_path, seed):
    """What Python's csv module writes is read back as it was, whatever stands between and around the cells."""
    rng = random.Random(seed)
    alphabet = ["a", "ü", "0", "1", ".", ",", ";", "|", "\t", '"', "\n", " ", "'", "-"]
    rows = [
        [
            "k" + "".join(rng.choices(alphabet, k=rng.randint(0, 8))),
            rng.randint(-(10**17), 10**17),
            rng.random(),
            f"{i:04d}",
        ]
        for i in range(rng.randint(5, 60))
    ]
    for dialect in DIALECTS:
        out = io.StringIO(newline="")
        csv.writer(out, **dialect).writerows([["text", "whole number", "x.y", "code"], *rows])
        found = read_file(wrote(tmp_path, out.getvalue()))
        assert found.column_names == ["text", "whole number", "x.y", "code"]
        assert [list(r.values()) for r in found.to_pylist()] == rows


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["12,5", "k.A.", "7,1"], [12.5, None, 7.1]),
        (["12,5", "1.044,2", "-7"], [12.5, 1044.2, -7.0]),
        (["12,5", "1.044", "k.A."], [12.5, 1044.0, None]),
        (["12,5", "1.044,2", "7.15"], [12.5, None, 7.15]),  # dots are points here: who can tell
        (["12.5", "1,044", "7,1"], [12.5, None, 7.1]),
        (["0.125", "12,5", ""], [0.125, 12.5, None]),
    ],
)
def test_a_decimal_comma_in_a_column_of_numbers_is_read_cell_by_cell(tmp_path, cells, values):
    path = wrote(tmp_path, "id;x\n" + "".join(f"r{i};{c}\n" for i, c in enumerate(cells)))
    column = read(path, as_text=["id", "x"], numbers=["x"]).rows.column("x")
    schema = TableSchema("t", (ColumnSchema("x", "FLOAT"),))
    checked = check_batch(pa.table({"x": column}), schema)
    assert bring(column, "FLOAT").column.to_pylist() == values
    odd = [c for c, v in zip(cells, values, strict=True) if c and v is None]
    assert checked.bad.sum() == len(odd)
    assert all(any(repr(c) in a.message for a in checked.anomalies) for c in odd)


def test_a_first_file_reads_thousands_and_a_column_of_nearly_numbers_names_the_odd_cell(tmp_path):
    assert read_file(wrote(tmp_path, "x;y\n1.044,2;1\n-7,5;1\n")).column(0).to_pylist() == [1044.2, -7.5]
    found = read(wrote(tmp_path, "x;y\nk.A.;1\n" + "7,5;1\n" * 9))
    assert pa.types.is_string(found.rows.column(0).type)
    assert "'k.A.' is no number, as 9 of 10 cells are" in found.notes[0] and "--null k.A." in found.notes[0]
