"""Learning the columns that are made of others: how often a value is, what the label is for it, topics of a text.

What training sees of its own rows comes from the other rows (folds), so that no row tells of its own label.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanok.compute.feature_steps import Floats, Made, Step, looked_up, topic_weights
from hanok.core.serving import Column

ENCODED_MIN, COUNTED_MIN = 3, 8  # levels
PRIOR = 10.0  # rows that stand for what is known without the value
FOLDS = 4
TOPICS, TERMS_MIN = 30, 20
CLASSES_MAX = 12


@dataclass(frozen=True, slots=True)
class Learnt:
    """Steps for rows to come, and the extended matrix of the rows that they were learnt from. `owners` names for each
    of its columns the input that it comes from; `categories` are columns of codes, `encoded` those made of labels."""

    made: Made
    matrix: Floats
    owners: tuple[str, ...]
    categories: tuple[int, ...]
    terms: tuple[int, ...]


def learn(
    x: Floats, y: Floats, inputs: tuple[Column, ...], task: str, classes: int, folds: NDArray[np.int64], *, topics: bool
) -> Learnt:
    """`folds` numbers the rows: what a row is told of its label's mean comes from the other folds."""
    steps: list[Step] = []
    matrices: dict[str, Floats] = {}
    columns, owners = [x], [c.name for c in inputs]
    categories = [i for i, c in enumerate(inputs) if c.datatype == "BYTES" and not c.terms]
    terms = [i for i, c in enumerate(inputs) if c.terms]
    targets = _targets(y, task, classes)
    for index in categories:
        codes, levels = x[:, index], len(inputs[index].categories)
        if levels >= ENCODED_MIN:
            for target in targets:
                steps.append(Step("table", index, table=tuple(_means(codes, target, levels).tolist())))
                columns.append(_from_others(codes, target, levels, folds)[:, None])
                owners.append(inputs[index].name)
        if levels >= COUNTED_MIN:
            table = _counts(codes, levels)
            steps.append(Step("table", index, table=tuple(table.tolist())))
            columns.append(looked_up(table, codes)[:, None])
            owners.append(inputs[index].name)
    for name in dict.fromkeys(inputs[i].name for i in terms) if topics else ():
        places = [i for i in terms if inputs[i].name == name]
        first, last = places[0], places[-1]  # the last one counts the words
        if last - first >= TERMS_MIN:
            idf, axes = _topics(x[:, first:last])
            matrices[file := f"topics{len(matrices)}.npy"] = axes
            step = Step("topics", first, last, idf=tuple(idf.tolist()), matrix=file)
            steps.append(step)
            columns.append(topic_weights(x[:, first:last], idf) @ axes.T)
            owners += [name] * len(axes)
    made = Made(tuple(steps), matrices)
    return Learnt(made, np.column_stack(columns), tuple(owners), tuple(categories), tuple(terms))


def _targets(y: Floats, task: str, classes: int) -> list[Floats]:
    if task != "multiclass":
        return [y]
    return [(y == c).astype(float) for c in range(min(classes, CLASSES_MAX))]


def _means(codes: Floats, target: Floats, levels: int) -> Floats:
    """The label's mean for each level, drawn to the mean of all by `PRIOR` rows; the last entry is that mean."""
    known = np.isfinite(codes)
    middle = float(target.mean()) if len(target) else 0.0
    places = codes[known].astype(np.int64)
    sums = np.bincount(places, weights=target[known], minlength=levels)
    rows = np.bincount(places, minlength=levels)
    unknown = target[~known]
    last = (float(unknown.sum()) + PRIOR * middle) / (len(unknown) + PRIOR)
    return np.append((sums + PRIOR * middle) / (rows + PRIOR), last)


def _from_others(codes: Floats, target: Floats, levels: int, folds: NDArray[np.int64]) -> Floats:
    out = np.empty(len(codes))
    for fold in np.unique(folds):
        mine = folds == fold
        out[mine] = looked_up(_means(codes[~mine], target[~mine], levels), codes[mine])
    return out


def _counts(codes: Floats, levels: int) -> Floats:
    known = np.isfinite(codes)
    rows = np.bincount(codes[known].astype(np.int64), minlength=levels)
    return np.log1p(np.append(rows, (~known).sum()).astype(float))


def _topics(terms: Floats) -> tuple[Floats, Floats]:
    """Inverse document frequencies, and the main axes of the weighed texts (their singular vectors)."""
    there = np.nan_to_num(terms) > 0
    idf = np.log((1 + len(terms)) / (1 + there.sum(axis=0))) + 1
    weighed = topic_weights(terms, idf)
    values, vectors = np.linalg.eigh(weighed.T @ weighed)
    axes = vectors[:, ::-1][:, : min(TOPICS, len(values) - 1)].T
    signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])
    return idf, np.ascontiguousarray(axes * signs[:, None])
