"""Linear models and small nets fitted with numpy alone: no library to import, the same bits from the same seed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import orjson
from numpy.typing import NDArray

from hanok.compute.runtimes.ensemble import NUMBER_MAX, linked
from hanok.compute.runtimes.linear import Design

Floats = NDArray[np.float64]
Shape = dict[str, list[tuple[int, float, float]] | list[tuple[int, list[float]]]]
ITERATIONS, MEMORY, TOLERANCE = 60, 8, 1e-5
LEVELS_MAX = 60
HIDDEN = (64, 32)
BATCH, RATE, DECAY = 256, 2e-3, 1e-4


def shape_of(x: Floats, columns: list[int], categories: list[int]) -> Shape:
    """How columns of a matrix are expanded: numbers are scaled, categories have a column for each frequent level."""
    numeric: list[tuple[int, float, float]] = []
    categorical: list[tuple[int, list[float]]] = []
    for place, index in enumerate(columns):
        values = x[:, index]
        finite = values[np.isfinite(values)]
        if index in categories:
            levels, counts = np.unique(finite, return_counts=True)
            kept = levels[np.argsort(-counts, kind="stable")][:LEVELS_MAX]
            categorical.append((place, [float(v) for v in kept]))
        else:
            mean, scale = (float(finite.mean()), float(finite.std())) if len(finite) else (0.0, 0.0)
            numeric.append((place, mean, scale or 1.0))
    return {"numeric": numeric, "categorical": categorical}


def linear(x: Floats, y: Floats, shape: Shape, task: str, classes: int, strength: float) -> bytes:
    """`linear.json` of a ridge, logistic or softmax regression; `strength` is the inverse of the regularisation of
    the mean loss times the rows."""
    design = np.clip(Design(shape).of(x), -NUMBER_MAX, NUMBER_MAX)
    if task == "regression":
        weights, offsets, link = *_ridge(design, y, 1 / strength), "identity"
    else:
        outputs = 1 if task == "binary" else classes
        weights, offsets = _logistic(design, y, outputs, 1 / (strength * len(y)))
        link = "logistic" if outputs == 1 else "softmax"
    said = {"shape": shape, "coefficients": weights.tolist(), "intercepts": offsets.tolist(), "link": link}
    said["bound"] = NUMBER_MAX
    return orjson.dumps(said)


def _ridge(design: Floats, y: Floats, penalty: float) -> tuple[Floats, Floats]:
    means, middle = design.mean(axis=0), y.mean()
    centred = design - means
    if design.shape[1] <= len(y):
        square = centred.T @ centred
        square[np.diag_indices_from(square)] += penalty
        weights = np.linalg.solve(square, centred.T @ (y - middle))
    else:
        square = centred @ centred.T
        square[np.diag_indices_from(square)] += penalty
        weights = centred.T @ np.linalg.solve(square, y - middle)
    return weights[None, :], np.array([middle - means @ weights])


def _logistic(design: Floats, y: Floats, outputs: int, penalty: float) -> tuple[Floats, Floats]:
    truth = y[:, None] if outputs == 1 else (y[:, None] == np.arange(outputs)).astype(float)
    width = design.shape[1]

    def loss(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(outputs, width + 1)
        raw = design @ weights[:, :-1].T + weights[:, -1]
        if outputs == 1:
            value = float((np.logaddexp(0, raw) - truth * raw).mean())
            off = (1 / (1 + np.exp(-np.clip(raw, -500, 500))) - truth) / len(y)
        else:
            shifted = raw - raw.max(axis=1, keepdims=True)
            sums = np.exp(shifted).sum(axis=1, keepdims=True)
            value = float((np.log(sums) - (truth * shifted).sum(axis=1, keepdims=True)).mean())
            off = (np.exp(shifted) / sums - truth) / len(y)
        gradient = np.column_stack([off.T @ design + penalty * weights[:, :-1], off.sum(axis=0)])
        return value + 0.5 * penalty * float((weights[:, :-1] ** 2).sum()), gradient.ravel()

    found = descended(loss, np.zeros(outputs * (width + 1))).reshape(outputs, width + 1)
    return found[:, :-1], found[:, -1]


def descended(loss: Callable[[Floats], tuple[float, Floats]], start: Floats) -> Floats:
    """A minimum by L-BFGS with halving steps (Nocedal & Wright 2006, algorithms 7.4 and 3.1)."""
    point, (value, gradient) = start, loss(start)
    steps: list[tuple[Floats, Floats]] = []
    for _ in range(ITERATIONS):
        if np.abs(gradient).max() < TOLERANCE:
            break
        direction = -_two_loops(gradient, steps)
        slope, length = float(gradient @ direction), 1.0 if steps else min(1.0, 1 / np.abs(gradient).sum())
        if slope >= 0:
            break
        while True:
            moved = point + length * direction
            new, turned = loss(moved)
            if new <= value + 1e-4 * length * slope or length < 1e-8:
                break
            length /= 2
        if length < 1e-8:
            break
        if float((turned - gradient) @ (moved - point)) > 1e-12:
            steps = [*steps, (moved - point, turned - gradient)][-MEMORY:]
        point, value, gradient = moved, new, turned
    return point


def _two_loops(gradient: Floats, steps: list[tuple[Floats, Floats]]) -> Floats:
    found, kept = gradient.copy(), []
    for moved, turned in reversed(steps):
        share = float(moved @ found) / float(turned @ moved)
        kept.append(share)
        found -= share * turned
    if steps:
        moved, turned = steps[-1]
        found *= float(moved @ turned) / float(turned @ turned)
    for (moved, turned), share in zip(steps, reversed(kept), strict=True):
        found += moved * (share - float(turned @ found) / float(turned @ moved))
    return found


class NetInTraining:
    """A small net, trained epoch by epoch in 32 bits (Adam: Kingma & Ba 2015)."""

    def __init__(self, x: Floats, y: Floats, shape: Shape, task: str, classes: int, seed: int) -> None:
        self._shape, self._task = shape, task
        self._design = np.clip(Design(shape).of(x), -NUMBER_MAX, NUMBER_MAX).astype(np.float32)
        self._outputs = classes if task == "multiclass" else 1
        self._middle, self._scale = 0.0, 1.0
        if task == "regression":
            self._middle, self._scale = float(y.mean()), float(y.std()) or 1.0
        truth = (y - self._middle) / self._scale if task == "regression" else y
        self._truth = (
            (y[:, None] == np.arange(classes)).astype(np.float32)
            if task == "multiclass"
            else truth[:, None].astype(np.float32)
        )
        self._random = np.random.default_rng(seed)
        sizes = [self._design.shape[1], *HIDDEN, self._outputs]
        self._layers = [
            [(self._random.normal(size=(a, b)) * np.sqrt(2 / max(a, 1))).astype(np.float32), np.zeros(b, np.float32)]
            for a, b in pairwise(sizes)
        ]
        self._first = [[np.zeros_like(p) for p in layer] for layer in self._layers]
        self._second = [[np.zeros_like(p) for p in layer] for layer in self._layers]
        self._steps = 0

    def epoch(self) -> None:
        order = self._random.permutation(len(self._design))
        for at in range(0, len(order), BATCH):
            self._step(order[at : at + BATCH])

    def _step(self, rows: NDArray[np.int64]) -> None:
        kept = [self._design[rows]]
        for place, (weights, offsets) in enumerate(self._layers):
            raw = kept[-1] @ weights + offsets
            kept.append(np.maximum(raw, 0) if place < len(self._layers) - 1 else raw)
        off = (self._said(kept[-1]) - self._truth[rows]) / np.float32(len(rows))
        self._steps += 1
        for place in range(len(self._layers) - 1, -1, -1):
            weights = self._layers[place][0]
            gradients = (kept[place].T @ off + np.float32(DECAY) * weights, off.sum(axis=0))
            if place:
                off = (off @ weights.T) * (kept[place] > 0)
            self._adam(place, gradients)

    def _said(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._task == "binary":
            return np.asarray(1 / (1 + np.exp(-np.clip(raw, -60, 60))), np.float32)
        if self._task == "multiclass":
            shares = np.exp(raw - raw.max(axis=1, keepdims=True))
            return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float32)
        return raw

    def _adam(self, place: int, gradients: tuple[NDArray[np.float32], NDArray[np.float32]]) -> None:
        one, two = 1 - 0.9**self._steps, 1 - 0.999**self._steps
        for part, gradient in enumerate(gradients):
            first, second = self._first[place][part], self._second[place][part]
            first += np.float32(0.1) * (gradient - first)
            second += np.float32(0.001) * (gradient * gradient - second)
            self._layers[place][part] -= (np.float32(RATE / one) * first) / (np.sqrt(second / np.float32(two)) + 1e-7)

    def answers(self, design: Floats) -> Floats:
        """To rows that are expanded already: quick, and within 32 bits of what `content` answers."""
        hidden = design
        for place, (weights, offsets) in enumerate(self._layers):
            hidden = hidden @ weights + offsets
            hidden = np.maximum(hidden, 0) if place < len(self._layers) - 1 else hidden
        if self._task == "regression":
            return np.asarray(hidden[:, 0] * self._scale + self._middle)
        return linked(hidden, "logistic" if self._task == "binary" else "softmax")

    def content(self) -> bytes:
        link = {"regression": "identity", "binary": "logistic", "multiclass": "softmax"}[self._task]
        layers = [
            [weights.T.astype(float).tolist(), offsets.astype(float).tolist()] for weights, offsets in self._layers
        ]
        said = {"shape": self._shape, "layers": layers, "link": link, "scale": self._scale, "middle": self._middle}
        return orjson.dumps(said)


def design_of(x: Floats, shape: Shape) -> Floats:
    return np.clip(Design(shape).of(x), -NUMBER_MAX, NUMBER_MAX)
