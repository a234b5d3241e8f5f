"""Distances and tests between two samples: numeric ones as arrays, categorical ones as aligned counts.

Samples are one-dimensional float64 arrays without NaN; nulls are counted apart by the caller. A distance says how far,
a test how surprising; p-values are two-sided. Every measure's name carries its base and binning where these matter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hanok.compute import tails

Floats = NDArray[np.float64]
EXACT_RANKS_MAX, EXACT_OTHER_MAX = 8, 1000
EXACT_CELLS_MAX = 4_000_000
SHARE_FLOOR = 1e-4
# Scholz and Stephens (1987), table 2, m = 1: critical values at these levels.
ANDERSON_LEVELS = (0.25, 0.1, 0.05, 0.025, 0.01, 0.005, 0.001)
ANDERSON_B0 = (0.675, 1.281, 1.645, 1.96, 2.326, 2.573, 3.085)
ANDERSON_B1 = (-0.245, 0.25, 0.678, 1.149, 1.822, 2.364, 3.615)
ANDERSON_B2 = (-0.105, -0.305, -0.362, -0.391, -0.396, -0.345, -0.154)


@dataclass(frozen=True, slots=True)
class Test:
    statistic: float
    p_value: float


def sample(values: ArrayLike) -> Floats:
    """A sorted sample without NaN. Raises ValueError when nothing is left."""
    array = np.asarray(values, np.float64)
    array = np.sort(array[~np.isnan(array)])
    if not len(array):
        raise ValueError("the sample is empty")
    return array


# -- numeric -----------------------------------------------------------------------------------------------------


def _cumulative(a: Floats, b: Floats) -> tuple[Floats, Floats, Floats]:
    """All values of both, sorted, and both distribution functions there."""
    both = np.concatenate([a, b])
    both.sort()
    return both, np.searchsorted(a, both, "right") / len(a), np.searchsorted(b, both, "right") / len(b)


def kolmogorov_smirnov(reference: ArrayLike, current: ArrayLike, *, method: str = "auto") -> Test:
    """The largest gap between the distribution functions.

    `method`: "exact" counts lattice paths (Hodges 1958; ties are ignored, which is conservative), "asymptotic" takes
    the one-sample distribution at n m / (n + m), "auto" is exact while n * m is at most 4 million.
    """
    a, b = sample(reference), sample(current)
    _, f, g = _cumulative(a, b)
    statistic = float(np.abs(f - g).max())
    n, m = len(a), len(b)
    if method == "exact" or (method == "auto" and n * m <= EXACT_CELLS_MAX):
        return Test(statistic, _exact_ks_p(statistic, n, m))
    return Test(statistic, tails.kolmogorov_tail(statistic, round(n * m / (n + m))))


def _exact_ks_p(statistic: float, n: int, m: int) -> float:
    """P(D >= statistic): a random path from (0, 0) to (n, m) leaves the band. The mass that leaves is summed itself, so
    small p-values keep their digits."""
    common = math.gcd(n, m)
    n_step, m_step = n // common, m // common
    bound = round(statistic * n * m_step)
    if bound == 0:
        return 1.0
    left = 0.0
    mass = np.zeros(n + 1)
    mass[0] = 1.0
    i = np.arange(n + 1)
    for taken in range(n + m):  # all paths after `taken` steps: i from the first sample, taken - i from the second
        j = taken - i
        with np.errstate(divide="ignore", invalid="ignore"):
            first = np.where((j >= 0) & (j <= m), (n - i) / (n + m - taken), 0.0)
        moved = np.zeros(n + 1)
        moved[1:] = (mass * first)[:-1]
        moved += mass * np.where(mass > 0, 1 - first, 0.0)
        outside = np.abs(i * m_step - (taken + 1 - i) * n_step) >= bound
        left += float(moved[outside].sum())
        moved[outside] = 0.0
        mass = moved
    return min(1.0, left)


def wasserstein(reference: ArrayLike, current: ArrayLike) -> float:
    """The first Wasserstein distance, the area between the distribution functions, in the unit of the values."""
    both, f, g = _cumulative(sample(reference), sample(current))
    return float(np.sum(np.abs(f - g)[:-1] * np.diff(both)))


def wasserstein_in_deviations(reference: ArrayLike, current: ArrayLike) -> float:
    """The Wasserstein distance over the population standard deviation of the reference; infinite when that is 0."""
    spread = float(np.std(sample(reference)))
    distance = wasserstein(reference, current)
    return distance / spread if spread else (math.inf if distance else 0.0)


def energy_distance(reference: ArrayLike, current: ArrayLike) -> float:
    """sqrt(2 * integral of (F - G)^2), Szekely's energy distance in one dimension."""
    both, f, g = _cumulative(sample(reference), sample(current))
    return float(math.sqrt(2 * np.sum((f - g)[:-1] ** 2 * np.diff(both))))


def cramer_von_mises(reference: ArrayLike, current: ArrayLike) -> Test:
    """The two-sample criterion of Anderson (1962) with midranks; the p-value is of the standardised limit."""
    a, b = sample(reference), sample(current)
    n, m = len(a), len(b)
    ranks = midranks(np.concatenate([a, b]))
    u = n * float(((ranks[:n] - np.arange(1, n + 1)) ** 2).sum()) + m * float(
        ((ranks[n:] - np.arange(1, m + 1)) ** 2).sum()
    )
    total = n + m
    statistic = u / (n * m * total) - (4 * n * m - 1) / (6 * total)
    mean = (1 + 1 / total) / 6
    variance = (total + 1) * (4 * m * n * total - 3 * (m * m + n * n) - 2 * m * n) / (45 * total**2 * 4 * m * n)
    standard = 1 / 6 + (statistic - mean) / math.sqrt(45 * variance) if variance > 0 else 0.0
    return Test(statistic, tails.cramer_von_mises_tail(standard) if standard > 0.003 else 1.0)


def anderson_darling(reference: ArrayLike, current: ArrayLike) -> Test:
    """The two-sample test of Scholz and Stephens (1987), midrank version, eq. 7; the p-value is interpolated in their
    table and cut to [0.001, 0.25]."""
    samples = [sample(reference), sample(current)]
    pooled = np.sort(np.concatenate(samples))
    values, counts = np.unique(pooled, return_counts=True)
    total = len(pooled)
    if len(values) < 2:
        return Test(0.0, 0.25)
    below = np.searchsorted(pooled, values, "left") + counts / 2
    statistic = 0.0
    for one in samples:
        right = np.searchsorted(one, values, "right")
        own = right - (right - np.searchsorted(one, values, "left")) / 2
        inner = counts / total * (total * own - below * len(one)) ** 2 / (below * (total - below) - total * counts / 4)
        statistic += float(inner.sum()) / len(one)
    statistic *= (total - 1) / total
    sizes = [len(one) for one in samples]
    inverse = sum(1 / n for n in sizes)
    h = float(np.sum(1 / np.arange(1, total)))
    g = float(np.sum(np.cumsum(1 / np.arange(total - 1, 1, -1)) / np.arange(2, total)))
    k = len(samples)
    a = (4 * g - 6) * (k - 1) + (10 - 6 * g) * inverse
    b = (2 * g - 4) * k**2 + 8 * h * k + (2 * g - 14 * h - 4) * inverse - 8 * h + 4 * g - 6
    c = (6 * h + 2 * g - 2) * k**2 + (4 * h - 4 * g + 6) * k + (2 * h - 6) * inverse + 4 * h
    d = (2 * h + 6) * k**2 - 4 * h * k
    variance = (a * total**3 + b * total**2 + c * total + d) / ((total - 1.0) * (total - 2.0) * (total - 3.0))
    m = k - 1
    standard = (statistic - m) / math.sqrt(variance)
    critical = np.array(ANDERSON_B0) + np.array(ANDERSON_B1) / math.sqrt(m) + np.array(ANDERSON_B2) / m
    fit = np.polyfit(critical, np.log(ANDERSON_LEVELS), 2)
    if standard < critical.min():
        return Test(standard, 0.25)
    if standard > critical.max():
        return Test(standard, 0.001)
    return Test(standard, float(np.exp(np.polyval(fit, standard))))


def mann_whitney(reference: ArrayLike, current: ArrayLike) -> Test:
    """The rank-sum test (1947): U of the reference. The p-value is exact where a side has at most 8 values and none is
    tied, else normal with tie and continuity corrections."""
    a, b = sample(reference), sample(current)
    n, m = len(a), len(b)
    ranks = midranks(np.concatenate([a, b]))
    u = float(ranks[:n].sum()) - n * (n + 1) / 2
    _, ties = np.unique(np.concatenate([a, b]), return_counts=True)
    total = n + m
    if min(n, m) <= EXACT_RANKS_MAX and max(n, m) <= EXACT_OTHER_MAX and ties.max() == 1:
        return Test(u, min(1.0, 2 * float(_rank_sums(n, m)[round(max(u, n * m - u)) :].sum())))
    spread = math.sqrt(n * m / 12 * (total + 1 - float((ties.astype(float) ** 3 - ties).sum()) / (total * (total - 1))))
    if not spread:
        return Test(u, 1.0)
    z = (max(u, n * m - u) - n * m / 2 - 0.5) / spread
    return Test(u, min(1.0, 2 * tails.normal_tail(z)))


def _rank_sums(n: int, m: int) -> Floats:
    """The null distribution of U without ties: the largest value is of the first sample, or it is not."""
    above = np.zeros((m + 1, n * m + 1))
    above[:, 0] = 1.0
    for i in range(1, n + 1):
        here = np.zeros_like(above)
        here[0, 0] = 1.0
        for j in range(1, m + 1):
            here[j] = here[j - 1] * (j / (i + j))
            here[j, j:] += above[j, : n * m + 1 - j] * (i / (i + j))
        above = here
    return np.asarray(above[m])


def welch(reference: ArrayLike, current: ArrayLike) -> Test:
    """Welch's t-test (1947) of equal means without equal variances. NaN for fewer than two values on a side."""
    a, b = sample(reference), sample(current)
    if min(len(a), len(b)) < 2:
        return Test(math.nan, math.nan)
    v, w = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    difference = float(a.mean() - b.mean())
    if not v + w:
        return Test(math.inf if difference else 0.0, 0.0 if difference else 1.0)
    t = difference / math.sqrt(v + w)
    freedom = (v + w) ** 2 / (v * v / (len(a) - 1) + w * w / (len(b) - 1))
    return Test(float(t), tails.student_tail(float(t), float(freedom)))


def separation_auc(reference: ArrayLike, current: ArrayLike) -> float:
    """How well one value tells the two samples apart: the ROC area, 0.5 (not at all) to 1."""
    a, b = sample(reference), sample(current)
    ranks = midranks(np.concatenate([a, b]))
    area = (float(ranks[len(a) :].sum()) - len(b) * (len(b) + 1) / 2) / (len(a) * len(b))
    return max(area, 1 - area)


def psi_deciles(reference: ArrayLike, current: ArrayLike, *, bins: int = 10) -> float:
    """Population stability index over quantile bins of the reference with open ends; shares are at least 0.0001."""
    a, b = sample(reference), sample(current)
    edges = np.unique(np.quantile(a, np.linspace(0, 1, bins + 1)))[1:-1]
    shares = [np.bincount(np.searchsorted(edges, x, "right"), minlength=len(edges) + 1) / len(x) for x in (a, b)]
    return _psi(*shares)


def mmd2_rbf(reference: ArrayLike, current: ArrayLike, *, sigma2: float | None = None) -> float:
    """The unbiased squared maximum mean discrepancy (Gretton et al. 2012, eq. 3) under exp(-d^2 / (2 sigma2)).

    Samples are (rows,) or (rows, dimensions); `sigma2` is the median of the pooled pairwise squared distances. Costs
    (n + m)^2 distances.
    """
    a, b = (_rows(x) for x in (reference, current))
    pooled = np.concatenate([a, b])
    squares = squared_distances(pooled, pooled)
    if sigma2 is None:
        upper = squares[np.triu_indices(len(pooled), 1)]
        sigma2 = float(np.median(upper)) or 1.0
    kernel = np.exp(-squares / (2 * sigma2))
    return mmd2_of(kernel, np.arange(len(pooled)) < len(a))


def mmd2_of(kernel: Floats, first: NDArray[np.bool_]) -> float:
    """Unbiased MMD^2 from the kernel matrix of pooled rows; `first` marks those of the first sample."""
    n, m = int(first.sum()), int((~first).sum())
    side = first.astype(float)
    other = 1 - side
    diagonal = np.diag(kernel)
    within = (side @ kernel @ side - diagonal[first].sum()) / (n * (n - 1))
    within += (other @ kernel @ other - diagonal[~first].sum()) / (m * (m - 1))
    return float(within - 2 * (side @ kernel @ other) / (n * m))


def squared_distances(a: Floats, b: Floats) -> Floats:
    """(rows of a, rows of b), never negative."""
    squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None, :] - 2 * a @ b.T
    return np.maximum(squares, 0.0)


def _rows(values: ArrayLike) -> Floats:
    array = np.asarray(values, np.float64)
    return array[:, None] if array.ndim == 1 else array


def midranks(values: Floats) -> Floats:
    """Ranks from 1; ties share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


# -- categorical -------------------------------------------------------------------------------------------------


def _counts(reference: ArrayLike, current: ArrayLike) -> tuple[Floats, Floats]:
    """Aligned counts; cells that are empty on both sides go."""
    a, b = np.asarray(reference, np.float64), np.asarray(current, np.float64)
    used = (a + b) > 0
    if not a.sum() or not b.sum():
        raise ValueError("the sample is empty")
    return a[used], b[used]


def chi_square(reference: ArrayLike, current: ArrayLike) -> Test:
    """Pearson's test of homogeneity of two samples, without continuity correction."""
    a, b = _counts(reference, current)
    if len(a) < 2:
        return Test(0.0, 1.0)
    n, m = a.sum(), b.sum()
    statistic = float(((math.sqrt(m / n) * a - math.sqrt(n / m) * b) ** 2 / (a + b)).sum())
    return Test(statistic, tails.chi_square_tail(statistic, len(a) - 1))


def g_test(reference: ArrayLike, current: ArrayLike) -> Test:
    """The log-likelihood ratio test of homogeneity of two samples."""
    a, b = _counts(reference, current)
    if len(a) < 2:
        return Test(0.0, 1.0)
    n, m = a.sum(), b.sum()
    both = a + b
    total = 0.0
    for x, size in ((a, n), (b, m)):
        seen = x > 0
        total += float((x[seen] * np.log(x[seen] * (n + m) / (both[seen] * size))).sum())
    statistic = max(0.0, 2 * total)
    return Test(statistic, tails.chi_square_tail(statistic, len(a) - 1))


def l_infinity(reference: ArrayLike, current: ArrayLike) -> float:
    """The largest difference of a share."""
    p, q = _shares(reference, current)
    return float(np.abs(p - q).max())


def total_variation(reference: ArrayLike, current: ArrayLike) -> float:
    """Half the sum of the differences of shares."""
    p, q = _shares(reference, current)
    return float(np.abs(p - q).sum() / 2)


def hellinger(reference: ArrayLike, current: ArrayLike) -> float:
    """sqrt(sum of (sqrt p - sqrt q)^2 / 2), 0 to 1."""
    p, q = _shares(reference, current)
    return float(math.sqrt(((np.sqrt(p) - np.sqrt(q)) ** 2).sum() / 2))


def js_divergence_base2(reference: ArrayLike, current: ArrayLike) -> float:
    """Jensen-Shannon divergence in bits (Lin 1991), 0 to 1."""
    p, q = _shares(reference, current)
    middle = (p + q) / 2
    total = sum(float((x[x > 0] * np.log2(x[x > 0] / middle[x > 0])).sum()) for x in (p, q))
    return min(1.0, max(0.0, total / 2))


def js_distance_base2(reference: ArrayLike, current: ArrayLike) -> float:
    """The square root of the Jensen-Shannon divergence in bits."""
    return math.sqrt(js_divergence_base2(reference, current))


def psi_counts(reference: ArrayLike, current: ArrayLike) -> float:
    """Population stability index over given cells; shares are at least 0.0001."""
    return _psi(*_shares(reference, current))


def _shares(reference: ArrayLike, current: ArrayLike) -> tuple[Floats, Floats]:
    a, b = _counts(reference, current)
    return a / a.sum(), b / b.sum()


def _psi(p: Floats, q: Floats) -> float:
    p, q = np.maximum(p, SHARE_FLOOR), np.maximum(q, SHARE_FLOOR)
    return float(((q - p) * np.log(q / p)).sum())


# -- many tests at once ------------------------------------------------------------------------------------------


def holm(p_values: ArrayLike, alpha: float) -> list[int]:
    """Which hypotheses Holm's step-down procedure (1979) rejects; the family-wise error is at most alpha."""
    p = np.asarray(p_values, np.float64)
    rejected = []
    for rank, i in enumerate(np.argsort(p, kind="stable")):
        if p[i] > alpha / (len(p) - rank):
            break
        rejected.append(int(i))
    return sorted(rejected)


def bonferroni(p_values: ArrayLike, alpha: float) -> list[int]:
    """Which hypotheses are rejected at alpha over their number."""
    p = np.asarray(p_values, np.float64)
    return [int(i) for i in np.flatnonzero(p <= alpha / len(p))]


def benjamini_hochberg(p_values: ArrayLike) -> list[float]:
    """Adjusted p-values (1995) in the order given: rejecting those up to alpha keeps the false discovery rate at it."""
    p = np.asarray(p_values, np.float64)
    n = len(p)
    order = np.argsort(p)[::-1]
    scaled = p[order] * n / np.arange(n, 0, -1)
    result = np.empty(n)
    result[order] = np.minimum.accumulate(np.minimum(scaled, 1.0))
    return [float(x) for x in result]
