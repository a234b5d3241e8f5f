"""A probability is served as that of the class that the model itself means, in whatever order it has its labels."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from hanok.compute.frames import PREDICT_AT, Frame
from hanok.compute.runtimes import Package
from hanok.compute.runtimes.class_order import NOTE, in_order, named, places_of
from hanok.compute.runtimes.convert import convert
from hanok.compute.runtimes.mlflow_files import Logged, frame_of
from hanok.core.errors import ConversionFailed, Corrupt

INPUTS = (("a", "FP64"), ("b", "FP64"))
ROWS = np.random.default_rng(0).normal(scale=2, size=(40, 2))
WEIGHTS = [[-1.0, 0.5], [1.0, -1.0], [0.0, 2.0]]


def classifier(labels, *, maps, shuffled=()):
    """A logistic ONNX model; `shuffled` puts its columns of probabilities in another order than its labels."""
    onnx = pytest.importorskip("onnx")
    h, number = onnx.helper, onnx.TensorProto.FLOAT
    text = isinstance(labels[0], str)
    kind = onnx.TensorProto.STRING if text else onnx.TensorProto.INT64
    said = {"classlabels_strings" if text else "classlabels_ints": labels}
    nodes = [
        h.make_node(
            "LinearClassifier", ["X"], ["label", "p"], domain="ai.onnx.ml", post_transform="SOFTMAX", multi_class=0,
            coefficients=np.ravel(WEIGHTS[: len(labels)]).tolist(), intercepts=[0.0] * len(labels), **said,
        )
    ]  # fmt: skip
    outputs, constants = [h.make_tensor_value_info("label", kind, [None])], []
    if shuffled:
        constants = [h.make_tensor("order", onnx.TensorProto.INT64, [len(labels)], shuffled)]
        nodes.append(h.make_node("Gather", ["p", "order"], ["q"], axis=1))
    scores = "q" if shuffled else "p"
    if maps:
        said = {"classlabels_strings" if text else "classlabels_int64s": labels}
        nodes.append(h.make_node("ZipMap", [scores], ["maps"], domain="ai.onnx.ml", **said))
        row = h.make_map_type_proto(kind, h.make_tensor_type_proto(number, []))
        outputs.append(h.make_value_info("maps", h.make_sequence_type_proto(row)))
    else:
        outputs.append(h.make_tensor_value_info(scores, number, [None, len(labels)]))
    given = [h.make_tensor_value_info("X", number, [None, 2])]
    opsets = [h.make_opsetid("", 15), h.make_opsetid("ai.onnx.ml", 2)]
    return h.make_model(h.make_graph(nodes, "g", given, outputs, constants), opset_imports=opsets, ir_version=8)


def data(labels, classes, features=ROWS):
    """A training set whose label has these classes, each one there."""
    values = [classes[i % len(classes)] for i in range(len(features))] if labels is None else labels
    table = pa.table({"a": features[:, 0], "b": features[:, 1], "y": values, PREDICT_AT: np.arange(len(features))})
    return Frame.of(table, ("a", "b"), "binary" if len(classes) == 2 else "multiclass", "y")


def served(package, matrix=ROWS):
    """For each class by its name the probabilities that are served."""
    scores, classes = package.load().score(matrix), package.signature.classes
    return {c: scores[:, i] if scores.ndim == 2 else scores if i else 1 - scores for i, c in enumerate(classes)}


@pytest.mark.parametrize("maps", [False, True])
@pytest.mark.parametrize("labels", [["no", "yes"], ["yes", "no"], [1, 0], [2, 0, 1], [5, 3, 11], ["b", "c", "a"]])
def test_an_onnx_model_is_served_by_its_own_labels_in_whatever_order_they_are(labels, maps):
    model = classifier(labels, maps=maps)
    weights = np.exp(ROWS.astype(np.float32) @ np.array(WEIGHTS[: len(labels)]).T)
    meant = dict(zip(map(str, labels), (weights / weights.sum(axis=1, keepdims=True)).T, strict=True))
    logged = frame_of(model, Logged(Path(), "onnx", Path(), {}, INPUTS, None), None)
    frames = [logged] if set(labels) in ({0, 1}, {0, 1, 2}) else [logged, data(None, labels)]
    for frame in frames:  # of a training set the classes are sorted as text
        found = served(convert(model, frame))
        assert set(found) == set(meant)
        assert all(np.allclose(found[c], meant[c], atol=1e-6) for c in meant), frame.signature.classes


@pytest.mark.parametrize("maps", [False, True])
@pytest.mark.parametrize("labels, shuffled", [(["no", "yes"], [1, 0]), (["a", "b", "c"], [2, 0, 1]), ([0, 1], [1, 0])])
def test_scores_that_contradict_the_labels_of_the_model_itself_are_refused(labels, shuffled, maps):
    model = classifier(labels, maps=maps, shuffled=shuffled)
    with pytest.raises(ConversionFailed, match="another order than its labels"):
        convert(model, frame_of(model, Logged(Path(), "onnx", Path(), {}, INPUTS, None), None))


def test_a_package_of_a_wrong_order_does_not_pass_the_gate(monkeypatch):
    from hanok.compute.runtimes import onnx, parity

    model = classifier(["b", "c", "a"], maps=True)
    frame = data(None, ["a", "b", "c"])
    package = Package("onnx", frame.signature, {"model.onnx": model.SerializeToString()})
    assert parity.proven(package, (), model, frame).notes["parity"]["rows"] == len(ROWS)
    monkeypatch.setattr(
        onnx, "by_class", lambda rows, classes: np.array([list(r.values()) for r in rows])[:, [1, 0, 2]]
    )
    with pytest.raises(ConversionFailed, match="answers differently"):
        parity.proven(package, (), model, frame)


def fits(kind):
    if kind == "lightgbm":
        lightgbm = pytest.importorskip("lightgbm")
        return lightgbm.LGBMClassifier(n_estimators=2, num_leaves=4, verbose=-1, min_child_samples=1)
    if kind == "linear":
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(C=0.1)
    if kind == "onnx":
        from sklearn.naive_bayes import GaussianNB

        pytest.importorskip("skl2onnx")
        return GaussianNB()
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(max_depth=5, random_state=0)


@pytest.mark.parametrize("kind", ["tree", "linear", "lightgbm", "onnx"])
def test_labels_that_sort_otherwise_as_text_are_served_by_name_however_the_model_was_fitted(kind):
    random = np.random.default_rng(1)
    for numbers in (range(11), (-1, 2, 10)):  # 10 is before 2 as text
        y = np.array([numbers[i % len(numbers)] for i in range(220)])
        x = np.column_stack([y + random.normal(scale=0.01, size=220), random.normal(size=220)])
        frame = data(y, [str(n) for n in sorted(map(str, numbers))], x)
        for fitted in (fits(kind).fit(x, y), fits(kind).fit(frame.X, frame.y.astype(int))):
            own = fitted.predict_proba(frame.X)
            labels = [str(c) for c in fitted.classes_]
            if not np.array_equal(fitted.predict(frame.X)[:50], y[:50]) and np.mean(fitted.predict(x) == frame.y) > 0.5:
                labels = [frame.signature.classes[int(c)] for c in fitted.classes_]
            found = served(convert(fitted, frame), frame.X)
            for place, label in enumerate(labels):
                np.testing.assert_allclose(found[label], own[:, place], atol=1e-4)


def test_labels_are_names_or_numbers_of_classes_and_nothing_else():
    for classes in (("no", "yes"), ("a", "b", "c"), ("2", "0", "1")):
        for labels in permutations(classes):
            names = named(labels, classes)
            assert [labels[p] for p in places_of(labels, names, classes)] == list(classes)
    assert named(["0", "1"], ["no", "yes"]) == named(["0", "1"], ["no", "yes"], numbers_first=True)
    assert named(["False", "True"], ["0", "1"]) == {"False": "0", "True": "1"}
    assert named(["0", "1", "2"], ["2", "0", "1"], numbers_first=True) == {"0": "2", "1": "0", "2": "1"}
    for odd in (["no", "maybe"], ["no"], ["0", "1", "2"], ["no", "no"]):
        with pytest.raises(ConversionFailed, match=r"fit it on frame\.y|of one name"):
            named(odd, ["no", "yes"])
    with pytest.raises(Corrupt, match=NOTE):
        in_order(np.zeros((1, 2)), [0, 0])
