"""Validation parts of a search: windows of time, or folds that keep groups whole and share out the classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanok.compute.frames import Frame
from hanok.core.errors import NotTrainable

Positions = NDArray[np.int64]
FOLDS, MANY_FOLDS_ROWS = 5, 25_000
WINDOWS, WINDOW = 3, 0.15
ROWS_MAX = 60_000
INNER = 4


@dataclass(frozen=True, slots=True)
class Fold:
    """Rows that are learnt from, and rows to judge on; `ahead`: all of these come after all of those."""

    fit: Positions
    valid: Positions
    ahead: bool = False


def folds_of(frame: Frame, seed: int) -> list[Fold]:
    """By time the last three windows, each judged by a model of all that came before it; the newest first. Where groups
    stay whole each window judges on a share of them, which its model has not seen. Raises NotTrainable."""
    found = _windows(frame, seed) if by_instants(frame) else []
    if found:
        return found
    number = FOLDS if frame.rows <= MANY_FOLDS_ROWS else 3
    codes = _numbers(frame, number, seed)
    folds = [Fold(np.flatnonzero(codes != k), np.flatnonzero(codes == k)) for k in range(number)]
    folds = [f for f in folds if len(f.fit) and len(f.valid)]
    if not folds:
        raise _one_group(frame)
    return folds


def newest_part(frame: Frame, share: float) -> Fold:
    """The last share of the rows by time, a seeded one when all rows are of one instant. Raises NotTrainable."""
    cut = round(frame.rows * (1 - share))
    if frame.groups is None and not frame.gap_us and frame.at.min() != frame.at.max():
        order = np.argsort(frame.at, kind="stable")
        return Fold(order[:cut], order[cut:])
    if by_instants(frame) and (found := _judged(frame, [(cut, frame.rows)], 0)):
        return found[0]
    if frame.groups is None:
        order = np.random.default_rng(0).permutation(frame.rows)
        return Fold(order[:cut], order[cut:])
    codes = _numbers(frame, round(1 / share), 0)
    if (codes == codes[0]).all():
        raise _one_group(frame)
    return Fold(np.flatnonzero(codes != 0), np.flatnonzero(codes == 0))


def by_instants(frame: Frame) -> bool:
    """Whether the rows have instants, and what is judged comes after what is learnt from."""
    return not frame.at_random and bool(frame.at.min() != frame.at.max())


def _windows(frame: Frame, seed: int) -> list[Fold]:
    at, ends, spans = np.sort(frame.at), frame.rows, []
    for k in range(WINDOWS):
        begins = round(frame.rows * (1 - (k + 1) * WINDOW))
        cut = int(np.searchsorted(at, at[begins]))  # rows of one instant lie on one side
        if cut < ends:
            spans.append((cut, ends))
        ends = min(cut, ends)
    return _judged(frame, spans, seed)


def _judged(frame: Frame, spans: list[tuple[int, int]], seed: int) -> list[Fold]:
    """The spans that can be judged by what came before. Where groups stay whole each is judged on a quarter of them,
    and where these are too few rows, on half."""
    order, found = np.argsort(frame.at, kind="stable"), []
    for shares in (4, 2) if frame.groups is not None else (1,):
        held = _numbers(frame, shares, seed) if shares > 1 else None
        for k, (cut, ends) in enumerate(spans):
            fit, valid = order[:cut], order[cut:ends]
            if frame.gap_us:
                fit = fit[frame.at[fit] < frame.at[valid[0]] - frame.gap_us]
            if held is not None:
                fit, valid = fit[held[fit] != k % shares], valid[held[valid] == k % shares]
            one = frame.task != "regression" and min(len(np.unique(frame.y[p])) for p in (fit, valid)) < 2
            if len(fit) >= 10 and len(valid) >= 10 and not one:
                found.append(Fold(fit, valid, ahead=True))
        if found:
            break
    return found


def _one_group(frame: Frame) -> NotTrainable:
    return NotTrainable(
        f"all {frame.rows} rows that are learnt from belong to one group (or are copies of each other), and a group "
        "lies on one side of every split, so that nothing is left to compare candidates on: "
        "take a window of time with more groups, or another group= in the model's split"
    )


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
