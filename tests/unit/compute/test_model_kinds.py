"""Trees of every library are served from one checked text, and answer as the objects that they were made from."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from hanok.compute.frames import Frame
from hanok.compute.runtimes import Package
from hanok.compute.runtimes.convert import convert
from hanok.compute.runtimes.foreign_trees import _xgb_tree, of_catboost, of_xgboost
from hanok.compute.runtimes.forest import Forest, Split, Tree, thresholds
from hanok.compute.runtimes.lightgbm import LightGBM
from hanok.compute.runtimes.lightgbm_text import check
from hanok.compute.runtimes.onnx_steps import graph_of
from hanok.compute.runtimes.parity import proven
from hanok.core.errors import ConversionFailed, Corrupt, SignatureMismatch
from tests.unit.compute.test_runtimes import frame

FOREIGN = json.loads(Path(__file__).with_name("foreign_models.json").read_text())
TASKS = ("binary", "multiclass", "regression")


def estimators(task):
    from sklearn import ensemble, tree

    suffix = "Regressor" if task == "regression" else "Classifier"
    for name, settings in (
        ("HistGradientBoosting", {"max_iter": 5}),
        ("RandomForest", {"n_estimators": 5, "max_depth": 5}),
        ("ExtraTrees", {"n_estimators": 5, "max_depth": 5}),
        ("GradientBoosting", {"n_estimators": 5}),
    ):
        yield getattr(ensemble, name + suffix)(random_state=0, **settings)
    yield getattr(tree, "DecisionTree" + suffix)(max_depth=5, random_state=0)


@pytest.mark.parametrize("task", TASKS)
def test_scikit_learns_trees_are_served_exactly_at_thresholds_nulls_and_unseen_text(task):
    for model in estimators(task):
        data = frame(task, nulls="Gradient" not in type(model).__name__ or "Hist" in type(model).__name__)
        package = convert(model.fit(data.X, data.y), data)
        proof = package.notes["parity"]
        assert package.runtime == "lightgbm" and proof["largest_difference"] < 1e-12, type(model)
        assert proof["rows"] == 500 and proof["threshold_rows"] > 0
        assert (proof.get("null_rows", 0) > 0) != bool(package.notes.get("refuses_nulls"))
        assert package.notes["importance"]["a"] > 0


def test_categories_of_hist_gradient_boosting_go_where_they_went():
    from sklearn.ensemble import HistGradientBoostingClassifier

    data = frame()
    place = data.features.index("colour")
    model = HistGradientBoostingClassifier(max_iter=5, categorical_features=[place]).fit(data.X, data.y)
    proof = convert(model, data).notes["parity"]
    assert proof["unseen_rows"] > 0 and proof["largest_difference"] < 1e-12


@pytest.mark.parametrize("number", range(len(FOREIGN["models"])))
def test_xgboost_and_catboost_answer_as_they_did(number):
    found = FOREIGN["models"][number]
    read = of_xgboost if found["kind"] == "xgboost" else of_catboost
    forest = read(json.dumps(found["model"]).encode())
    rows = np.array(FOREIGN["rows"], float)
    scores = LightGBM(forest.text(4), 4, float32=forest.float32).score(rows)
    expected = np.array(found["expected"])
    assert np.abs(scores - expected).max() < 2e-6, (found["kind"], found["task"])


def test_a_null_goes_its_way_through_sets_of_categories_after_sets():
    tree = {"left_children": [1, -1, 3, -1, -1], "right_children": [2, -1, 4, -1, -1], "default_left": [0] * 5}
    tree |= {"split_indices": [0, 0, 1, 0, 0], "split_conditions": [0, 1, 0, 3, 4], "loss_changes": [1] * 5}
    tree |= {
        "categories": [1, 1],
        "categories_nodes": [0, 2],
        "categories_segments": [0, 1],
        "categories_sizes": [1, 1],
    }
    model = LightGBM(Forest([_xgb_tree(tree, 1.0)], [0.0], "identity").text(2), 2)
    nan = np.nan
    rows = np.array([[0, 0], [0, nan], [1, 0], [1, 1], [1, nan], [nan, 0], [nan, 1], [nan, nan]])
    assert model.score(rows).tolist() == [1, 1, 3, 4, 4, 3, 4, 4]


def test_a_split_below_zero_is_served_though_lightgbm_takes_the_numbers_nearest_to_zero_as_zero():
    class BelowZero:
        def predict_proba(self, x):
            score = np.where(np.asarray(x)[:, 0] < 0, 0.25, 0.75)
            return np.column_stack([1 - score, score])

    data = frame(nulls=False)
    below = float(np.nextafter(np.float32(0), np.float32(-1)))
    forest = Forest([Tree([Split(0, below, 1, 2), 0.25, 0.75])], [0.0], "identity", float32=True)
    made = Package("lightgbm", data.signature, {"model.txt": forest.text(data.signature.width)}, {"float32": True})
    assert proven(made, thresholds(forest), BelowZero(), data).notes["parity"]["largest_difference"] == 0


WORDS = "payment señor or late école 결제 na ve".split()
TEXTS = [" ".join(np.random.default_rng(i).choice(WORDS, 6)) for i in range(80)]
OTHER = ("señor, payment late", "ÉCOLE Señor", "naïve", "결제or", "señor a or", "or\u0301 late\u00a0or", "x_or ½or")


def texts(of=TEXTS):
    wanted, at = [" or " in t for t in of], pa.array([0] * len(of), pa.timestamp("us", "UTC"))
    return Frame.of(pa.table({"s": of, "y": wanted, "_at": at}), ["s"], "binary", "y")


def test_words_of_every_alphabet_are_the_words_that_scikit_learn_sees():
    pytest.importorskip("skl2onnx")
    runtime = pytest.importorskip("onnxruntime")
    from sklearn.feature_extraction.text import CountVectorizer

    counts = CountVectorizer(ngram_range=(1, 2)).fit(TEXTS)
    session = runtime.InferenceSession(graph_of(counts, texts(), double=True, by_column=True))
    found = session.run(None, {"s": np.array([[t] for t in OTHER], object)})[0]
    assert np.array_equal(found, counts.transform(OTHER).toarray())


def test_a_pipeline_that_would_see_other_words_when_it_is_served_is_refused():
    pytest.importorskip("skl2onnx")
    pytest.importorskip("pandas")
    from sklearn.compose import ColumnTransformer
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    data = texts([t.encode("ascii", "ignore").decode() for t in TEXTS])

    def fitted(**settings):
        count = ColumnTransformer([("s", TfidfVectorizer(**settings), "s")])
        return make_pipeline(count, LogisticRegression()).fit(data.to_pandas(), data.y)

    assert convert(fitted(), data).notes["parity"]["text_rows"] == len(TEXTS)
    with pytest.raises(ConversionFailed, match="letters outside English"):
        convert(fitted(token_pattern=r"\w+", lowercase=False), data)


def test_what_no_text_can_hold_is_refused_by_name():
    body = FOREIGN["models"][0]["model"]
    learner = body["learner"] | {"objective": {"name": "survival:cox"}}
    with pytest.raises(ConversionFailed, match="survival:cox"):
        of_xgboost(json.dumps(body | {"learner": learner}).encode())


def test_a_pipeline_that_ends_in_a_forest_runs_its_steps_by_onnx_and_the_forest_as_trees():
    pytest.importorskip("skl2onnx")
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data = frame()
    steps = (SimpleImputer(strategy="median"), StandardScaler(), HistGradientBoostingClassifier(max_iter=5))
    package = convert(make_pipeline(*steps).fit(data.X, data.y), data)
    assert package.runtime == "onnx+lightgbm" and package.notes["parity"]["null_rows"] > 0
    assert package.notes["parity"]["largest_difference"] < 1e-9


def test_nulls_that_the_object_refuses_are_refused_by_name():
    from sklearn.ensemble import GradientBoostingClassifier

    data = frame(nulls=False)
    model = convert(GradientBoostingClassifier(n_estimators=3).fit(data.X, data.y), data).load()
    with pytest.raises(SignatureMismatch, match="'b' is null"):
        model.encode({"a": [1.0], "b": [None], "c": [1.0], "colour": ["red"]})


@pytest.fixture(scope="module")
def text():
    import lightgbm as lgb

    data = frame()
    place = data.features.index("colour")
    train = lgb.Dataset(data.X, data.y, categorical_feature=[place])
    booster = lgb.train({"objective": "binary", "num_leaves": 7, "verbose": -1}, train, 3)
    return booster.model_to_string().encode()


def test_a_damaged_text_never_reaches_native_code(text):
    """Each number of the structure is put beyond its bounds in turn."""
    check(text, 4)
    lines = text.split(b"\n")
    names = (
        b"split_feature=",
        b"left_child=",
        b"right_child=",
        b"cat_boundaries=",
        b"num_leaves=",
        b"max_feature_idx=",
    )
    places = [(i, line) for i, line in enumerate(lines) if line.startswith(names)]
    assert len({line.partition(b"=")[0] for _, line in places}) == len(names)
    tried = 0
    for index, line in places:
        name, _, values = line.partition(b"=")
        numbers = values.split()
        for place in range(len(numbers)):
            for bad in (b"99999", b"-99999", b"x"):
                wrong = b" ".join([*numbers[:place], bad, *numbers[place + 1 :]])
                damaged = [*lines[:index], name + b"=" + wrong, *lines[index + 1 :]]
                sizes = [line for line in damaged if not line.startswith(b"tree_sizes")]
                with pytest.raises(Corrupt):
                    check(b"\n".join(sizes), 4)
                tried += 1
    assert tried > 100


def test_a_text_with_a_second_line_of_a_name_is_refused_since_the_library_takes_the_last(text):
    whole = re.sub(rb"tree_sizes=.*\n", b"", text)
    check(whole, 4)
    lines = whole.partition(b"\nend of trees")[0].split(b"\n")
    places = [i for i, line in enumerate(lines) if b"=" in line and not line.startswith(b"Tree=")]
    assert len({lines[i].partition(b"=")[0] for i in places}) > 20
    for i in places:
        name, _, value = lines[i].partition(b"=")
        for second in (value, re.sub(rb"[0-9]+", b"90000000", value)):
            for line in (name + b"=" + second, b"=" + name + b"=" + second, name + b"\r" + second):
                for end in (b"\n", b"\r"):
                    both = b"\n".join([*lines[:i], lines[i] + end + line, *lines[i + 1 :], b"end of trees\n"])
                    with pytest.raises(Corrupt):
                        check(both, 4)


@pytest.mark.parametrize(
    ("found", "instead"),
    [
        (b"num_class=1", b"num_class=1000000"),
        (b"num_tree_per_iteration=1", b"num_tree_per_iteration=3"),
        (b"objective=binary sigmoid:1", b"objective=multiclass num_class:100000"),
        (b"objective=binary sigmoid:1", b"objective=multiclassova num_class:50 sigmoid:1"),
        (b"objective=binary sigmoid:1", b"objective=multiclassova num_class:1 sigmoid:1"),
        (b"objective=binary sigmoid:1", b"objective=binary sigmoid:1 num_class:9"),
        (b"num_leaves=7", b"num_leaves=0_7"),
        (b"left_child=", b"left_child=0_0"),
        (b"threshold=", b"threshold=1_"),
        (b"num_cat=", b"num_cat=9"),
        (b"shrinkage=", b"linear=1\nshrinkage="),
        (b"version=v4", b"version=v4\x00"),
        (b"Tree=1\n", b"Tree=7\n"),
    ],
)
def test_a_text_that_says_what_lightgbm_does_not_write_is_refused(text, found, instead):
    whole = re.sub(rb"tree_sizes=.*\n", b"", text)
    assert found in whole
    with pytest.raises(Corrupt):
        check(whole.replace(found, instead, 1), 4)


def test_a_text_that_is_cut_or_names_wrong_sizes_is_refused(text):
    for cut in range(0, len(text) - text[::-1].index(b"seert fo dne") - 1, 97):
        with pytest.raises(Corrupt):
            check(text[:cut], 4)
    with pytest.raises(Corrupt, match="tree_sizes"):
        check(text.replace(b"tree_sizes=", b"tree_sizes=1"), 4)
    with pytest.raises(Corrupt, match="takes 4 columns"):
        check(text, 3)


def test_packages_of_an_onnx_file_are_checked_before_they_are_loaded():
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    data = frame("regression", text=False, nulls=False)

    def model(*nodes, initial=()):
        x = onnx.helper.make_tensor_value_info("X", onnx.TensorProto.FLOAT, [None, 3])
        y = onnx.helper.make_tensor_value_info("Y", onnx.TensorProto.FLOAT, None)
        graph = onnx.helper.make_graph(list(nodes), "g", [x], [y], list(initial))
        opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("ai.onnx.ml", 3)]
        return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)

    def tree(feature, child):
        return onnx.helper.make_node(
            "TreeEnsembleRegressor", ["X"], ["Y"], domain="ai.onnx.ml", n_targets=1, nodes_treeids=[0, 0, 0],
            nodes_nodeids=[0, 1, 2], nodes_featureids=[feature, 0, 0], nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
            nodes_values=[0.0, 0.0, 0.0], nodes_truenodeids=[1, 0, 0], nodes_falsenodeids=[child, 0, 0],
            target_treeids=[0, 0], target_nodeids=[1, 2], target_ids=[0, 0], target_weights=[1.0, 2.0],
        )  # fmt: skip

    package = convert(model(tree(1, 2)), data)
    assert package.runtime == "onnx" and set(package.load().score(data.X).tolist()) == {1.0, 2.0}
    for broken, said in (
        (tree(3, 2), "feature 3"),
        (tree(-1, 2), "feature"),
        (tree(1, 7), "not there"),
        (tree(1, 0), "not there"),
    ):
        with pytest.raises((Corrupt, ConversionFailed), match=said):
            convert(model(broken), data)
    outside = onnx.helper.make_tensor("W", onnx.TensorProto.FLOAT, [3, 1], [1.0, 2.0, 3.0])
    outside.data_location = onnx.TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="../../etc/passwd")
    matmul = onnx.helper.make_node("MatMul", ["X", "W"], ["Y"])
    stranger = onnx.helper.make_node("Open", ["X"], ["Y"], domain="my.ops")
    for bad, said in ((model(matmul, initial=[outside]), "other files"), (model(stranger), "my.ops")):
        with pytest.raises(Exception, match=said):
            Package("onnx", data.signature, {"model.onnx": bad.SerializeToString()}).load()
