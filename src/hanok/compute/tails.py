"""Tail probabilities of the distributions that tests need. Compared with scipy in the tests; scipy is 143 MB."""

from __future__ import annotations

import math

import numpy as np

PRECISION, TINY = 1e-15, 1e-300


def normal_tail(z: float) -> float:
    """P(standard normal > z)."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def normal_quantile(p: float) -> float:
    """z with P(standard normal < z) = p, 0 < p < 1: bisection on erfc, then Newton."""
    low, high = -40.0, 40.0
    for _ in range(70):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 - normal_tail(middle) < p else (low, middle)
    return (low + high) / 2


def chi_square_tail(statistic: float, freedom: float) -> float:
    """P(chi-square with `freedom` degrees > statistic) = Q(freedom / 2, statistic / 2), the regularised upper
    incomplete gamma function: its series below a + 1, Lentz's continued fraction above (DLMF 8.7.1, 8.9.2)."""
    a, x = freedom / 2, statistic / 2
    if x <= 0:
        return 1.0
    if math.isinf(x):
        return 0.0
    scale = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        k = a
        while term > total * PRECISION:
            k += 1
            term *= x / k
            total += term
        return max(0.0, 1 - scale * total)
    b = x + 1 - a
    c, d = 1 / TINY, 1 / b
    h = d
    for i in range(1, 10_000):
        step = -i * (i - a)
        b += 2
        d = 1 / (step * d + b or TINY)
        c = b + step / c or TINY
        h *= d * c
        if abs(d * c - 1) < PRECISION:
            break
    return min(1.0, scale * h)


def student_tail(t: float, freedom: float) -> float:
    """P(|Student's t with `freedom` degrees| > |t|) = I_x(freedom / 2, 1 / 2), x = freedom / (freedom + t^2)."""
    if not math.isfinite(t):
        return 0.0 if math.isinf(t) else math.nan
    return incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t))


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised I_x(a, b): Lentz's continued fraction (DLMF 8.17.22), from the side where it converges fast."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(b, a, 1 - x)
    front = math.exp(
        a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) - math.log(a)
    )
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1) or TINY)
    h = d
    for m in range(1, 10_000):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / (1 + step * d or TINY)
            c = 1 + step / c or TINY
            h *= c * d
        if abs(c * d - 1) < PRECISION:
            break
    return front * h


def kolmogorov_tail(d: float, n: int) -> float:
    """P(D_n >= d) of the one-sample Kolmogorov statistic over `n` values.

    As Simard and L'Ecuyer (2011) divide it: the matrix method of Marsaglia, Tsang and Wang (2003) for small n and near
    0, the series of Pelz and Good (1976) for n above 140, and in the tail twice the one-sided probability.
    """
    s = d * d * n
    if d >= 1:
        return 0.0
    if s > (4.0 if n <= 140 else 2.2):
        return min(1.0, 2 * _one_sided(n, d))
    if n > 140 and (n > 100_000 or n * d**1.5 > 1.4):
        return min(1.0, max(0.0, 1 - _pelz_good(n, math.sqrt(n) * d)))
    k = math.floor(n * d) + 1
    size, h = 2 * k - 1, k - n * d
    matrix = np.tri(size, size, 1)
    powers = h ** np.arange(1, size + 1)
    matrix[:, 0] -= powers
    matrix[-1, :] -= powers[::-1]
    matrix[-1, 0] += max(0.0, 2 * h - 1) ** size
    i, j = np.indices((size, size))
    gap = i - j + 1
    factorials = np.array([math.lgamma(g + 1) for g in range(size + 1)])
    matrix = np.where(gap > 0, matrix * np.exp(-factorials[np.clip(gap, 0, size)]), matrix)
    power, exponent = _power(matrix, n)
    value = power[k - 1, k - 1]
    log = math.log(value) + exponent * math.log(10) + math.lgamma(n + 1) - n * math.log(n) if value > 0 else -math.inf
    return min(1.0, max(0.0, -math.expm1(log)))


def _one_sided(n: int, d: float) -> float:
    """P(D+_n >= d), a sum of positive terms (Birnbaum and Tingey 1951)."""
    j = np.arange(math.floor(n * (1 - d)) + 1, dtype=float)
    ways = np.concatenate([[0.0], np.cumsum(np.log((n - j[1:] + 1) / j[1:]))])
    left = 1 - d - j / n
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = np.where(left > 0, (n - j) * np.log(left), np.where(n == j, 0.0, -np.inf))
    return float(d * np.exp(ways + inside + (j - 1) * np.log(d + j / n)).sum())


def _pelz_good(n: int, x: float) -> float:
    """P(sqrt(n) D_n < x) to the order of n^-3/2 (Pelz and Good 1976, as Simard and L'Ecuyer 2011 print it)."""
    k = np.arange(-30, 31)
    half, whole = (math.pi * (k + 0.5)) ** 2, (math.pi * k[k != 0]) ** 2
    e, w = np.exp(-half / (2 * x * x)), np.exp(-whole / (2 * x * x))
    root = math.sqrt(math.pi / 2)
    k0 = root / x * float(e.sum())
    k1 = root / (6 * x**4) * float(((half - x * x) * e).sum())
    inner = 6 * x**6 + 2 * x**4 + half * (2 * x**4 - 5 * x * x) + half**2 * (1 - 2 * x * x)
    k2 = root / (72 * x**7) * float((inner * e).sum()) - root / (36 * x**3) * float((whole * w).sum())
    inner = half**3 * (5 - 30 * x * x) + half**2 * (212 * x**4 - 60 * x * x) + half * (135 * x**4 - 96 * x**6)
    inner -= 30 * x**6 + 90 * x**8
    outer = float(((3 * whole * x * x - whole**2) * w).sum()) / 2
    k3 = root / (6480 * x**10) * float((inner * e).sum()) + root / (108 * x**6) * outer
    return k0 + k1 / math.sqrt(n) + k2 / n + k3 / n**1.5


def _power(matrix: np.ndarray, n: int) -> tuple[np.ndarray, int]:
    """matrix^n as (mantissa, decimal exponent): squarings are rescaled before they overflow."""
    result, exponent = np.eye(len(matrix)), 0
    base, base_exponent = matrix, 0
    while n:
        if n & 1:
            result, exponent = result @ base, exponent + base_exponent
            result, exponent = _scaled(result, exponent)
        base, base_exponent = _scaled(base @ base, 2 * base_exponent)
        n >>= 1
    return result, exponent


def _scaled(matrix: np.ndarray, exponent: int) -> tuple[np.ndarray, int]:
    return (matrix * 1e-140, exponent + 140) if matrix.max() > 1e140 else (matrix, exponent)


def kolmogorov_limit_tail(x: float) -> float:
    """P(K > x) of the limiting Kolmogorov distribution (1933): the alternating series, or its transform for small x."""
    if x <= 0:
        return 1.0
    if x < 1.18:
        t = math.exp(-(math.pi**2) / (8 * x * x))
        return max(0.0, 1 - math.sqrt(2 * math.pi) / x * (t + t**9 + t**25 + t**49))
    return min(1.0, max(0.0, 2 * sum((-1) ** (k - 1) * math.exp(-2 * k * k * x * x) for k in range(1, 20))))


def cramer_von_mises_tail(x: float) -> float:
    """P(W > x) of the limiting Cramer-von Mises statistic: the series of Csorgo and Faraway (1996), eq. 1.3, with the
    modified Bessel function K_1/4 from its integral (DLMF 10.32.9)."""
    if x <= 0:
        return 1.0
    t = np.linspace(0, 14, 4001)
    total = 0.0
    for k in range(12):
        u = math.exp(math.lgamma(k + 0.5) - math.lgamma(k + 1)) / (math.pi**1.5 * math.sqrt(x))
        y = 4 * k + 1
        q = y * y / (16 * x)
        if q > 700:
            break
        bessel = np.trapezoid(np.exp(-q * (np.cosh(t) - 1)) * np.cosh(t / 4), t) * math.exp(-2 * q)
        term = u * math.sqrt(y) * bessel
        total += term
        if abs(term) < 1e-12:
            break
    return min(1.0, max(0.0, 1 - total))
