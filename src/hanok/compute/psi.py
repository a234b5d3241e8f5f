"""The population stability index of counts in bins, of one pair or of many at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SMOOTHING = 0.5
EXPECTED_MIN = 5.0
COMMON_MIN = 2

Counts = NDArray[np.float64]


def pooled(before: Counts, after: Counts) -> tuple[Counts, Counts]:
    """Rows of counts with their rare bins pooled, behind the others; pairs of bins that hold nothing do not count.

    Rare are bins in which fewer than 5 rows of `after` are expected (Cochran 1954). They are pooled in one, or with
    their neighbours until about 5 are expected in each, where a small sample would have all but one of its bins pooled.
    """
    n, m = before.sum(axis=1, keepdims=True), after.sum(axis=1, keepdims=True)
    rare = before * m < EXPECTED_MIN * n
    small = (~rare).sum(axis=1, keepdims=True) < COMMON_MIN
    upto, full = np.cumsum(np.where(rare, before, 0), axis=1), EXPECTED_MIN * n / m
    last = np.maximum(upto[:, -1:] // full - 1, 0)
    group = np.where(small & rare, np.minimum((upto - before) // full, last), 0).astype(np.int64)
    groups = int(group.max(initial=0)) + 1
    place = (np.arange(len(group))[:, None] * groups + group)[rare]
    a, b = (
        np.hstack([np.where(rare, 0, x), np.bincount(place, x[rare], len(x) * groups).reshape(len(x), groups)])
        for x in (before, after)
    )
    return a, b


def distances(a: Counts, b: Counts) -> tuple[Counts, Counts]:
    """PSI (natural log, half a count added to each bin that counts) of each row of pooled counts, and its noise floor:
    what equal distributions show at these sample sizes."""
    n, m = a.sum(axis=1, keepdims=True), b.sum(axis=1, keepdims=True)
    used = (a + b) > 0
    bins = used.sum(axis=1, keepdims=True)
    p, q = (a + SMOOTHING) / (n + SMOOTHING * bins), (b + SMOOTHING) / (m + SMOOTHING * bins)
    psi = np.where(used, (q - p) * np.log(q / p), 0).sum(axis=1)
    return psi, ((bins - 1) * (1 / n + 1 / m))[:, 0]
