"""Validation parts of a search: windows of time, or folds that keep groups whole and share out the classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanok.compute.frames import Frame

Positions = NDArray[np.int64]
FOLDS, MANY_FOLDS_ROWS = 5, 25_000
WINDOWS, WINDOW = 3, 0.15
ROWS_MAX = 60_000
INNER = 4


@dataclass(frozen=True, slots=True)
class Fold:
    fit: Positions
    valid: Positions


def folds_of(frame: Frame, seed: int) -> list[Fold]:
    """By time the last three windows, each judged by a model of all that came before it; the newest first."""
    if frame.at.min() != frame.at.max():
        found = _windows(frame)
        if found:
            return found
    number = FOLDS if frame.rows <= MANY_FOLDS_ROWS else 3
    codes = _numbers(frame, number, seed)
    folds = [Fold(np.flatnonzero(codes != k), np.flatnonzero(codes == k)) for k in range(number)]
    return [f for f in folds if len(f.fit) and len(f.valid)]


def _windows(frame: Frame) -> list[Fold]:
    order = np.argsort(frame.at, kind="stable")
    at = frame.at[order]
    found = []
    for k in range(WINDOWS):
        ends, begins = round(frame.rows * (1 - k * WINDOW)), round(frame.rows * (1 - (k + 1) * WINDOW))
        cut = int(np.searchsorted(at, at[begins]))  # rows of one instant lie on one side
        fit, valid = order[:cut], order[cut:ends]
        if frame.groups is not None:
            valid = valid[~np.isin(frame.groups[valid], frame.groups[fit])]
        few = frame.task != "regression" and (len(np.unique(frame.y[fit])) < 2 or len(np.unique(frame.y[valid])) < 2)
        if len(fit) >= 10 and len(valid) >= 10 and not few:
            found.append(Fold(fit, valid))
    return found


def inner_folds(frame: Frame, seed: int) -> Positions:
    """Numbers of the rows for what is learnt of the label from other rows."""
    return _numbers(frame, INNER, seed + 1)


def _numbers(frame: Frame, number: int, seed: int) -> Positions:
    random = np.random.default_rng(seed)
    if frame.groups is not None:
        names, places, sizes = np.unique(frame.groups, return_inverse=True, return_counts=True)
        loads, fold_of = np.zeros(number), np.empty(len(names), np.int64)
        order = random.permutation(len(names))
        for name in order[np.argsort(-sizes[order], kind="stable")]:  # the largest first, to the emptiest
            fold_of[name] = int(np.argmin(loads))
            loads[fold_of[name]] += sizes[name]
        return np.asarray(fold_of[places.ravel()], np.int64)
    order = random.permutation(frame.rows)
    if frame.task != "regression":
        order = order[np.argsort(frame.y[order], kind="stable")]
    codes = np.empty(frame.rows, np.int64)
    codes[order] = np.arange(frame.rows) % number
    return codes


def thinned(frame: Frame) -> Frame:
    """Of many rows a seeded part: what is best on it is fitted on all."""
    if frame.rows <= ROWS_MAX:
        return frame
    return frame.take(np.sort(np.random.default_rng(0).choice(frame.rows, ROWS_MAX, replace=False)))
