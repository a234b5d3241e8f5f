"""Contributions of inputs sum up to the score, whatever computes them."""

import itertools
import math

import lightgbm
import numpy as np
import pytest

from hanok.compute.runtimes import Package
from hanok.compute.runtimes.explain import permuted
from hanok.core.errors import Invalid
from hanok.core.serving import Column, Signature
from hanok.parts.serving.explaining import check_explainable, explained
from hanok.parts.serving.packages import Packages
from hanok.stores.memory import MemoryBlobs
from tests.unit.parts.serving.conftest import linear

ROWS = {"a": [1.0, -2.0, None, 0.5], "b": [0.0, 3.0, 1.0, -1.0], "c": ["x", "y", None, "z"]}
INPUTS = (Column("a", "FP64"), Column("b", "FP64"), Column("c", "BYTES", ("x", "y")))
TYPICAL = {"a": 0.0, "b": 0.5, "c": "y"}


def loaded(package):
    packages = Packages(MemoryBlobs())
    return packages.load(packages.save(package))


def forest(task, classes):
    random = np.random.default_rng(0)
    X = np.column_stack([random.normal(size=400), random.normal(size=400), random.integers(0, 2, 400)])
    y = (X[:, 0] + X[:, 2] > 0.5).astype(int) + (X[:, 1] > 1 if task == "multiclass" else 0)
    objective = {"binary": "binary", "multiclass": "multiclass", "regression": "regression"}[task]
    params = {"objective": objective, "num_leaves": 4, "verbose": -1, "num_threads": 1}
    params |= {"num_class": 3} if task == "multiclass" else {}
    booster = lightgbm.train(params, lightgbm.Dataset(X, y), 5)
    text = booster.model_to_string().encode()
    return Package("lightgbm", Signature(INPUTS, task, classes), {"model.txt": text}), booster


TASKS = [("regression", ()), ("binary", ("n", "y")), ("multiclass", ("p", "q", "r"))]


@pytest.mark.parametrize(("task", "classes"), TASKS)
def test_trees_are_explained_by_treeshap_which_sums_up_to_the_score(task, classes):
    package, booster = forest(task, classes)
    model = loaded(package)
    found = explained(model, ROWS, lambda: None)
    matrix = model.runtime.encode(ROWS)
    raw = booster.predict(matrix, raw_score=True)
    theirs = booster.predict(matrix, pred_contrib=True).reshape(4, -1, 4)
    for row, (why, score) in enumerate(zip(found, model.score(ROWS), strict=True)):
        of = int(np.argmax(score)) if task == "multiclass" else 0
        total = why.base + sum(why.contributions.values())
        assert total == pytest.approx(raw[row][of] if task == "multiclass" else raw[row])
        assert list(why.contributions.values()) == pytest.approx(theirs[row, of, :3])
        assert (why.method, why.rows_scored) == ("TreeSHAP", 0)
        assert why.of == {"regression": "", "binary": "y"}.get(task, classes[of] if classes else "")
    if task == "binary":
        assert 1 / (1 + math.exp(-(found[0].base + sum(found[0].contributions.values())))) == model.score(ROWS)[0]


@pytest.mark.parametrize(("task", "classes"), TASKS)
def test_a_linear_model_is_explained_by_weight_times_value(task, classes):
    model = loaded(linear(["x", "y"], task=task, classes=classes))
    found = explained(model, {"x": [2.0, None], "y": [3.0, -1.0]}, lambda: None)
    assert [w.method for w in found] == ["weight times value"] * 2
    if task == "regression":
        assert [w.contributions for w in found] == [{"x": 2.0, "y": 3.0}, {"x": 0.0, "y": -1.0}]
        assert [w.base for w in found] == [0.0, 0.0]


def test_any_other_model_gets_shapley_values_that_sum_up_exactly_and_cost_what_is_said():
    calls = []

    def score(columns):
        calls.append(len(columns["a"]))
        a = np.array([0.0 if v is None else v for v in columns["a"]])
        return a * (np.array(columns["c"]) == "x") + np.array(columns["b"], float)

    signature = Signature(INPUTS, "regression")
    found = permuted(signature, score, ROWS, TYPICAL, np.zeros(4, np.int64))
    assert found.base.tolist() == [0.5] * 4
    assert (found.base + found.values.sum(axis=1)).tolist() == pytest.approx(score(ROWS).tolist())
    assert calls[0] == found.rows_scored == 4 * 8 * 4
    assert found.values[0].tolist() == pytest.approx(_exact(score, 0)), "each with its reverse: exact for pairs"


def _exact(score, row):
    """Shapley values over all orders (Shapley 1953)."""
    names, sums = list(ROWS), dict.fromkeys(ROWS, 0.0)
    orders = list(itertools.permutations(names))
    for order in orders:
        now = dict(TYPICAL)
        for name in order:
            before = score({n: [v] for n, v in now.items()})[0]
            now[name] = ROWS[name][row]
            sums[name] += (score({n: [v] for n, v in now.items()})[0] - before) / len(orders)
    return list(sums.values())


def test_what_is_too_much_or_cannot_be_compared_is_refused():
    with pytest.raises(Invalid, match="ask about"):
        permuted(Signature(INPUTS, "regression"), lambda c: None, ROWS, TYPICAL, np.zeros(10_000, np.int64))

    class Opaque:
        def score(self, matrix):
            return matrix.sum(axis=1)

    from dataclasses import replace

    from hanok.compute.runtimes import Encoded

    model = loaded(linear(["x", "y"]))
    opaque = replace(model, runtime=Encoded(Opaque(), model.signature))
    with pytest.raises(Invalid, match="no typical row"):
        explained(opaque, {"x": [1.0], "y": [2.0]}, lambda: None)
    (why,) = explained(opaque, {"x": [1.0], "y": [2.0]}, lambda: {"x": 0.0, "y": 0.0})
    assert why.contributions == {"x": 1.0, "y": 2.0} and why.rows_scored == 24


def test_what_cannot_be_explained_is_refused_at_the_price_of_one_row():
    package, _ = forest("binary", ("n", "y"))
    model = loaded(package)
    check_explainable(model, ROWS, 5_000, lambda: None)
    with pytest.raises(Invalid, match="5000 are at once"):
        check_explainable(model, ROWS, 5_001, lambda: None)
