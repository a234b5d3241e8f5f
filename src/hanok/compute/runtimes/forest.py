"""Boosted trees of other libraries, written as LightGBM's text, which its own library runs at a few microseconds a row.

Every numeric split is `x <= threshold`, with the side that a missing value takes; a categorical split lists the
categories that go left, and all else goes right. LightGBM's text says exactly that (`decision_type`, `cat_threshold`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from hanok.core.errors import ConversionFailed

Link = Literal["identity", "logistic", "softmax", "exp", "raw"]
CATEGORIES_MAX = 1 << 16
LARGEST = float(np.finfo(np.float64).max)
_OBJECTIVE: Mapping[Link, str] = {
    "identity": "regression",
    "logistic": "binary sigmoid:1",
    "softmax": "multiclass num_class:{classes}",
    "exp": "poisson",
    "raw": "",  # several outputs as they are summed
}
_CATEGORICAL, _DEFAULT_LEFT, _MISSING_IS_NAN = 1, 2, 2 << 2


@dataclass(frozen=True, slots=True)
class Split:
    """`left` and `right` are places of nodes in their tree. With `categories` the split is categorical."""

    feature: int
    threshold: float
    left: int
    right: int
    missing_left: bool = False
    gain: float = 0.0
    categories: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Tree:
    """Nodes with the root first: a split, or the value of a leaf."""

    nodes: Sequence[Split | float]


@dataclass(frozen=True, slots=True)
class Forest:
    """`trees` go round the outputs; `base` is what they are added to, one number for each output. `float32`: a value is
    rounded to 32 bits before it is compared."""

    trees: Sequence[Tree]
    base: Sequence[float]
    link: Link
    float32: bool = False
    importance: Sequence[float] = field(default=())

    def text(self, width: int) -> bytes:
        """LightGBM's text. Raises ConversionFailed for features beyond `width` or categories beyond bounds."""
        outputs = len(self.base)
        trees = list(self.trees) or [Tree((0.0,)) for _ in range(outputs)]
        if len(trees) % outputs:
            raise ConversionFailed(f"{len(trees)} trees do not go round {outputs} outputs")
        objective = _OBJECTIVE[self.link].format(classes=outputs)
        head = (
            f"tree\nversion=v4\nnum_class={outputs}\nnum_tree_per_iteration={outputs}\nlabel_index=0\n"
            f"max_feature_idx={width - 1}\n{f'objective={objective}' + chr(10) if objective else ''}"
            f"feature_names={' '.join(f'f{i}' for i in range(width))}\n"
            f"feature_infos={' '.join(['none'] * width)}\n\n"
        )
        bodies = [
            _tree_text(place, tree, self.base[place] if place < outputs else 0.0, width)
            for place, tree in enumerate(trees)
        ]
        return (head + "\n".join(bodies) + "\nend of trees\n").encode()

    def gains(self, width: int) -> list[float]:
        """How much each feature's splits gained, as shares."""
        sums = np.zeros(width)
        if len(self.importance) == width:
            sums += np.asarray(self.importance, float)
        else:
            for tree in self.trees:
                for node in tree.nodes:
                    if isinstance(node, Split):
                        sums[node.feature] += node.gain
        return [float(v) for v in sums / (sums.sum() or 1.0)]


def thresholds(forest: Forest) -> list[tuple[int, float]]:
    """(feature, threshold) of the numeric splits."""
    found = {
        (n.feature, n.threshold) for t in forest.trees for n in t.nodes if isinstance(n, Split) and n.categories is None
    }
    return sorted(f for f in found if abs(f[1]) < LARGEST)


def _tree_text(place: int, tree: Tree, base: float, width: int) -> str:
    splits, leaves = _numbered(tree)
    if not splits:
        value = float(tree.nodes[0]) + base  # type: ignore[arg-type]
        return (
            f"Tree={place}\nnum_leaves=1\nnum_cat=0\nsplit_feature=\nsplit_gain=\nthreshold=\ndecision_type=\n"
            f"left_child=\nright_child=\nleaf_value={value!r}\nleaf_weight=\nleaf_count=\ninternal_value=\n"
            "internal_weight=\ninternal_count=\nis_linear=0\nshrinkage=1\n"
        )
    place_of = {node: i for i, node in enumerate(splits)} | {node: ~i for i, node in enumerate(leaves)}
    found = [tree.nodes[n] for n in splits]
    columns: dict[str, list[object]] = {n: [] for n in ("feature", "threshold", "kind", "left", "right", "gain")}
    boundaries, bits = [0], list[int]()
    for node in found:
        assert isinstance(node, Split)
        if not 0 <= node.feature < width:
            raise ConversionFailed(f"a tree splits on feature {node.feature} of {width}")
        columns["feature"].append(node.feature)
        columns["gain"].append(repr(float(node.gain)))
        columns["left"].append(place_of[node.left])
        columns["right"].append(place_of[node.right])
        if node.categories is None:
            columns["threshold"].append(repr(float(np.clip(node.threshold, -LARGEST, LARGEST))))
            columns["kind"].append(_MISSING_IS_NAN | (_DEFAULT_LEFT if node.missing_left else 0))
        else:
            columns["threshold"].append(len(boundaries) - 1)
            columns["kind"].append(_MISSING_IS_NAN | _CATEGORICAL)
            bits += _bitset(node.categories)
            boundaries.append(len(bits))
    listed = {name: " ".join(map(str, values)) for name, values in columns.items()}
    values = " ".join(repr(float(tree.nodes[n]) + base) for n in leaves)  # type: ignore[arg-type]
    sets = f"cat_boundaries={' '.join(map(str, boundaries))}\ncat_threshold={' '.join(map(str, bits))}\n"
    ones, zeros = " ".join(["1"] * len(leaves)), " ".join(["0"] * len(splits))
    return (
        f"Tree={place}\nnum_leaves={len(leaves)}\nnum_cat={len(boundaries) - 1}\nsplit_feature={listed['feature']}\n"
        f"split_gain={listed['gain']}\nthreshold={listed['threshold']}\ndecision_type={listed['kind']}\n"
        f"left_child={listed['left']}\nright_child={listed['right']}\nleaf_value={values}\nleaf_weight={ones}\n"
        f"leaf_count={ones}\ninternal_value={zeros}\ninternal_weight={zeros}\ninternal_count={zeros}\n"
        f"{sets if len(boundaries) > 1 else ''}is_linear=0\nshrinkage=1\n"
    )


def _numbered(tree: Tree) -> tuple[list[int], list[int]]:
    """The splits and the leaves of a tree in the order in which they are reached from the root."""
    splits, leaves, waiting, seen = list[int](), list[int](), [0], set[int]()
    while waiting:
        place = waiting.pop()
        if not 0 <= place < len(tree.nodes) or place in seen:
            raise ConversionFailed("the tree is none: a node is its own descendant, or points to no node")
        seen.add(place)
        node = tree.nodes[place]
        if isinstance(node, Split):
            splits.append(place)
            waiting += (node.right, node.left)
        else:
            leaves.append(place)
    return splits, leaves


def _bitset(categories: Sequence[int]) -> list[int]:
    if categories and not 0 <= min(categories) <= max(categories) < CATEGORIES_MAX:
        raise ConversionFailed(f"a split knows the category {max(categories)}; at most {CATEGORIES_MAX - 1} is taken")
    words = [0] * (max(categories, default=0) // 32 + 1)
    for category in categories:
        words[category // 32] |= 1 << category % 32
    return words
