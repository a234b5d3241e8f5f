"""exp and log as the C library has them. numpy's own give other last bits on processors with AVX-512, and a score is to
be the same wherever a home is opened."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def exp(x: Floats) -> Floats:
    """As `numpy.exp`, in the bits of `math.exp`; infinite where that overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.exp(x.astype(np.complex128)).real  # for which numpy asks the C library, whatever the processor has


def log(x: Floats) -> Floats:
    """As `numpy.log` of positive numbers, in the bits of `math.log`."""
    return np.fromiter(map(math.log, x.ravel().tolist()), float, x.size).reshape(x.shape)


def logistic(x: Floats) -> Floats:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + exp(-x))


def softmax(x: Floats) -> Floats:
    """Of each row; (rows, classes)."""
    shares = exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))
