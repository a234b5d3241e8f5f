"""LightGBM's text format, checked before its native loader and its native walk through the trees see it.

The library trusts what it reads: a child or a feature beyond its array is memory that is not its own. It takes the last
of two lines of one name, ends lines at a carriage return, and reads whatever stands where a number should. So only what
it writes itself is let through: known lines, each once, of plain numbers.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from hanok.core.errors import Corrupt

TEXT_MAX = 1 << 30
LEAVES_MAX = 1 << 17
Ints: TypeAlias = NDArray[np.int64]
_CATEGORICAL, _DECISIONS = 1, 1 << 4
_ONE_OUTPUT = re.compile(
    rb"(regression|regression_l1|huber|fair|poisson|quantile|mape|gamma|tweedie)( sqrt)?"
    rb"|cross_entropy|cross_entropy_lambda|lambdarank|rank_xendcg|binary sigmoid:[0-9][0-9.e+-]*"
)
_CLASSES = re.compile(rb"(?:multiclass num_class:([0-9]+)|multiclassova num_class:([0-9]+) sigmoid:[0-9][0-9.e+-]*)")
_HEAD_WORDS = {b"tree", b"average_output"}
_HEAD = {
    *(b"version", b"num_class", b"num_tree_per_iteration", b"label_index", b"max_feature_idx", b"objective"),
    *(b"feature_names", b"monotone_constraints", b"feature_infos", b"tree_sizes"),
}
_BY_SPLIT = (b"split_gain", b"threshold", b"internal_value", b"internal_weight", b"internal_count")
_BY_LEAF = (b"leaf_value", b"leaf_weight", b"leaf_count", b"leaf_const")
_TREE = {
    *(b"num_leaves", b"num_cat", b"split_feature", b"decision_type", b"left_child", b"right_child", b"is_linear"),
    *(b"cat_boundaries", b"cat_threshold", b"num_features", b"leaf_features", b"leaf_coeff", b"shrinkage"),
    *(*_BY_SPLIT, *_BY_LEAF),
}


def width_of(text: bytes) -> int:
    """The columns that it says it takes. Raises Corrupt for a text that says none."""
    found = re.search(rb"^max_feature_idx=([0-9]{1,10})$", text.partition(b"\nTree=")[0], re.MULTILINE)
    if not found:
        raise Corrupt("has no max_feature_idx")
    return int(found[1]) + 1


def check(text: bytes, width: int) -> None:
    """Raises Corrupt for a text that is no model of `width` columns whose trees end in their leaves."""
    if len(text) > TEXT_MAX:
        raise Corrupt(f"this LightGBM model has {len(text)} bytes; at most {TEXT_MAX} are loaded")
    if b"\0" in text:
        raise Corrupt("this LightGBM model has a zero byte in it: it is damaged")
    before, found, _ = text.partition(b"\nend of trees")
    if not found:
        raise Corrupt("this LightGBM model is cut off: its trees have no end")
    head, *rest = (before + b"\n").split(b"\nTree=")
    fields = _head(head, width)
    outputs = _outputs(fields)
    if not rest or len(rest) % outputs:
        raise Corrupt(f"this LightGBM model has {len(rest)} trees for {outputs} outputs")
    if b"tree_sizes" in fields:
        sizes = _ints(fields[b"tree_sizes"], "tree_sizes").tolist()
        lengths = [len(tree) + len(b"Tree=") + (1 if i < len(rest) - 1 else 0) for i, tree in enumerate(rest)]
        if sizes != lengths:
            raise Corrupt("this LightGBM model's tree_sizes are not those of its trees: it is damaged")
    for place, tree in enumerate(rest):
        try:
            number, _, body = tree.partition(b"\n")
            if number != b"%d" % place:
                raise Corrupt("is not in its place")
            _check_tree(_fields(body.rstrip(b"\n"), _TREE), width)
        except Corrupt as error:
            raise Corrupt(f"tree {place} of this LightGBM model {error.message}") from None


def _head(head: bytes, width: int) -> Mapping[bytes, bytes]:
    lines = [line for line in head.split(b"\n") if line]
    words = [line for line in lines if b"=" not in line]
    try:
        if lines[:1] != [b"tree"] or len(set(words)) != len(words) or not _HEAD_WORDS.issuperset(words):
            raise Corrupt("does not begin as one")
        fields = _fields(b"\n".join(line for line in lines if b"=" in line), _HEAD)
        columns = _number(fields, b"max_feature_idx") + 1
    except Corrupt as error:
        raise Corrupt(f"this LightGBM model {error.message}") from None
    if columns != width:
        raise Corrupt(f"this LightGBM model takes {columns} columns, its signature says {width}")
    if b"monotone_constraints" in fields:
        _array(fields, b"monotone_constraints", width)
    return fields


def _outputs(fields: Mapping[bytes, bytes]) -> int:
    """The trees of one round. The library makes room for `num_class` and writes what its objective says."""
    outputs, classes = _number(fields, b"num_tree_per_iteration"), _number(fields, b"num_class")
    if outputs < 1 or classes != outputs:
        raise Corrupt(f"this LightGBM model has {classes} classes and {outputs} trees a round")
    objective = fields.get(b"objective")
    of_classes = _CLASSES.fullmatch(objective or b"")
    fits = int(of_classes[1] or of_classes[2]) == outputs > 1 if of_classes else outputs == 1
    if objective is not None and not (fits and (of_classes or _ONE_OUTPUT.fullmatch(objective))):
        said = objective[:60].decode(errors="replace")
        raise Corrupt(f"this LightGBM model has the objective {said!r}, which is not served for {outputs} outputs")
    return outputs


def _check_tree(fields: Mapping[bytes, bytes], width: int) -> None:
    leaves = _number(fields, b"num_leaves")
    if not 1 <= leaves <= LEAVES_MAX:
        raise Corrupt(f"has {leaves} leaves")
    for names, length in ((_BY_SPLIT, leaves - 1), (_BY_LEAF, leaves)):
        for name in names:
            given = _floats(fields.get(name, b""), name.decode())
            needed = name == b"leaf_value" or (name == b"threshold" and leaves > 1)
            if given != length and (given or needed):
                raise Corrupt(f"has {given} values of {name.decode()} instead of {length}")
    if b"shrinkage" in fields and _floats(fields[b"shrinkage"], "shrinkage") != 1:
        raise Corrupt("has not one shrinkage")
    kinds = np.empty(0, np.int64)
    if leaves > 1:
        found = {n: _array(fields, n, leaves - 1) for n in (b"split_feature", b"left_child", b"right_child")}
        kinds = _array(fields, b"decision_type", leaves - 1)
        features = found[b"split_feature"]
        if (features < 0).any() or (features >= width).any():
            raise Corrupt(f"splits on a feature that none of the {width} is")
        if (kinds < 0).any() or (kinds >= _DECISIONS).any():
            raise Corrupt("has a decision_type that is none")
        _check_shape(found[b"left_child"].tolist(), found[b"right_child"].tolist(), leaves)
    _check_sets(fields, kinds, leaves)
    if fields.get(b"is_linear", b"0") not in (b"0", b"1"):
        raise Corrupt("says neither that it is linear nor that it is not")
    if fields.get(b"is_linear") == b"1":
        used = _ints(fields.get(b"leaf_features", b""), "leaf_features")
        counts = _array(fields, b"num_features", leaves)
        if (used < 0).any() or (used >= width).any() or (counts < 0).any() or int(counts.sum()) != len(used):
            raise Corrupt("has leaves of features that do not exist")
        weights = _floats(fields.get(b"leaf_coeff", b""), "leaf_coeff")
        if weights != len(used) or len(fields.get(b"leaf_const", b"").split()) != leaves:
            raise Corrupt("has leaves without their coefficients")


def _check_shape(left: list[int], right: list[int], leaves: int) -> None:
    """Every split and every leaf is reached once from the root."""
    splits, waiting, seen = leaves - 1, [0], set[int]()
    while waiting:
        node = waiting.pop()
        if node in seen or node >= splits or ~node >= leaves:
            raise Corrupt("has a node that is its own descendant, or that is not there")
        seen.add(node)
        if node >= 0:
            waiting += (left[node], right[node])
    if len(seen) != splits + leaves:
        raise Corrupt("has nodes that nothing leads to")


def _check_sets(fields: Mapping[bytes, bytes], kinds: Ints, leaves: int) -> None:
    places = np.flatnonzero(kinds & _CATEGORICAL)
    sets = _number(fields, b"num_cat") if b"num_cat" in fields else 0
    if not 0 <= sets < leaves or (sets == 0 and len(places)):
        raise Corrupt(f"has {sets} sets of categories for {len(places)} splits on one")
    if not sets:
        return
    bounds = _array(fields, b"cat_boundaries", sets + 1)
    words = _ints(fields.get(b"cat_threshold", b""), "cat_threshold")
    if bounds[0] != 0 or (np.diff(bounds) < 0).any() or bounds[-1] != len(words):
        raise Corrupt("has sets of categories that overlap or are cut off")
    if (words < 0).any() or (words >= 1 << 32).any():
        raise Corrupt("has a set of categories that is none")
    thresholds = fields[b"threshold"].split()
    chosen = [float(thresholds[i]) for i in places]
    if any(not (c.is_integer() and 0 <= c < sets) for c in chosen):
        raise Corrupt("has a split on a set of categories that is not there")


def _fields(block: bytes, known: Collection[bytes]) -> dict[bytes, bytes]:
    """Lines of known names, each once."""
    found: dict[bytes, bytes] = {}
    for line in block.split(b"\n"):
        name, equals, value = line.partition(b"=")
        said = name[:40].decode(errors="replace")
        if not equals or name not in known or b"\r" in value or (b"=" in value and name != b"feature_names"):
            raise Corrupt(f"has a line {said!r} that LightGBM does not write")
        if name in found:
            raise Corrupt(f"has two lines of {said}")
        found[name] = value
    return found


def _number(fields: Mapping[bytes, bytes], name: bytes) -> int:
    if not re.fullmatch(rb"-?[0-9]{1,10}", fields.get(name, b"")):
        raise Corrupt(f"has no {name.decode()}")
    return int(fields[name])


def _array(fields: Mapping[bytes, bytes], name: bytes, length: int) -> Ints:
    values = _ints(fields.get(name, b""), name.decode())
    if len(values) != length:
        raise Corrupt(f"has {len(values)} values of {name.decode()} instead of {length}")
    return values


def _ints(text: bytes, name: str) -> Ints:
    try:
        if re.fullmatch(rb"[-0-9 ]*", text):
            return np.array(text.split(), dtype=np.int64) if text.strip() else np.empty(0, np.int64)
    except (ValueError, OverflowError):
        pass
    raise Corrupt(f"has something else than whole numbers in {name}")


def _floats(text: bytes, name: str) -> int:
    """How many numbers stand there."""
    try:
        if re.fullmatch(rb"[-+0-9.einfa ]*", text):
            return len(np.array(text.split(), dtype=np.float64))
    except ValueError:
        pass
    raise Corrupt(f"has something else than numbers in {name}")
