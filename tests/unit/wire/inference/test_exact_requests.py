"""Bodies of /v2 and /invocations: read exactly, or refused with the column or tensor that is wrong."""

import json

import pytest

from hanok.core.errors import SignatureMismatch, TooLarge
from hanok.core.serving import Column, Signature
from hanok.wire.inference import cells, invocations, oip

MODEL = Signature(
    (Column("x", "INT64"), Column("y", "FP64"), Column("open", "BOOL"), Column("shop", "BYTES", ("a", "b"))),
    "binary",
    ("0", "1"),
)
NUMBERS = Signature((Column("x", "INT64"), Column("y", "FP64")), "regression")
NEWER = Signature((*NUMBERS.inputs, Column("z", "FP64")), "regression")
ONE = Signature((Column("x", "FP64"),), "regression")


def tensor(name, datatype, data, shape=None, **more):
    return {"name": name, "shape": shape or [len(data)], "datatype": datatype, "data": data, **more}


X, Y = tensor("x", "INT64", [5]), tensor("y", "FP64", [0.5])
OPEN, SHOP = tensor("open", "BOOL", [True]), tensor("shop", "BYTES", ["a"])
ROW = {"x": 5, "y": 0.5, "open": True, "shop": "a"}


def v2(body, *arms):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return oip.decode(raw, arms or (NUMBERS,))


def mlflow(body, *arms, content_type="application/json"):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return invocations.decode(raw, content_type, arms or (NUMBERS,))


# -- what is taken ---------------------------------------------------------------------------------------------------


def test_each_input_is_a_tensor_and_the_values_have_the_types_of_the_model():
    assert v2({"inputs": [SHOP, X, OPEN, Y]}, MODEL).columns == {"x": [5], "y": [0.5], "open": [True], "shop": ["a"]}


@pytest.mark.parametrize("data", [[5, None, 6, 0.5], [[5, None], [6, 0.5]]])
def test_one_numeric_matrix_flat_or_nested_stands_for_all_inputs_and_null_is_a_missing_value(data):
    found = v2({"inputs": [tensor("input-0", "FP64", data, [2, 2])]})
    assert found.columns == {"x": [5, 6], "y": [None, 0.5]}
    assert found.rows == 2


def test_null_members_are_as_if_they_were_absent():
    body = {"id": None, "parameters": None, "outputs": None, "inputs": [{**X, "parameters": None}, Y]}
    assert v2(body) == v2({"inputs": [X, Y]})


def test_a_column_of_shape_n_1_may_be_nested():
    assert v2({"inputs": [tensor("x", "INT64", [[5], [6]], [2, 1]), tensor("y", "FP64", [1, 2], [2, 1])]}).rows == 2


@pytest.mark.parametrize(
    ("datatype", "value", "seen"),
    [
        ("FP64", 5.0, 5), ("INT8", -128, -128), ("UINT64", 2**60, 2**60), ("BOOL", True, 1), ("FP32", 7, 7),
        ("INT64", 5.0, 5), ("INT64", None, None), ("FP16", 65504, 65504),
    ],
)  # fmt: skip
def test_a_number_may_come_in_any_numeric_datatype_that_holds_it(datatype, value, seen):
    found = v2({"inputs": [tensor("x", datatype, [value]), Y]}).columns["x"]
    assert found == [seen]
    assert all(v is None or type(v) is int for v in found)


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_records": [ROW, ROW]},
        {"dataframe_records": [{**ROW, "extra": [1, {"deep": ":"}]}, {**ROW, "extra": 2}]},
        {"dataframe_split": {"columns": list(ROW), "data": [list(ROW.values())] * 2}},
        {"dataframe_split": {"columns": list(ROW), "data": [list(ROW.values())] * 2, "index": [0, 1]}},
        {"instances": [ROW, ROW]},
        {"instances": [list(ROW.values())] * 2},
        {"inputs": [ROW, dict(reversed(ROW.items()))]},
        {"inputs": {n: [v, v] for n, v in ROW.items()}},
        {"inputs": {n: [v, v] for n, v in ROW.items()}, "params": {"a": 1}, "other": None},
        {"dataframe_records": [ROW, ROW], "params": None},
    ],
)
def test_each_of_mlflows_formats_gives_the_same_columns(body):
    assert mlflow(body, MODEL).columns == {n: [v, v] for n, v in ROW.items()}


def test_csv_and_parquet_are_read_by_the_types_of_the_model():
    import io

    import pyarrow as pa
    from pyarrow import parquet

    want = {"x": [5, None], "y": [0.5, 1.0], "open": [True, False], "shop": ["007", 'a,"\n']}
    csv = b'\xef\xbb\xbfshop,extra,x,y,open\r\n007,q,5,0.5,true\n"a,""\n",q,,1,0\n'
    assert mlflow(csv, MODEL, content_type=invocations.CSV).columns == want
    sink = io.BytesIO()
    parquet.write_table(pa.table({**want, "extra": [b"1", b"2"]}), sink)
    assert mlflow(sink.getvalue(), MODEL, content_type=invocations.PARQUET).columns == want


@pytest.mark.parametrize("apart", [",", ";", "\t", "|"])
def test_a_csv_has_what_it_likes_between_its_cells(apart):
    body = "\n".join(apart.join(cells) for cells in (["q,", "y", "x"], ["1,2", "0.5", "5"], ["", "1e3", "6"]))
    body = body.replace("q,", "q").replace("1,2", "12") if apart == "," else body
    assert mlflow(body.encode(), content_type=invocations.CSV).columns == {"x": [5, 6], "y": [0.5, 1000.0]}
    assert mlflow(b"x;y\n5;-0,5\n", content_type=invocations.CSV).columns == {"x": [5], "y": [-0.5]}


def test_a_column_that_only_another_arm_takes_is_handed_on_and_none_is_needed_that_only_another_takes():
    z = tensor("z", "FP64", [2.5])
    assert v2({"inputs": [X, Y, z]}, NUMBERS, NEWER).columns == {"x": [5], "y": [0.5], "z": [2.5]}
    assert v2({"inputs": [X, Y]}, NUMBERS, NEWER).columns == {"x": [5], "y": [0.5]}
    assert v2({"inputs": [X, Y]}, NEWER, NUMBERS).columns == {"x": [5], "y": [0.5]}, "one arm can answer"
    with pytest.raises(SignatureMismatch, match="no input 'z'"):
        v2({"inputs": [X, Y, z]}, NUMBERS)


# -- what is refused -------------------------------------------------------------------------------------------------

HUGE = b'{"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [1' + b"0" * 400 + b"]}]}"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"inputs": [X]}, "'y' is missing"),
        ({"inputs": [X, {**Y, "name": "Y"}]}, "'y' is missing ('Y' is none"),
        ({"inputs": [X, Y, {**X, "data": [9]}]}, "'x' stands twice"),
        ({"inputs": [X, Y, {**X, "name": "q"}]}, "no input 'q'"),
        ({"inputs": [X, tensor("y", "FP64", [[1, 2]])]}, "'y' has nested data"),
        ({"inputs": [X, tensor("y", "FP64", [{}])]}, "'y' is FP64 and holds {}"),
        ({"inputs": [X, tensor("y", "FP64", ["0.5"])]}, "'y' is FP64 and holds '0.5'"),
        ({"inputs": [X, tensor("y", "FP64", [True])]}, "'y' is FP64 and holds True"),
        ({"inputs": [X, tensor("y", "BYTES", ["0.5"])]}, "'y' is FP64, not BYTES"),
        ({"inputs": [X, tensor("y", "FP99", [1])]}, "'FP99'"),
        ({"inputs": [tensor("x", "INT64", [1.5]), Y]}, "'x' is INT64 and holds 1.5"),
        ({"inputs": [tensor("x", "FP64", [1.5]), Y]}, "'x' is INT64: 1.5 has a fraction"),
        ({"inputs": [tensor("x", "UINT8", [300]), Y]}, "'x' is UINT8 and holds 300"),
        ({"inputs": [tensor("x", "INT8", [-129]), Y]}, "'x' is INT8"),
        ({"inputs": [tensor("x", "UINT64", [-1]), Y]}, "'x' is UINT64"),
        ({"inputs": [tensor("x", "BOOL", [2]), Y]}, "'x' is BOOL and holds 2"),
        ({"inputs": [tensor("x", "INT64", [2**53 + 1]), Y]}, "2^53"),
        ({"inputs": [tensor("x", "INT64", [2**63]), Y]}, "'x' is INT64"),
        ({"inputs": [X, tensor("y", "FP32", [1e39])]}, "'y' is FP32"),
        ({"inputs": [X, tensor("y", "FP16", [65505])]}, "'y' is FP16"),
        ({"inputs": [tensor("x", "INT64", [5], [2]), Y]}, "1 values for the shape [2]"),
        ({"inputs": [tensor("x", "INT64", [5, 6]), Y]}, "'y' has 1 rows and 'x' has 2"),
        ({"inputs": [tensor("x", "INT64", [5], [-1]), Y]}, "shape [-1]"),
        ({"inputs": [tensor("x", "INT64", [5], [1, 1, 1]), Y]}, "shape [1, 1, 1]"),
        ({"inputs": [tensor("x", "INT64", [5], [1, 2]), Y]}, "shape [1, 2]"),
        ({"inputs": [tensor("m", "FP64", [1, 2, 3], [1, 3])]}, "shape [1, 3]"),
        ({"inputs": [tensor("m", "FP64", [[1, 2], [3]], [2, 2])]}, "row 1 of input 'm' has 1 values"),
        ({"inputs": [tensor("m", "FP64", [[1, 2], 3], [2, 2])]}, "row 1 of input 'm'"),
        ({"inputs": [tensor("m", "FP64", [1, 2, 3], [2, 2])]}, "3 values for the shape [2, 2]"),
        ({"inputs": [tensor("m", "BYTES", ["a", "b"], [1, 2])]}, "numeric"),
        ({"inputs": [tensor("m", "FP64", [1.5, 2], [1, 2])]}, "'x' is INT64: 1.5"),
        ({"inputs": [{k: v for k, v in X.items() if k != "data"}, Y]}, "'x' has no data"),
        ({"inputs": [X, Y], "outputs": [{"name": "q"}]}, "no output 'q'"),
        ({"inputs": [X, Y], "outputs": [{"name": "predict"}] * 2}, "twice"),
        ({"inputs": [X, Y], "id": 7}, "id"),
        ({"inputs": [X, Y], "parameters": []}, "parameters"),
        ({"inputs": [X, Y], "parameters": {"entity": "one"}}, "parameters.entity"),
        ({"inputs": [X, Y], "parameters": {"entity": {"row": [1]}}}, "'row' of parameters.entity"),
        ({"inputs": [X, Y], "parameters": {"entity": {"row": None}}}, "'row' of parameters.entity"),
        ({"inputs": [tensor("x", "INT64", [1, 2]), tensor("y", "FP64", [1, 2])],
          "parameters": {"entity": {"row": "one"}}}, "2 rows"),
        ({"inputs": {}}, "inputs"),
        ({"inputs": []}, "empty"),
        ([], "inference request"),
        (b"5", "inference request"),
        (b"null", "inference request"),
        (b"", "empty"),
        (b" \n", "empty"),
        (b"[" * 100_000, "not JSON"),
        (b'{"inputs":' * 50_000, "not JSON"),
        (HUGE, "'x' is INT64"),
        (b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1e400]}]}', "'x' is FP64"),
        (b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [NaN]}]}', "not JSON"),
        (b'{"inputs": [{"name": "x", "name": "y", "shape": [1], "datatype": "FP64"}]}', "'name' stands twice"),
        (b'{"id": "\\u003a", "id": "b", "inputs": []}', "'id' stands twice"),
        (b'{"id": "\\ud800", "inputs": []}', "not JSON"),
        (b'{"id": "\xff", "inputs": []}', "not UTF-8"),
    ],
)  # fmt: skip
def test_an_inference_request_that_does_not_fit_is_refused_and_says_what_is_wrong(body, said):
    with pytest.raises(SignatureMismatch) as caught:
        v2(body)
    assert said in caught.value.message
    caught.value.message.encode()


def test_a_misspelt_tensor_of_a_model_with_one_input_is_no_matrix():
    assert v2({"inputs": [tensor("all", "FP64", [1, 2], [2, 1])]}, ONE).columns == {"x": [1.0, 2.0]}
    with pytest.raises(SignatureMismatch, match="no input 'X'"):
        v2({"inputs": [tensor("X", "FP64", [1, 2])]}, ONE)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"dataframe_records": [{"x": 5}]}, "'y' is missing"),
        ({"dataframe_records": [{"x": 5, "Y": 1}]}, "'y' is missing ('Y' is none"),
        ({"instances": [{"foo": 1}]}, "'x' is missing"),
        ({"dataframe_records": [{"x": 5, "y": 1}, 7]}, "row 1 is no object"),
        ({"dataframe_records": [{"x": 5, "y": 1}, {"x": 5}]}, "row 1 lacks 'y'"),
        ({"dataframe_records": [{"x": 5, "y": 1}, {"x": 5, "y": 1, "z": 1}]}, "row 1 has 'z'"),
        ({"dataframe_records": {"x": [5], "y": [1]}}, "dataframe_records is a list"),
        ({"dataframe_records": [{"x": [5, 6], "y": 1}]}, "'x' is INT64: [5, 6] is a list in one cell"),
        ({"dataframe_records": [{"x": {"a": 1}, "y": 1}]}, "'x'"),
        ({"dataframe_records": [{"x": "5", "y": 1}]}, "'x' is INT64: '5' is text"),
        ({"dataframe_records": [{"x": 1.5, "y": 1}]}, "fraction"),
        ({"dataframe_records": [{"x": 2**53 + 1, "y": 1}]}, "2^53"),
        ({"dataframe_records": []}, "list of objects"),
        ({"dataframe_split": {"columns": ["x"], "data": [[5]]}}, "'y' is missing"),
        ({"dataframe_split": {"columns": ["x", "y", "x"], "data": [[5, 1, 6]]}}, "'x' stands twice"),
        ({"dataframe_split": {"columns": ["x", "y"], "data": [[5, 1], [5]]}}, "row 1 has 1 values"),
        ({"dataframe_split": {"columns": ["x", "y"], "data": [[5, 1], 5]}}, "row 1 is no list"),
        ({"dataframe_split": {"columns": ["x", 7], "data": [[5, 1]]}}, "columns are texts"),
        ({"dataframe_split": {"columns": ["x", "y"], "data": [[5, 1]], "index": [1, 2]}}, "index"),
        ({"dataframe_split": {"columns": ["x", "y"], "data": [[5, 1]], "index": []}}, "index"),
        ({"dataframe_split": {"columns": ["x", "y"], "data": [[5, 1]], "names": []}}, "dataframe_split is"),
        ({"dataframe_split": {"data": [[5, 1]]}}, "dataframe_split is"),
        ({"dataframe_split": []}, "dataframe_split is"),
        ({"inputs": {"x": [5]}}, "'y' is missing"),
        ({"inputs": {"x": [5], "y": [1, 2]}}, "'y' has 2 values"),
        ({"inputs": {"x": [5], "y": 1}}, "'y' is one value"),
        ({"inputs": {"x": [[5]], "y": [[1]]}}, "'x' is INT64: [5] is a list in one cell"),
        ({"instances": [[5, 1, 2]]}, "row 0 has 3 values"),
        ({"instances": [5, 1]}, "row 0 is no list"),
        ({"inputs": [[5, 1]], "instances": [[5, 1]]}, "has 2 of"),
        ({"x": 1}, "has 0 of"),
        ({"dataframe_records": [{"x": 5, "y": 1}], "params": [1]}, "params"),
        ([1], "has 0 of"),
        (b"7", "has 0 of"),
        (b"", "empty"),
        (b"{", "not JSON"),
        (b'{"dataframe_records": [{"x": 5, "y": 1, "x": 6}]}', "'x' stands twice"),
        (b'{"inputs": {"x": [5], "y": [1], "x": [6]}}', "'x' stands twice"),
        (b'{"dataframe_records": [{"x": 1' + b"0" * 400 + b', "y": 1}]}', "'x'"),
        (b'{"dataframe_records": [{"x": 1' + b"0" * 5000 + b', "y": 1}]}', "digits"),
        (b'{"dataframe_records": [{"x": 5, "y": 1e999}]}', "'y' is FP64"),
        (b'{"dataframe_records": [{"x": 5, "y": Infinity}]}', "not JSON"),
    ],
)  # fmt: skip
def test_an_invocation_that_does_not_fit_is_refused_and_says_what_is_wrong(body, said):
    with pytest.raises(SignatureMismatch) as caught:
        mlflow(body)
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"x,y,x\n1,2,3\n", "'x' stands twice"), (b"x,y\n1\n", "CSV"), (b"x\n1\n", "'y' is missing"), (b"", "empty"),
        (b"x,y\nabc,1\n", "'x'"), (b"x,y\n1,inf\n", "'y'"), (b"x,y\n1.5,1\n", "fraction"),
        (b"x,y\n9007199254740993,1\n", "2^53"), (b"\xff,y\n1,1\n", "not CSV: byte 0 is not UTF-8"),
        (b"a,b\n1,2\n", "none of the inputs: it has 'a', 'b'"), (b"a\n", "none of the inputs"),
        (b"a;b\n1;2\n", "with semicolons between names"), (b"a;y\n1;2\n", "'x' is missing"),
    ],
)  # fmt: skip
def test_a_csv_that_does_not_fit_is_refused(body, said):
    with pytest.raises(SignatureMismatch) as caught:
        mlflow(body, content_type=invocations.CSV)
    assert said in caught.value.message


def test_what_is_no_parquet_is_refused():
    with pytest.raises(SignatureMismatch, match="Parquet"):
        mlflow(b"PAR1 nothing PAR1", content_type=invocations.PARQUET)


def test_rows_and_values_have_a_bound(monkeypatch):
    with pytest.raises(TooLarge, match="100001 rows"):
        v2({"inputs": [tensor("x", "INT64", [], [100_001]), Y]})
    with pytest.raises(TooLarge, match="100001 rows"):
        mlflow({"inputs": {"x": [1] * 100_001, "y": [1] * 100_001}})
    monkeypatch.setattr(cells, "CELLS_MAX", 5)
    with pytest.raises(TooLarge, match="6 values"):
        mlflow({"inputs": {"x": [1] * 3, "y": [1] * 3}})


def test_text_with_colons_escapes_and_odd_letters_arrives_as_it_was_sent():
    for text in ("12:30", "a\\u003ab", '"', "ü:ß", "\u0000", "😀"):
        for ascii_only in (True, False):
            body = json.dumps({"dataframe_records": [{**ROW, "shop": text}]}, ensure_ascii=ascii_only).encode()
            assert mlflow(body, MODEL).columns["shop"] == [text]
            body = json.dumps({"inputs": [X, Y, OPEN, tensor("shop", "BYTES", [text])]}, ensure_ascii=ascii_only)
            assert v2(body.encode(), MODEL).columns["shop"] == [text]
