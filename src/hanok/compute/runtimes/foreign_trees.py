"""Reading the trees of scikit-learn's HistGradientBoosting, XGBoost and CatBoost into a `Forest`.

Formats: XGBoost's JSON schema (doc/model.schema of its sources), CatBoost's `save_model(format="json")`, and
scikit-learn's `TreePredictor` node arrays.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from hanok.compute.runtimes.forest import Forest, Link, Split, Tree
from hanok.compute.runtimes.sklearn_trees import AVERAGED, BOOSTED, of_sklearn
from hanok.core.errors import ConversionFailed

NODES_MAX = 1 << 17


def forest_of(model: Any) -> Forest | None:
    """The forest of a fitted model, or None for another kind. Raises ConversionFailed with what it cannot hold."""
    kind = type(model)
    if kind.__module__.startswith("sklearn.") and kind.__name__.startswith("HistGradientBoosting"):
        return of_hist(model)
    if kind.__module__.startswith("sklearn.") and kind.__name__ in AVERAGED | BOOSTED:
        return of_sklearn(model)
    if kind.__module__.startswith("xgboost"):
        booster = model.get_booster() if hasattr(model, "get_booster") else model
        missing = getattr(model, "missing", np.nan)
        if missing is not None and not np.isnan(missing):
            raise ConversionFailed(f"it takes {missing} for a missing value, where a served null is one")
        best = getattr(booster, "best_iteration", None) if booster.attr("best_iteration") is not None else None
        return of_xgboost(bytes(booster.save_raw("json")), rounds=None if best is None else int(best) + 1)
    if kind.__module__.startswith("catboost"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.json"
            model.save_model(str(path), format="json")
            content = path.read_bytes()
        importance = [float(v) for v in model.get_feature_importance()]
        return of_catboost(content, importance=importance)
    return None


# -- scikit-learn ----------------------------------------------------------------------------------------------------

_HIST_LINK: dict[str, Link] = {
    "HalfBinomialLoss": "logistic",
    "HalfMultinomialLoss": "softmax",
    "HalfPoissonLoss": "exp",
    "HalfGammaLoss": "exp",
    "HalfSquaredError": "identity",
    "AbsoluteError": "identity",
    "PinballLoss": "identity",
}


def of_hist(model: Any) -> Forest:
    """HistGradientBoosting: thresholds of 64 bits, a side for missing values, categories as sets."""
    loss = type(model._loss).__name__
    if loss not in _HIST_LINK:
        raise ConversionFailed(f"its loss {loss} has no served form")
    columns, known = _hist_columns(model)
    trees = [_hist_tree(p, columns, known) for stage in model._predictors for p in stage]
    base = [float(v) for v in np.ravel(model._baseline_prediction)]
    return Forest(trees, base, _HIST_LINK[loss])


def _hist_columns(model: Any) -> tuple[list[int], list[tuple[int, ...] | None]]:
    """For each feature of the trees the column that it is, and the values of its categories in their order."""
    flags = model.is_categorical_
    if model._preprocessor is None or flags is None or not np.any(flags):
        return list(range(model.n_features_in_)), [None] * model.n_features_in_
    categorical, numeric = np.flatnonzero(flags).tolist(), np.flatnonzero(~np.asarray(flags)).tolist()
    known: list[tuple[int, ...] | None] = []
    for values in model._preprocessor.named_transformers_["encoder"].categories_:
        try:
            numbers = np.asarray(values, float)
        except (TypeError, ValueError):
            raise ConversionFailed("its categories are texts: fit it on frame.X, where they are numbers") from None
        numbers = numbers[~np.isnan(numbers)]
        if not np.array_equal(numbers, np.floor(numbers)) or (numbers < 0).any():
            raise ConversionFailed("its categories are not whole numbers from 0 on")
        known.append(tuple(numbers.astype(int).tolist()))
    return [*categorical, *numeric], [*known, *([None] * len(numeric))]


def _hist_tree(predictor: Any, columns: Sequence[int], known: Sequence[tuple[int, ...] | None]) -> Tree:
    nodes: list[Split | float] = []
    for row in predictor.nodes:
        if row["is_leaf"]:
            nodes.append(float(row["value"]))
            continue
        feature, left, right = int(row["feature_idx"]), int(row["left"]), int(row["right"])
        missing_left, gain = bool(row["missing_go_to_left"]), float(row["gain"])
        if not row["is_categorical"]:
            threshold = float(row["num_threshold"])
            nodes.append(Split(columns[feature], threshold, left, right, missing_left, gain))
            continue
        values = known[feature] or ()
        words = predictor.raw_left_cat_bitsets[row["bitset_idx"]]
        chosen = [v for code, v in enumerate(values) if int(words[code // 32]) >> code % 32 & 1]
        if missing_left:  # what is in no list goes right: so list what goes right, and change sides
            chosen, left, right = [v for v in values if v not in chosen], right, left
        nodes.append(Split(columns[feature], 0.0, left, right, False, gain, tuple(chosen)))
    return Tree(nodes)


# -- XGBoost ---------------------------------------------------------------------------------------------------------

_XGB_LINK: dict[str, Link] = {
    "binary:logistic": "logistic",
    "reg:logistic": "logistic",
    "multi:softprob": "softmax",
    "multi:softmax": "softmax",
    "reg:squarederror": "identity",
    "reg:linear": "identity",
    "reg:absoluteerror": "identity",
    "reg:pseudohubererror": "identity",
    "reg:quantileerror": "identity",
    "reg:squaredlogerror": "identity",
    "count:poisson": "exp",
    "reg:gamma": "exp",
    "reg:tweedie": "exp",
}


def of_xgboost(content: bytes, *, rounds: int | None = None) -> Forest:
    """A booster saved as JSON; with `rounds` its first ones only (early stopping)."""
    learner = orjson.loads(content)["learner"]
    objective, booster = learner["objective"]["name"], learner["gradient_booster"]
    if objective not in _XGB_LINK or booster["name"] not in ("gbtree", "dart"):
        raise ConversionFailed(f"an XGBoost model of {booster['name']} and {objective} has no served form")
    link = _XGB_LINK[objective]
    weights = booster.get("weight_drop") if booster["name"] == "dart" else None
    model = booster["gbtree"]["model"] if "gbtree" in booster else booster["model"]
    outputs = max(1, int(learner["learner_model_param"]["num_class"]))
    if link == "identity" and int(learner["learner_model_param"].get("num_target", 1)) > 1:
        raise ConversionFailed("an XGBoost model of several targets has no served form")
    ends = model.get("iteration_indptr")
    count = len(model["trees"])
    if rounds is not None:
        count = int(ends[rounds]) if ends else rounds * outputs
    trees = [
        (int(group), _xgb_tree(tree, 1.0 if weights is None else float(weights[place])))
        for place, (tree, group) in enumerate(zip(model["trees"][:count], model["tree_info"][:count], strict=True))
    ]
    return Forest(_round_robin(trees, outputs), _xgb_base(learner, link, outputs), link, float32=True)


def _xgb_base(learner: Any, link: Link, outputs: int) -> list[float]:
    said = orjson.loads(learner["learner_model_param"]["base_score"].lower())
    values = [float(v) for v in (said if isinstance(said, list) else [said])]
    values = values * outputs if len(values) == 1 else values
    if link == "logistic":
        return [float(np.log(v / (1 - v))) for v in values]
    return [float(np.log(v)) for v in values] if link == "exp" else values


def _xgb_tree(tree: Any, weight: float) -> Tree:
    if tree.get("base_weights") and len(tree["base_weights"]) != len(tree["left_children"]):
        raise ConversionFailed("an XGBoost tree whose leaves are lists has no served form")
    sets = _xgb_sets(tree)
    nodes: list[Split | float] = []
    aside: list[int] = []
    for place, left in enumerate(tree["left_children"]):
        condition, feature = np.float32(tree["split_conditions"][place]), int(tree["split_indices"][place])
        right, missing_left = int(tree["right_children"][place]), bool(tree["default_left"][place])
        gain = float(tree["loss_changes"][place])
        if left < 0:
            nodes.append(float(condition) * weight)
        elif place in sets:  # the listed categories go right, all others left
            nodes.append(Split(feature, 0.0, right, int(left), False, gain, sets[place]))
            aside += [] if missing_left else [place]
        else:  # x < t in 32 bits is x <= the number before t
            below = float(np.nextafter(condition, np.float32(-np.inf), dtype=np.float32))
            nodes.append(Split(feature, below, int(left), right, missing_left, gain))
    for place in reversed(aside):  # a copy of what follows has its own sets mended already
        _null_goes_with_the_set(nodes, place)
    return Tree(nodes)


def _null_goes_with_the_set(nodes: list[Split | float], place: int) -> None:
    """A set holds no null: a numeric split before it sends null to a copy of what follows for the set."""
    split = nodes[place]
    assert isinstance(split, Split)
    nodes.append(split)
    sets = len(nodes) - 1
    copy = _copied(nodes, split.left)
    nodes[place] = Split(split.feature, float(np.finfo(np.float64).max), sets, copy, False)


def _copied(nodes: list[Split | float], place: int) -> int:
    node = nodes[place]
    if isinstance(node, Split):
        node = replace(node, left=_copied(nodes, node.left), right=_copied(nodes, node.right), gain=0.0)
    if len(nodes) >= NODES_MAX:
        raise ConversionFailed(f"an XGBoost tree of sets of categories has over {NODES_MAX} nodes as it is served")
    nodes.append(node)
    return len(nodes) - 1


def _xgb_sets(tree: Any) -> dict[int, tuple[int, ...]]:
    values = tree.get("categories", [])
    starts, sizes = tree.get("categories_segments", []), tree.get("categories_sizes", [])
    return {
        int(node): tuple(int(v) for v in values[start : start + size])
        for node, start, size in zip(tree.get("categories_nodes", []), starts, sizes, strict=True)
    }


def _round_robin(trees: Sequence[tuple[int, Tree]], outputs: int) -> list[Tree]:
    """Trees in the order output 0, 1, ..., 0, 1, ...; an output that has fewer gets trees that say nothing."""
    groups: list[list[Tree]] = [[] for _ in range(outputs)]
    for group, tree in trees:
        groups[group].append(tree)
    longest = max(map(len, groups), default=0)
    padded = [[*g, *[Tree((0.0,))] * (longest - len(g))] for g in groups]
    return [padded[output][place] for place in range(longest) for output in range(outputs)]


# -- CatBoost --------------------------------------------------------------------------------------------------------

_CAT_LINK: dict[str, Link] = {
    "Logloss": "logistic",
    "CrossEntropy": "logistic",
    "MultiClass": "softmax",
    "RMSE": "identity",
    "MAE": "identity",
    "Quantile": "identity",
    "MAPE": "identity",
    "Huber": "identity",
    "Poisson": "exp",
    "Tweedie": "exp",
}


def of_catboost(content: bytes, *, importance: Sequence[float] = ()) -> Forest:
    """A model saved as JSON, of numeric features: its symmetric trees compare values of 32 bits with `>`."""
    body = orjson.loads(content)
    features = body["features_info"]
    if features.get("categorical_features") or features.get("text_features") or features.get("embedding_features"):
        raise ConversionFailed("CatBoost's own encoding of categories and texts has no served form: fit it on frame.X")
    loss = body["model_info"]["params"]["loss_function"]["type"]
    if loss not in _CAT_LINK:
        raise ConversionFailed(f"a CatBoost model of the loss {loss} has no served form")
    columns = [int(f["flat_feature_index"]) for f in features["float_features"]]
    nan_right = [f.get("nan_value_treatment") == "AsTrue" for f in features["float_features"]]
    scale, base = body["scale_and_bias"]
    outputs = len(base)
    grown = _symmetric if "oblivious_trees" in body else _grown
    trees = [
        grown(tree, output, outputs, float(scale), columns, nan_right)
        for tree in body["oblivious_trees" if grown is _symmetric else "trees"]
        for output in range(outputs)
    ]
    return Forest(trees, [float(b) for b in base], _CAT_LINK[loss], float32=True, importance=importance)


def _symmetric(
    tree: Any, output: int, outputs: int, scale: float, columns: Sequence[int], nan_right: Sequence[bool]
) -> Tree:
    """All nodes of a level ask the same; bit i of a leaf's place is the answer of split i."""
    splits = tree["splits"] or []
    if any(s["split_type"] != "FloatFeature" for s in splits):
        raise ConversionFailed("a CatBoost split on something else than a number has no served form")
    depth = len(splits)
    nodes: list[Split | float] = []
    for level in range(depth):
        split = splits[level]
        feature = int(split["float_feature_index"])
        for at in range(2**level):
            child = 2 ** (level + 1) - 1 + 2 * at
            border = float(np.float32(split["border"]))
            nodes.append(Split(columns[feature], border, child, child + 1, not nan_right[feature]))
    for at in range(2**depth):  # `at` has the answer of split 0 as its highest bit
        leaf = int(f"{at:0{depth}b}"[::-1], 2) if depth else 0
        nodes.append(float(tree["leaf_values"][leaf * outputs + output]) * scale)
    return Tree(nodes)


def _grown(
    tree: Any, output: int, outputs: int, scale: float, columns: Sequence[int], nan_right: Sequence[bool]
) -> Tree:
    """A tree that grew leaf by leaf or level by level, as objects in objects."""
    nodes: list[Split | float] = [0.0]
    waiting = [(tree, 0)]
    while waiting:
        body, place = waiting.pop()
        split = body.get("split")
        if split is None:
            value = body["value"]
            nodes[place] = float(value[output] if isinstance(value, list) else value) * scale
            continue
        if split["split_type"] != "FloatFeature":
            raise ConversionFailed("a CatBoost split on something else than a number has no served form")
        feature, left = int(split["float_feature_index"]), len(nodes)
        nodes += [0.0, 0.0]
        border = float(np.float32(split["border"]))
        nodes[place] = Split(columns[feature], border, left, left + 1, not nan_right[feature])
        waiting += [(body["left"], left), (body["right"], left + 1)]
    return Tree(nodes)
