"""scikit-learn's decision trees, averaged (random forests) or summed (gradient boosting), as a `Forest`.

A value is rounded to 32 bits and compared with a threshold of 64 bits, as `sklearn.tree` does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hanok.compute.runtimes.forest import Forest, Link, Split, Tree
from hanok.core.errors import ConversionFailed

AVERAGED = {
    f"{kind}{task}"
    for kind in ("RandomForest", "ExtraTrees", "DecisionTree", "ExtraTree")
    for task in ("Classifier", "Regressor")
}
BOOSTED = {"GradientBoostingClassifier", "GradientBoostingRegressor"}
_LINK: dict[str, Link] = {"HalfBinomialLoss": "logistic", "HalfMultinomialLoss": "softmax"}
_PLAIN = ("HalfSquaredError", "AbsoluteError", "HuberLoss", "PinballLoss")


def of_sklearn(model: Any) -> Forest:
    """Raises ConversionFailed for several labels at once, and for losses without a served form."""
    if type(model).__name__ in BOOSTED:
        return _boosted(model)
    if getattr(model, "n_outputs_", 1) != 1:
        raise ConversionFailed("a model of several labels at once has no served form")
    trees = list(getattr(model, "estimators_", [model]))
    share = 1.0 / len(trees)
    importance = [float(v) for v in model.feature_importances_]
    classes = len(model.classes_) if hasattr(model, "classes_") else 0
    if classes <= 2:
        wanted = 1 if classes else 0  # P(class 1), or the value
        found = [_tree(t.tree_, wanted, share) for t in trees]
        return Forest(found, [0.0], "identity", float32=True, importance=importance)
    found = [_tree(t.tree_, output, share) for t in trees for output in range(classes)]
    return Forest(found, [0.0] * classes, "raw", float32=True, importance=importance)


def _boosted(model: Any) -> Forest:
    loss = type(model._loss).__name__
    if loss not in _LINK and loss not in _PLAIN:
        raise ConversionFailed(f"its loss {loss} has no served form")
    if not (model.init_ == "zero" or type(model.init_).__name__.startswith("Dummy")):
        raise ConversionFailed("gradient boosting that starts from another model has no served form")
    base = np.ravel(model._raw_predict_init(np.zeros((1, model.n_features_in_), np.float32))).tolist()
    trees = [_tree(t.tree_, 0, float(model.learning_rate)) for stage in model.estimators_ for t in stage]
    importance = [float(v) for v in model.feature_importances_]
    return Forest(trees, base, _LINK.get(loss, "identity"), float32=True, importance=importance)


def _tree(tree: Any, output: int, weight: float) -> Tree:
    nodes: list[Split | float] = []
    missing = getattr(tree, "missing_go_to_left", np.zeros(tree.node_count, bool))
    for place in range(tree.node_count):
        left, right = int(tree.children_left[place]), int(tree.children_right[place])
        if left < 0:
            nodes.append(float(tree.value[place, 0, output]) * weight)
            continue
        nodes.append(Split(int(tree.feature[place]), float(tree.threshold[place]), left, right, bool(missing[place])))
    return Tree(nodes)
