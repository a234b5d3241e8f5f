"""Drift of many columns or of embeddings at once: four statistics, one permutation null.

Rows are rotated to the principal components that hold 95 % of the pooled variance (at most 32) and scaled to unit
variance. Then four things are measured, each strong where the others are not:

- a classifier two-sample test: ridge on the components and their squares, scored leave-one-out, ROC area (Lopez-Paz and
  Oquab 2017) - sees what single directions show;
- the maximum mean discrepancy under a Gaussian kernel of median width (Gretton et al. 2012) - sees the whole shape;
- the largest generalised eigenvalue of the covariances - sees a small new group far out in one direction;
- chi-square over 16 cells of k-means on the pooled rows - sees a new cluster among clusters.

Each is standardised by its values under permuted labels. The statistic is the largest of the four and of their scaled
sum; its p-value comes from the same permutations, so five looks cost nothing and need not be independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hanok.compute.two_sample import squared_distances
from hanok.core.errors import Invalid

Floats = NDArray[np.float64]
COMPONENTS_MAX = 32
VARIANCE_KEPT = 0.95
ROWS_MAX = 1500
ROWS_MIN = 20
NEIGHBOURS = 5
CELLS, CELL_ROWS, STEPS = 16, 25, 15


@dataclass(frozen=True)
class Shift:
    """`p_value` of the permutation test; `auc` tells the samples apart (0.5: not at all); `statistic` names the
    strongest of the four. `row_scores` rank the current rows: how far each lies from its nearest reference rows, over
    what is usual there (1). `column_weights` say in which columns the samples differ, largest first by `columns`."""

    p_value: float
    auc: float
    mmd2: float
    eigenvalue: float
    statistic: str
    row_scores: Floats
    column_weights: Floats

    def rows(self, limit: int = 10) -> list[int]:
        """Current rows that lie farthest from the reference."""
        return [int(i) for i in np.argsort(-self.row_scores, kind="stable")[:limit]]

    def columns(self, names: Sequence[str], limit: int = 10) -> list[tuple[str, float]]:
        order = np.argsort(-self.column_weights, kind="stable")[:limit]
        return [(names[i], float(self.column_weights[i])) for i in order]


def shift(reference: ArrayLike, current: ArrayLike, *, permutations: int = 200, seed: int = 0) -> Shift:
    """Whether and where `current` (m, d) differs from `reference` (n, d). NaN is filled with the column's mean and
    reported as a column of its own would be: give indicators if missingness matters.

    Of more than 1,500 rows on a side a seeded sample is taken. Raises Invalid for fewer than 20 rows, unequal widths or
    infinities.
    """
    a, b = _rows(reference, "reference"), _rows(current, "current")
    if a.shape[1] != b.shape[1]:
        raise Invalid(f"the reference has {a.shape[1]} columns and the current rows have {b.shape[1]}")
    random = np.random.default_rng(seed)
    a_rows, b_rows = (_sample(len(x), random) for x in (a, b))
    both = np.vstack([a[a_rows], b[b_rows]])
    mean, rotation, spread = _components(both)
    z = (both - mean) @ rotation / spread
    side = np.repeat([0.0, 1.0], [len(a_rows), len(b_rows)])
    labels = np.stack([side, *(random.permutation(side) for _ in range(permutations))], axis=1)
    values = {
        "classifier": _areas(z, labels),
        "mmd": _discrepancies(z, labels),
        "eigenvalue": _eigenvalues(z, labels),
        "cells": _cells((both - mean) @ rotation, labels, random),
    }
    standard = np.stack([(v - v[1:].mean()) / (v[1:].std() or 1.0) for v in values.values()])
    together = standard.sum(axis=0) / np.sqrt(len(standard))
    largest = np.maximum(standard.max(axis=0), together)
    p = float((1 + (largest[1:] >= largest[0] - 1e-12).sum()) / (permutations + 1))
    return Shift(
        p,
        float(values["classifier"][0]),
        float(values["mmd"][0]),
        float(values["eigenvalue"][0]),
        list(values)[int(standard[:, 0].argmax())],
        _row_scores((a[a_rows] - mean) @ rotation / spread, (b - mean) @ rotation / spread),
        _column_weights(a[a_rows], b[b_rows]),
    )


def _rows(values: ArrayLike, name: str) -> Floats:
    rows = np.asarray(values, np.float64)
    if rows.ndim != 2 or len(rows) < ROWS_MIN:
        raise Invalid(f"{name} is a matrix of {ROWS_MIN} rows or more; got shape {rows.shape}")
    if np.isinf(rows).any():
        raise Invalid(f"{name} has infinite values; a distance to them means nothing")
    missing = np.isnan(rows)
    if missing.any():
        filled = np.where(missing.all(axis=0), 0.0, np.nanmean(np.where(missing.all(axis=0), 0.0, rows), axis=0))
        rows = np.where(missing, filled, rows)
    return rows


def _sample(n: int, random: np.random.Generator) -> NDArray[np.int64]:
    return np.arange(n) if n <= ROWS_MAX else np.sort(random.choice(n, ROWS_MAX, replace=False))


def _components(rows: Floats) -> tuple[Floats, Floats, Floats]:
    mean = rows.mean(axis=0)
    centred = rows - mean
    values, vectors = np.linalg.eigh(centred.T @ centred / len(rows))
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    total = values.sum()
    if total <= 0:
        return mean, vectors[:, :1], np.ones(1)
    kept = int(np.searchsorted(np.cumsum(values) / total, VARIANCE_KEPT)) + 1
    kept = min(max(kept, 2), COMPONENTS_MAX, int((values > 1e-12 * total).sum()))
    return mean, vectors[:, :kept], np.sqrt(values[:kept])


def _areas(z: Floats, labels: Floats) -> Floats:
    """ROC areas of leave-one-out ridge scores for each column of labels: one solve serves all permutations."""
    features = np.column_stack([z, z * z])
    spread = features.std(axis=0)
    features = np.column_stack([(features - features.mean(axis=0)) / np.where(spread > 0, spread, 1), np.ones(len(z))])
    ridge = 0.05 * len(z) * np.eye(features.shape[1])
    ridge[-1, -1] = 1e-9
    inverse = np.linalg.solve(features.T @ features + ridge, features.T)
    leverage = np.einsum("ij,ji->i", features, inverse)[:, None]
    target = labels - labels.mean(axis=0)
    scores = (features @ (inverse @ target) - leverage * target) / (1 - leverage)
    ranks = scores.argsort(axis=0).argsort(axis=0) + 1.0
    m = labels.sum(axis=0)
    n = len(z) - m
    return ((ranks * labels).sum(axis=0) - m * (m + 1) / 2) / (m * n)


def _discrepancies(z: Floats, labels: Floats) -> Floats:
    """Unbiased MMD^2 for each column of labels."""
    squares = squared_distances(z, z)
    width = float(np.median(squares[np.triu_indices(len(z), 1)])) or 1.0
    kernel = np.exp(-squares / width)
    np.fill_diagonal(kernel, 0.0)
    m = labels.sum(axis=0)
    n = len(z) - m
    by_row = kernel @ labels
    inside = (labels * by_row).sum(axis=0)
    across = ((1 - labels) * by_row).sum(axis=0)
    outside = kernel.sum() - inside - 2 * across
    return inside / (m * (m - 1)) + outside / (n * (n - 1)) - 2 * across / (m * n)


def _eigenvalues(z: Floats, labels: Floats) -> Floats:
    """The largest eigenvalue of the current covariance seen from the reference's, for each column of labels."""
    width = z.shape[1]
    products = (z[:, :, None] * z[:, None, :]).reshape(len(z), width * width)
    m = labels.sum(axis=0)
    n = len(z) - m
    current, total = labels.T @ products, products.sum(axis=0)
    sums, whole = labels.T @ z, z.sum(axis=0)
    made = np.empty(labels.shape[1])
    for i in range(labels.shape[1]):
        own, rest = sums[i] / m[i], (whole - sums[i]) / n[i]
        now = (current[i].reshape(width, width)) / m[i] - np.outer(own, own)
        before = (total - current[i]).reshape(width, width) / n[i] - np.outer(rest, rest)
        root = np.linalg.cholesky(before + 1e-6 * np.eye(width))
        half = np.linalg.solve(root, np.linalg.solve(root, now).T)
        made[i] = np.linalg.eigvalsh((half + half.T) / 2)[-1]
    return made


def _cells(z: Floats, labels: Floats, random: np.random.Generator) -> Floats:
    """Pearson's chi-square of both samples over cells, for each column of labels. Cells know nothing of labels."""
    count = max(2, min(CELLS, len(z) // CELL_ROWS))
    centres = z[[int(random.integers(len(z)))]]
    nearest = ((z - centres[0]) ** 2).sum(axis=1)
    for _ in range(count - 1):  # k-means++ (Arthur and Vassilvitskii 2007)
        total = nearest.sum()
        chosen = random.choice(len(z), p=nearest / total) if total > 0 else int(random.integers(len(z)))
        centres = np.vstack([centres, z[chosen]])
        nearest = np.minimum(nearest, ((z - z[chosen]) ** 2).sum(axis=1))
    for _ in range(STEPS):
        cell = squared_distances(z, centres).argmin(axis=1)
        centres = np.stack([z[cell == k].mean(axis=0) if (cell == k).any() else centres[k] for k in range(count)])
    member = np.eye(count)[cell]
    share = labels[:, 0].mean()
    expected = np.maximum(member.sum(axis=0)[:, None] * share, 1e-9)
    return ((member.T @ labels - expected) ** 2 / (expected * (1 - share))).sum(axis=0)


def _row_scores(reference: Floats, current: Floats) -> Floats:
    """The mean distance to the 5 nearest reference rows, over the median of the same within the reference."""
    k = min(NEIGHBOURS, len(reference) - 1)
    own = np.sort(squared_distances(reference, reference), axis=1)[:, 1 : k + 1]
    usual = float(np.median(np.sqrt(own).mean(axis=1))) or 1.0
    parts = []
    for at in range(0, len(current), 2048):
        squares = np.partition(squared_distances(current[at : at + 2048], reference), k - 1, axis=1)[:, :k]
        parts.append(np.sqrt(squares).mean(axis=1) / usual)
    return np.concatenate(parts)


def _column_weights(reference: Floats, current: Floats) -> Floats:
    """Each column's difference of means in standard errors and of log spreads likewise, whichever is larger."""
    n, m = len(reference), len(current)
    v, w = reference.var(axis=0, ddof=1), current.var(axis=0, ddof=1)
    error = np.sqrt(v / n + w / m)
    gap = np.abs(reference.mean(axis=0) - current.mean(axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        means = np.where(error > 0, gap / error, np.where(gap > 0, np.inf, 0.0))
        spreads = np.where((v > 0) & (w > 0), np.abs(np.log(w / v)) / np.sqrt(2 / n + 2 / m), 0.0)
    return np.maximum(means, spreads)
