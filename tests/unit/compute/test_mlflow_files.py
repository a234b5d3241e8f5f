"""A folder of an MLflow model is read, or refused with the file's name and why, never by an error of a parser."""

import json
import pickle
import random
import sys

import pyarrow as pa
import pytest
import yaml

from hanok.compute.runtimes import mlflow_files
from hanok.compute.runtimes.convert import convert
from hanok.core.errors import ConversionFailed, Corrupt, HanokError, MissingExtra
from tests.unit.compute.test_class_order import classifier

ROUNDS = 30
SIGNATURE = {"inputs": json.dumps([{"type": "double", "name": "a"}, {"type": "double", "name": "b"}])}


def folder(path, files, flavor, said, **more):
    body = {"flavors": {flavor: said, "python_function": {"loader_module": "x"}}, "signature": SIGNATURE, **more}
    (path / "MLmodel").write_text(yaml.safe_dump(body))
    for name, content in files.items():
        (path / name).write_bytes(content)
    return path


def loaded(path):
    logged = mlflow_files.read(path)
    return logged, mlflow_files.load(logged, mlflow_files.to_approve(logged))


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "12", "flavors:", "flavors: []", "flavors: yes", "flavors: {}", "a: [", "\x00",
        "flavors: {1: 2}",
        "flavors: {sklearn: null}", "flavors: {sklearn: yes}", "flavors: {sklearn: [model.pkl]}",
        "flavors: {sklearn: {pickled_model: ../MLmodel}}", 'flavors: {sklearn: {pickled_model: "a\\0b"}}',
        "flavors: {python_function: 3}",
    ]
    + [
        f"flavors: {{sklearn: {{pickled_model: model.pkl}}}}\n{more}"
        for more in (
            "signature: text", "signature: {inputs: '[not json'}", "signature: {inputs: '{}'}",
            "signature: {inputs: '7'}",
            "signature: {inputs: '[3]'}", "signature: {inputs: '[null]'}", "signature: {inputs: [1]}",
            """signature: {inputs: '[{"type": "tensor"}]'}""",
            """signature: {inputs: '[{"type": "tensor", "tensor-spec": {"shape": [-1, "x"], "dtype": "float32"}}]'}""",
            """signature: {inputs: '[{"type": "tensor", "tensor-spec": {"shape": 5, "dtype": "float32"}}]'}""",
            """signature: {inputs: '[{"type": "tensor", "tensor-spec": {"shape": [-1, 999999], "dtype": "float"}}]'}""",
            """signature: {inputs: '[{"type": "long", "name": "a"}, {"type": "long", "name": "a"}]'}""",
            "saved_input_example_info: text", "saved_input_example_info: {artifact_path: 7}",
        )
    ],
)  # fmt: skip
def test_a_file_mlmodel_that_says_nothing_sensible_is_refused(tmp_path, text):
    (tmp_path / "MLmodel").write_text(text)
    (tmp_path / "model.pkl").write_bytes(b"")
    with pytest.raises((Corrupt, ConversionFailed)):
        mlflow_files.read(tmp_path)
    (tmp_path / "MLmodel").write_bytes(b"\xff\xfe" + text.encode())
    with pytest.raises(Corrupt, match="MLmodel"):
        mlflow_files.read(tmp_path)


FORMATS = {
    "sklearn": ("model.pkl", {"pickled_model": "model.pkl"}),
    "joblib": ("model.joblib", {"pickled_model": "model.joblib", "serialization_format": "joblib"}),
    "skops": ("model.skops", {"pickled_model": "model.skops"}),
    "lightgbm": ("model.lgb", {"data": "model.lgb"}),
    "onnx": ("model.onnx", {"data": "model.onnx"}),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_a_damaged_model_file_is_corrupt_by_its_name_and_does_not_reach_native_code(tmp_path, kind, monkeypatch):
    if kind == "lightgbm":
        monkeypatch.setitem(sys.modules, "lightgbm", None)  # an import of it would say that it is missing
    if kind in ("onnx", "skops", "joblib"):
        pytest.importorskip(kind)
    name, said = FORMATS[kind]
    for content in (
        b"",
        b"\x80\x04x",
        b"tree\nversion=v4\nnum_class=1\n",
        b"\x00" * 40,
        b"PK\x03\x04",
        b"{}",
        b"\xff\n",
    ):
        folder(tmp_path, {name: content}, kind if kind in mlflow_files.FLAVORS else "sklearn", said)
        with pytest.raises(Corrupt, match=name):
            loaded(tmp_path)


def test_bytes_of_a_model_file_that_are_lost_or_changed_never_end_in_an_error_of_its_parser(tmp_path):
    pytest.importorskip("onnx")
    model, chance = classifier(["no", "yes"], maps=True).SerializeToString(), random.Random(0)
    for kind, name, whole in (("onnx", "model.onnx", model), ("sklearn", "model.pkl", pickle.dumps({"a": [1.5] * 20}))):
        for _ in range(ROUNDS):
            content = bytearray(whole[: chance.randrange(len(whole))] if chance.random() < 0.3 else whole)
            for _ in range(chance.randrange(3)):
                content[chance.randrange(len(content)) if content else slice(0)] = (
                    chance.randrange(256) if content else b""
                )
            if kind == "sklearn" and content[:-1] != whole[: len(content) - 1]:
                continue  # other opcodes of a pickle would run
            said = FORMATS[kind][1]
            try:
                logged, found = loaded(folder(tmp_path, {name: bytes(content)}, kind, said))
                if kind == "onnx":
                    convert(found, mlflow_files.frame_of(found, logged, None))
            except HanokError:
                pass


def test_only_kinds_of_models_of_a_library_are_made_of_what_mlmodel_names(tmp_path, monkeypatch):
    said = {"data": "model.json", "model_class": "xgboost.core.Booster"}
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(MissingExtra, match="xgboost"):
        loaded(folder(tmp_path, {"model.json": b"{}"}, "xgboost", said))
    monkeypatch.setitem(sys.modules, "xgboost", json)  # a module with functions and classes that are no models
    for named in ("xgboost.core.Nope", "xgboost.dumps", "xgboost.JSONDecoder", ""):
        with pytest.raises(Corrupt, match=r"model\.json"):
            loaded(folder(tmp_path, {"model.json": b"{}"}, "xgboost", said | {"model_class": named}))


def test_rows_and_examples_of_another_kind_than_the_signature_are_refused_or_left_out(tmp_path):
    example = {"columns": ["a", "b"], "data": [["text", [1]], ["more", [2]]]}
    files = {"model.onnx": b"x", "input_example.json": json.dumps(example).encode()}
    info = {"saved_input_example_info": {"artifact_path": "input_example.json"}}
    logged = mlflow_files.read(folder(tmp_path, files, "onnx", {"data": "model.onnx"}, **info))
    assert logged.example is not None
    assert mlflow_files.frame_of(None, logged, None).X.shape == (mlflow_files.PROOF_ROWS, 2)
    with pytest.raises(ConversionFailed, match="FP64"):
        mlflow_files.frame_of(None, logged, pa.table({"a": ["x"], "b": [1.0]}))
