"""LightGBM's text format, checked before its native loader and its native walk through the trees see it.

The library trusts what it reads: a child or a feature beyond its array is memory that is not its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from hanok.core.errors import Corrupt

TEXT_MAX = 1 << 30
LEAVES_MAX = 1 << 17
Ints: TypeAlias = NDArray[np.int64]
_CATEGORICAL = 1


def check(text: bytes, width: int) -> None:
    """Raises Corrupt for a text that is no model of `width` columns whose trees end in their leaves."""
    if len(text) > TEXT_MAX:
        raise Corrupt(f"this LightGBM model has {len(text)} bytes; at most {TEXT_MAX} are loaded")
    head, *rest = text.split(b"\nTree=")
    fields = _fields(head)
    columns = _number(fields, b"max_feature_idx") + 1
    if columns != width:
        raise Corrupt(f"this LightGBM model takes {columns} columns, its signature says {width}")
    outputs = _number(fields, b"num_tree_per_iteration")
    if outputs < 1 or not rest or len(rest) % outputs:
        raise Corrupt(f"this LightGBM model has {len(rest)} trees for {outputs} outputs")
    body, found, _ = rest[-1].partition(b"end of trees")
    if not found:
        raise Corrupt("this LightGBM model is cut off: its trees have no end")
    rest[-1] = body
    if b"tree_sizes" in fields:
        sizes = _ints(fields[b"tree_sizes"], "tree_sizes").tolist()
        lengths = [len(tree) + len(b"Tree=") + (1 if i < len(rest) - 1 else 0) for i, tree in enumerate(rest)]
        if sizes != lengths:
            raise Corrupt("this LightGBM model's tree_sizes are not those of its trees: it is damaged")
    for place, tree in enumerate(rest):
        try:
            _check_tree(_fields(tree), width)
        except Corrupt as error:
            raise Corrupt(f"tree {place} of this LightGBM model {error.message}") from None


def _check_tree(fields: Mapping[bytes, bytes], width: int) -> None:
    leaves = _number(fields, b"num_leaves")
    if not 1 <= leaves <= LEAVES_MAX:
        raise Corrupt(f"has {leaves} leaves")
    if len(fields.get(b"leaf_value", b"").split()) != leaves:
        raise Corrupt(f"has not a value for each of its {leaves} leaves")
    if leaves > 1:
        found = {n: _array(fields, n, leaves - 1) for n in (b"split_feature", b"left_child", b"right_child")}
        kinds = _array(fields, b"decision_type", leaves - 1)
        features = found[b"split_feature"]
        if (features < 0).any() or (features >= width).any():
            raise Corrupt(f"splits on a feature that none of the {width} is")
        _check_shape(found[b"left_child"].tolist(), found[b"right_child"].tolist(), leaves)
        _check_sets(fields, kinds, leaves)
    if fields.get(b"is_linear", b"0").strip() not in (b"0", b""):
        used = _ints(fields.get(b"leaf_features", b""), "leaf_features")
        counts = _array(fields, b"num_features", leaves)
        if (used < 0).any() or (used >= width).any() or (counts < 0).any() or int(counts.sum()) != len(used):
            raise Corrupt("has leaves of features that do not exist")
        if len(fields.get(b"leaf_coeff", b"").split()) != len(used) or len(fields[b"leaf_const"].split()) != leaves:
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
    thresholds = fields.get(b"threshold", b"").split()
    if len(thresholds) != leaves - 1:
        raise Corrupt("has not a threshold for each split")
    places = np.flatnonzero(kinds & _CATEGORICAL)
    if not len(places):
        return
    sets = _number(fields, b"num_cat")
    bounds = _array(fields, b"cat_boundaries", sets + 1)
    words = len(fields.get(b"cat_threshold", b"").split())
    if bounds[0] != 0 or (np.diff(bounds) < 0).any() or bounds[-1] != words:
        raise Corrupt("has sets of categories that overlap or are cut off")
    chosen = [float(thresholds[i]) for i in places]
    if any(not (c.is_integer() and 0 <= c < sets) for c in chosen):
        raise Corrupt("has a split on a set of categories that is not there")


def _fields(block: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for line in block.split(b"\n"):
        name, equals, value = line.partition(b"=")
        if equals:
            found.setdefault(name, value)
    return found


def _number(fields: Mapping[bytes, bytes], name: bytes) -> int:
    try:
        return int(fields[name])
    except (KeyError, ValueError):
        raise Corrupt(f"has no {name.decode()}") from None


def _array(fields: Mapping[bytes, bytes], name: bytes, length: int) -> Ints:
    values = _ints(fields.get(name, b""), name.decode())
    if len(values) != length:
        raise Corrupt(f"has {len(values)} values of {name.decode()} instead of {length}")
    return values


def _ints(text: bytes, name: str) -> Ints:
    try:
        return np.array(text.split(), dtype=np.int64) if text.strip() else np.empty(0, np.int64)
    except (ValueError, OverflowError):
        raise Corrupt(f"has something else than whole numbers in {name}") from None
