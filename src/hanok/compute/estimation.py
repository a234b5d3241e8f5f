"""Performance without labels: confidence-based estimation for classes, direct loss estimation for numbers.

Both learn on a labelled reference and assume that no concept has drifted: where the same inputs now have other labels,
an estimate is wrong and nothing in the inputs says so. Every estimate carries that assumption and is compared with the
truth once labels are in (`cross_check`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanok.core.errors import Invalid

Floats = NDArray[np.float64]
CLIP = 1e-6
BINS = 200
DRAWS = 200
FOLDS = 5
ROWS_MIN = 50
ASSUMPTION = "no concept drift: the same inputs still have the same labels as in the reference"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric as it is expected to turn out on a window, and the interval that holds what will be realised."""

    metric: str
    value: float
    low: float
    high: float
    rows: int
    assumption: str = ASSUMPTION


@dataclass(frozen=True, slots=True)
class Outcome:
    """An estimate after its labels came: whether the truth lay inside. A miss says that the assumption failed."""

    estimate: Estimate
    realised: float
    inside: bool
    reason: str


def cross_check(estimate: Estimate, realised: float) -> Outcome:
    inside = estimate.low <= realised <= estimate.high
    side = "below" if realised < estimate.low else "above"
    bounds = f"[{estimate.low:.4f}, {estimate.high:.4f}]"
    reason = f"{estimate.metric} is {realised:.4f}, {side} {bounds}: the relation of inputs and labels has changed"
    return Outcome(estimate, realised, inside, "" if inside else reason)


# -- calibration -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Calibration:
    """P(label | score). `kind` is beta (Kull et al. 2017: a ln s - b ln(1 - s) + c) or isotonic (pool adjacent
    violators over at most 200 quantile bins)."""

    kind: str
    coefficients: Floats
    edges: Floats

    def __call__(self, score: Floats) -> Floats:
        if self.kind == "beta":
            return _sigmoid(_beta_features(score) @ self.coefficients)
        if len(self.edges) == 1:
            return np.full(len(score), self.coefficients[0])
        return np.clip(np.interp(score, self.edges, self.coefficients), CLIP, 1 - CLIP)


def calibrated(score: Floats, label: Floats, weight: Floats | None = None) -> Calibration:
    """The kind with the lower log loss on held-out fifths."""
    weight = np.ones(len(score)) if weight is None else weight
    fold = np.arange(len(score)) % FOLDS
    losses = {}
    for kind in ("beta", "isotonic"):
        total = 0.0
        for f in range(FOLDS):
            train, test = fold != f, fold == f
            p = _fit(kind, score[train], label[train], weight[train])(score[test])
            total += float((weight[test] * _log_loss(label[test], p)).sum())
        losses[kind] = total
    return _fit(min(losses, key=lambda k: losses[k]), score, label, weight)


def _fit(kind: str, score: Floats, label: Floats, weight: Floats) -> Calibration:
    return _beta(score, label, weight) if kind == "beta" else _isotonic(score, label, weight)


def _beta(score: Floats, label: Floats, weight: Floats) -> Calibration:
    return Calibration("beta", logistic(_beta_features(score), label, weight, ridge=1e-2), np.empty(0))


def _isotonic(score: Floats, label: Floats, weight: Floats) -> Calibration:
    edges = np.unique(np.quantile(score, np.linspace(0, 1, BINS + 1)))
    place = np.clip(np.searchsorted(edges, score, "right") - 1, 0, max(0, len(edges) - 2))
    mass = np.bincount(place, weight, max(1, len(edges) - 1))
    hits = np.bincount(place, weight * label, max(1, len(edges) - 1))
    centres = np.bincount(place, weight * score, max(1, len(edges) - 1))
    used = mass > 0
    x, y, w = centres[used] / mass[used], hits[used] / mass[used], mass[used]
    means: list[list[float]] = []
    for value, share in zip(y.tolist(), w.tolist(), strict=True):
        means.append([value, share, 1])
        while len(means) > 1 and means[-2][0] >= means[-1][0]:
            v, s, k = means.pop()
            u, r, j = means.pop()
            means.append([(u * r + v * s) / (r + s), r + s, j + k])
    fitted = np.repeat([m[0] for m in means], [int(m[2]) for m in means])
    return Calibration("isotonic", fitted, x)


def _beta_features(score: Floats) -> Floats:
    s = np.clip(score, CLIP, 1 - CLIP)
    return np.column_stack([np.log(s), -np.log1p(-s), np.ones(len(s))])


def logistic(features: Floats, label: Floats, weight: Floats, *, ridge: float) -> Floats:
    """Ridge logistic regression by Newton's method; the last column is the intercept and not shrunk."""
    coefficients = np.zeros(features.shape[1])
    shrink = np.full(features.shape[1], ridge)
    shrink[-1] = 1e-9
    for _ in range(25):
        p = _sigmoid(features @ coefficients)
        slope = features.T @ (weight * (label - p)) - shrink * coefficients
        curve = (features * (weight * p * (1 - p))[:, None]).T @ features + np.diag(shrink + 1e-12)
        step = np.linalg.solve(curve, slope)
        coefficients = coefficients + step
        if np.abs(step).max() < 1e-8:
            break
    return coefficients


def _sigmoid(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-np.clip(x, -35, 35)))


def _log_loss(label: Floats, p: Floats) -> Floats:
    p = np.clip(p, CLIP, 1 - CLIP)
    return -(label * np.log(p) + (1 - label) * np.log1p(-p))


# -- importance weights ------------------------------------------------------------------------------------------


def importance_weights(reference: Floats, current: Floats, *, limit: float = 20.0) -> Floats:
    """How much more often each reference row is met now: the odds of a ridge logistic classifier on standardised
    columns and their squares, cut at `limit` and scaled to mean 1. Both are (rows, columns), NaN means missing."""
    both = np.vstack([reference, current])
    missing = np.isnan(both)
    centre = np.nanmean(np.where(missing.all(axis=0), 0.0, both), axis=0)
    filled = np.where(missing, centre, both)
    spread = filled.std(axis=0)
    z = np.clip((filled - filled.mean(axis=0)) / np.where(spread > 0, spread, 1.0), -5, 5)
    gaps = missing[:, missing.any(axis=0)].astype(float)
    features = np.column_stack([z, z * z - 1, gaps, np.ones(len(both))])
    side = np.repeat([0.0, 1.0], [len(reference), len(current)])
    balance = np.where(side == 1, len(both) / (2 * len(current)), len(both) / (2 * len(reference)))
    coefficients = logistic(features, side, balance, ridge=5.0)
    odds = np.exp(np.clip(features[: len(reference)] @ coefficients, -10, 10))
    weights = np.minimum(odds, limit)
    return weights / weights.mean()


# -- classes -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClassReference:
    """Scores and labels of a labelled reference. `score` is P(1) of shape (n,) or (n, classes); `label` class numbers;
    `features` (n, columns), for importance weights only."""

    score: Floats
    label: Floats
    features: Floats | None = None


def estimate_classes(
    reference: ClassReference,
    score: Floats,
    metrics: Sequence[str] = ("auc",),
    *,
    features: Floats | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    draws: int = DRAWS,
) -> list[Estimate]:
    """Confidence-based performance estimation: what `metrics` will be on the window's scores.

    Labels are drawn from calibrated scores, each time with a calibration of a bootstrap sample of the reference, so the
    interval holds the chance of labels and the uncertainty of calibration. With `features` on both sides the reference
    is weighted to look like the window. Metrics: auc, accuracy, log_loss, brier (two classes); accuracy, log_loss, auc
    (macro, one against the rest) for more. Raises Invalid for fewer than 50 rows on a side.
    """
    _enough(len(reference.label), len(score))
    random = np.random.default_rng(seed)
    weight = np.ones(len(reference.label))
    if features is not None and reference.features is not None:
        weight = importance_weights(reference.features, features)
    several = score.ndim == 2
    fixed = _calibrators(reference, weight)
    expected = _probabilities(fixed, score)
    drawn = []
    for _ in range(draws):
        rows = random.choice(len(weight), len(weight))
        p = _probabilities(_refitted(fixed, reference, weight, rows), score)
        drawn.append(_labels(p, random))
    table = np.stack(drawn, axis=1)
    tail = (1 - confidence) / 2
    made = []
    for metric in metrics:
        realised = _realised(metric, score, table)
        good = realised[np.isfinite(realised)]
        if not len(good):
            raise Invalid(f"{metric} has no value on this window: its calibrated scores leave one class only")
        low, high = np.quantile(good, [tail, 1 - tail])
        value = _expected(metric, score, expected) if not several else float(good.mean())
        made.append(Estimate(metric, value, float(low), float(high), len(score)))
    return made


def _enough(reference: int, window: int) -> None:
    if min(reference, window) < ROWS_MIN:
        raise Invalid(
            f"an estimate needs {ROWS_MIN} rows in the reference and in the window; got {reference} and {window}"
        )


def _columns(reference: ClassReference) -> list[tuple[Floats, Floats]]:
    if reference.score.ndim == 1:
        return [(reference.score, reference.label)]
    return [(reference.score[:, k], (reference.label == k).astype(float)) for k in range(reference.score.shape[1])]


def _calibrators(reference: ClassReference, weight: Floats) -> list[Calibration]:
    return [calibrated(s, y, weight) for s, y in _columns(reference)]


def _refitted(
    fixed: Sequence[Calibration], reference: ClassReference, weight: Floats, rows: NDArray[np.int64]
) -> list[Calibration]:
    return [_fit(c.kind, s[rows], y[rows], weight[rows]) for c, (s, y) in zip(fixed, _columns(reference), strict=True)]


def _probabilities(calibrators: Sequence[Calibration], score: Floats) -> Floats:
    if score.ndim == 1:
        return np.clip(calibrators[0](score), CLIP, 1 - CLIP)
    p = np.column_stack([c(score[:, k]) for k, c in enumerate(calibrators)])
    p = np.clip(p, CLIP, 1.0)
    return p / p.sum(axis=1, keepdims=True)


def _labels(p: Floats, random: np.random.Generator) -> Floats:
    if p.ndim == 1:
        return (random.random(len(p)) < p).astype(float)
    return (random.random(len(p))[:, None] > np.cumsum(p, axis=1)[:, :-1]).sum(axis=1).astype(float)


def _realised(metric: str, score: Floats, labels: Floats) -> Floats:
    """The metric for each column of drawn labels, (rows, draws)."""
    if score.ndim == 2:
        if metric == "auc":
            areas = [_areas(score[:, k], (labels == k).astype(float)) for k in range(score.shape[1])]
            return np.mean(areas, axis=0)
        if metric == "accuracy":
            return (labels == score.argmax(axis=1)[:, None]).mean(axis=0)
        if metric == "log_loss":
            shares = np.log(np.clip(score / score.sum(axis=1, keepdims=True), CLIP, 1.0))
            return -np.take_along_axis(shares, labels.astype(int), axis=1).mean(axis=0)
    else:
        if metric == "auc":
            return _areas(score, labels)
        if metric == "accuracy":
            return (labels == (score >= 0.5)[:, None]).mean(axis=0)
        if metric == "brier":
            return ((labels - score[:, None]) ** 2).mean(axis=0)
        if metric == "log_loss":
            s = np.clip(score, CLIP, 1 - CLIP)[:, None]
            return -(labels * np.log(s) + (1 - labels) * np.log1p(-s)).mean(axis=0)
    raise Invalid(f"there is no estimate of {metric!r}; there are auc, accuracy, log_loss and brier (two classes)")


def _areas(score: Floats, labels: Floats) -> Floats:
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positive = labels.sum(axis=0)
    negative = len(score) - positive
    with np.errstate(divide="ignore", invalid="ignore"):
        return (ranks @ labels - positive * (positive + 1) / 2) / (positive * negative)


def _expected(metric: str, score: Floats, p: Floats) -> float:
    """The metric with expected labels in place of drawn ones."""
    if metric != "auc":
        one, zero = (_per_row(metric, score, y) for y in (1.0, 0.0))
        return float((p * one + (1 - p) * zero).mean())
    order = np.argsort(score, kind="stable")
    s, q = score[order], p[order]
    _, start = np.unique(s, return_index=True)
    positive, negative = np.add.reduceat(q, start), np.add.reduceat(1 - q, start)
    below = np.cumsum(negative) - negative
    return float((positive * (below + negative / 2)).sum() / (positive.sum() * negative.sum()))


def _per_row(metric: str, score: Floats, label: float) -> Floats:
    if metric == "accuracy":
        return ((score >= 0.5) == (label == 1)).astype(float)
    if metric == "brier":
        return (label - score) ** 2
    return _log_loss(np.full(len(score), label), score)


# -- numbers -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LossModel:
    """An additive model of a row's loss: boosted steps on one feature each (Friedman 2001), 32 quantile bins."""

    edges: tuple[Floats, ...]
    effects: tuple[Floats, ...]
    base: float

    def __call__(self, features: Floats) -> Floats:
        total = np.full(len(features), self.base)
        for k, (edges, effect) in enumerate(zip(self.edges, self.effects, strict=True)):
            total += effect[_binned(features[:, k], edges)]
        return np.maximum(total, 0.0)


def fit_loss(features: Floats, loss: Floats, *, rounds: int = 150, rate: float = 0.1) -> LossModel:
    """Fit on (rows, columns) without infinities; NaN has a bin of its own."""
    edges = tuple(np.unique(np.nanquantile(column, np.arange(1, 32) / 32)) if np.isfinite(column).any() else np.empty(0)
                  for column in features.T)  # fmt: skip
    places = [_binned(features[:, k], e) for k, e in enumerate(edges)]
    sizes = [np.bincount(p, minlength=len(e) + 2) for p, e in zip(places, edges, strict=True)]
    effects = [np.zeros(len(e) + 2) for e in edges]
    base = float(loss.mean())
    residual = loss - base
    for _ in range(rounds):
        sums = [np.bincount(p, residual, len(n)) for p, n in zip(places, sizes, strict=True)]
        gains = [float((s * s / (n + 20)).sum()) for s, n in zip(sums, sizes, strict=True)]
        best = int(np.argmax(gains))
        step = rate * sums[best] / (sizes[best] + 20)
        effects[best] += step
        residual = residual - step[places[best]]
    return LossModel(edges, tuple(effects), base)


def _binned(column: Floats, edges: Floats) -> NDArray[np.int64]:
    return np.where(np.isnan(column), len(edges) + 1, np.searchsorted(edges, column, "right"))


def estimate_loss(
    features: Floats,
    label: Floats,
    prediction: Floats,
    window_features: Floats,
    window_prediction: Floats,
    metric: str = "mae",
    *,
    confidence: float = 0.95,
    seed: int = 0,
    refits: int = 20,
) -> Estimate:
    """Direct loss estimation of mae or rmse for a regression model: a model of each row's loss, learned on the
    reference from features and prediction, is averaged over the window. The interval has the spread of losses about
    that model and the model's own, from bootstrap refits. Raises Invalid for fewer than 50 rows on a side."""
    _enough(len(label), len(window_prediction))
    if metric not in ("mae", "rmse"):
        raise Invalid(f"there is no estimate of {metric!r}; there are mae and rmse")
    from hanok.compute.tails import normal_quantile

    loss = np.abs(label - prediction) if metric == "mae" else (label - prediction) ** 2
    known, unknown = np.column_stack([features, prediction]), np.column_stack([window_features, window_prediction])
    random = np.random.default_rng(seed)
    fold = np.arange(len(loss)) % 2  # losses about the model are measured on rows that it has not seen
    residual = np.empty(len(loss))
    for half in (0, 1):
        residual[fold == half] = loss[fold == half] - fit_loss(known[fold != half], loss[fold != half])(
            known[fold == half]
        )
    value = float(fit_loss(known, loss)(unknown).mean())
    spread = fit_loss(known, residual**2)(unknown).mean() / len(unknown)
    again = []
    for _ in range(refits):
        rows = random.choice(len(loss), len(loss))
        again.append(fit_loss(known[rows], loss[rows])(unknown).mean())
    half_width = normal_quantile(0.5 + confidence / 2) * float(np.sqrt(spread + np.var(again, ddof=1)))
    low, high = max(0.0, value - half_width), value + half_width
    if metric == "rmse":
        value, low, high = value**0.5, low**0.5, high**0.5
    return Estimate(metric, value, low, high, len(unknown))
