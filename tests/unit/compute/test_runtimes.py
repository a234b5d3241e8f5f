"""Models from safe formats answer as the objects they were made from."""

import sys

import numpy as np
import pyarrow as pa
import pytest

from hanok.compute.frames import Frame, encode, time_split
from hanok.compute.runtimes import load, mlflow_files
from hanok.compute.runtimes.convert import convert
from hanok.core.declare import AutoML, RandomSplit
from hanok.core.errors import ConversionFailed, MissingExtra, NotTrainable, SignatureMismatch, Unsafe
from hanok.parts.automl.service import run_plan, search
from hanok.parts.training.pipeline import key_split


def frame(task="binary", rows=600, text=True, nulls=True):
    rng = np.random.default_rng(0)
    x, c = rng.normal(size=(rows, 3)), rng.choice(["red", "green", "blue"], rows)
    z = x[:, 0] - x[:, 1] + (c == "red") + 0.3 * rng.normal(size=rows)
    label = {
        "binary": (z > 0).astype(int),
        "regression": z,
        "multiclass": np.array(["lo", "mid", "hi"])[np.digitize(z, [-1, 1])],
    }
    columns = {"a": x[:, 0], "b": x[:, 1], "c": np.where(nulls & (rng.random(rows) < 0.1), np.nan, x[:, 2])}
    if text:
        columns["colour"] = c
    table = pa.table({**columns, "y": label[task], "_at": pa.array(range(rows), pa.int64())})
    return Frame.of(table, list(columns), task, "y")


@pytest.mark.parametrize("task", ["binary", "regression", "multiclass"])
def test_automl_beats_the_baseline_and_its_plan_gives_the_same_bytes_again(task):
    data = frame(task)
    found = search(data, AutoML(trials=2))
    assert found.leaderboard[0].name != "baseline-0" and found.leaderboard[-1].name == "baseline-0"
    assert run_plan(data, found.plan).package.files == found.package.files


def test_a_wall_clock_budget_is_kept_and_recorded_as_a_plan():
    found = search(frame(), AutoML(budget="2s"))
    assert len(found.plan.candidates) >= 3


def test_lightgbm_through_its_text_answers_bit_for_bit():
    import lightgbm as lgb

    data = frame()
    model = lgb.LGBMClassifier(n_estimators=20, verbose=-1).fit(data.X, data.y)
    package = convert(model, data)
    runtime = package.load()
    expected = model.booster_.predict(data.X)
    assert np.array_equal(runtime.score(data.X), expected)
    one_by_one = np.array([runtime.score(data.X[i : i + 1])[0] for i in range(50)])
    assert np.array_equal(one_by_one, expected[:50])


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_linear_models_become_arrays_and_row_and_batch_agree(task):
    from sklearn.linear_model import LogisticRegression, Ridge

    data = frame(task, text=False, nulls=False)
    X = data.X
    model = (Ridge() if task == "regression" else LogisticRegression()).fit(X, data.y)
    package = convert(model, data)
    assert package.runtime == "linear"
    runtime = package.load()
    batch = runtime.score(X)
    assert np.array_equal(batch[:20], np.array([runtime.score(X[i : i + 1])[0] for i in range(20)]))


def test_a_scikit_learn_pipeline_becomes_onnx():
    pytest.importorskip("skl2onnx")
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    data = frame()
    model = make_pipeline(SimpleImputer(), LogisticRegression()).fit(data.X, data.y)
    package = convert(model, data)
    assert package.runtime == "onnx"
    assert package.notes["parity"]["largest_difference"] < 1e-4


def test_what_cannot_be_served_safely_is_refused_with_what_to_do():
    with pytest.raises(ConversionFailed, match="Return a LightGBM model"):
        convert(object(), frame())


def test_a_model_that_answers_otherwise_after_conversion_is_not_registered():
    import lightgbm as lgb

    data = frame()
    model = lgb.LGBMClassifier(n_estimators=5, verbose=-1).fit(data.X, data.y)
    model.predict_proba = lambda X: np.column_stack([np.ones(len(X)), np.zeros(len(X))])
    with pytest.raises(ConversionFailed, match="answers differently"):
        convert(model, data)


def test_a_pickle_runtime_does_not_exist():
    with pytest.raises(Unsafe):
        load("pickle", frame().signature, lambda name: b"")


def test_unknown_text_and_nulls_are_missing_values():
    signature = frame().signature
    matrix = encode(signature, {"a": [1], "b": [2], "c": [None], "colour": ["mauve"]})
    assert np.isnan(matrix[0, 2:]).all()
    with pytest.raises(SignatureMismatch, match="colour"):
        encode(signature, {"a": [1], "b": [2], "c": [3]})


def test_a_label_that_cannot_be_learned_is_said():
    rows = pa.table({"x": [1.0] * 20, "y": [1] * 20, "_at": pa.array([0] * 20, pa.int64())})
    with pytest.raises(NotTrainable, match="1 classes"):
        Frame.of(rows, ["x"], "binary", "y")
    with pytest.raises(NotTrainable, match="at least 10"):
        Frame.of(rows.slice(0, 3), ["x"], "binary", "y")


def test_splits_keep_every_row_once():
    at = np.array([5, 1, 9, 3, 7])
    train, test = time_split(at, 3)
    assert sorted([*train, *test]) == list(range(5)) and at[test].min() > at[train].max()
    rows = pa.table({"key__id": [f"i{i}" for i in range(300)]})
    train, test = key_split(rows, RandomSplit(0.2, 1))
    assert sorted([*train, *test]) == list(range(300)) and 30 < len(test) < 90
    more = pa.table({"key__id": [f"i{i}" for i in range(600)]})
    assert set(test) <= set(key_split(more, RandomSplit(0.2, 1))[1])  # held out once, held out for ever


def test_a_skops_file_without_skops_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "skops", None)
    monkeypatch.delitem(sys.modules, "skops.io", raising=False)
    logged = mlflow_files.Logged(tmp_path, "sklearn", tmp_path / "model.skops", {}, (), None)
    with pytest.raises(MissingExtra, match="pip install skops"):
        mlflow_files.to_approve(logged)
