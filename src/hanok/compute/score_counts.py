"""A day of scores as counts, from which a metric is estimated before labels and checked once they are in.

For two classes everything that confidence-based estimation needs is how many rows had each score and how many of
them turned out positive. Counts of days merge, so a window of any length is judged without reading rows again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hanok.compute.estimation import Estimate, Floats, logistic

BINS, REACH = 256, 8.0  # logits from -8 to 8 in steps of 1/16
HALF_LIFE_DAYS = 28.0
DRAWS = 300
GAP, SLOPE = 0.03, 0.14
CHANCE = 1.64
METRICS = ("auc", "log_loss", "brier", "accuracy")
LOGITS = (np.arange(BINS) + 0.5) * (2 * REACH / BINS) - REACH
SCORES = 1 / (1 + np.exp(-LOGITS))
_BETA = np.column_stack([np.log(SCORES), -np.log1p(-SCORES), np.ones(BINS)])
ASSUMPTION = (
    f"calibration holds: the share of positives within {100 * GAP:.0f} points of what was expected, and the slope of "
    f"the labels on the calibrated logit within {SLOPE:.0%} of 1"
)


@dataclass(frozen=True, slots=True)
class ScoreCounts:
    """Rows, labelled rows and positive rows by bin of the score's logit; each an array of 256."""

    rows: Floats
    labelled: Floats
    positive: Floats

    @property
    def known(self) -> float:
        """The share of rows that have their label."""
        return float(self.labelled.sum() / max(1.0, self.rows.sum()))

    def as_dict(self) -> dict[str, list[int]]:
        used = np.flatnonzero(self.rows)
        columns = {"rows": self.rows, "labelled": self.labelled, "positive": self.positive}
        return {"bins": used.tolist()} | {name: c[used].astype(int).tolist() for name, c in columns.items()}

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> ScoreCounts:
        made = np.zeros((3, BINS))
        if body["bins"]:
            made[:, body["bins"]] = [body["rows"], body["labelled"], body["positive"]]
        return cls(*made)


def counted(score: Floats, label: Floats) -> ScoreCounts:
    """Count P(1) of shape (n,) with its label, NaN where it is not known. Rows without a score do not count."""
    known = np.isfinite(score)
    score, label = np.clip(score[known], 1e-9, 1 - 1e-9), label[known]
    logit = np.log(score) - np.log1p(-score)
    place = np.clip(((logit + REACH) * (BINS / (2 * REACH))).astype(int), 0, BINS - 1)
    labelled = np.isfinite(label)
    return ScoreCounts(
        np.bincount(place, minlength=BINS).astype(float),
        np.bincount(place[labelled], minlength=BINS).astype(float),
        np.bincount(place[labelled], label[labelled], BINS).astype(float),
    )


def merged(parts: Sequence[ScoreCounts]) -> ScoreCounts:
    none = np.zeros(BINS)
    return ScoreCounts(
        sum((p.rows for p in parts), none),
        sum((p.labelled for p in parts), none),
        sum((p.positive for p in parts), none),
    )


def fit_calibration(days: Sequence[tuple[float, ScoreCounts]], *, half_life: float = HALF_LIFE_DAYS) -> Floats:
    """Beta calibration (Kull et al. 2017: a ln s - b ln(1 - s) + c) of labelled days with their age in days; a day
    counts half after `half_life` days. Returns a, b, c."""
    weight, hits = np.zeros(BINS), np.zeros(BINS)
    for age, day in days:
        fade = 0.5 ** (age / half_life)
        weight += fade * day.labelled
        hits += fade * day.positive
    used = weight > 0
    share = np.divide(hits, weight, out=np.zeros(BINS), where=used)
    return logistic(_BETA[used], share[used], weight[used], ridge=1.0)


def rates(coefficients: Sequence[float] | Floats) -> Floats:
    """P(1) in each bin."""
    return _sigmoid(_BETA @ np.asarray(coefficients, float))


def estimates(
    rate: Floats, rows: Floats, *, confidence: float = 0.95, tolerance: float = SLOPE, seed: int = 0
) -> list[Estimate]:
    """What auc, log_loss, brier and accuracy of `rows` by bin will be if calibration holds.

    The interval holds all that "holds" leaves open: labels are drawn from `rate` after its slope and level were moved
    evenly within their tolerance, so it is as wide as the assumption is loose.
    """
    random = np.random.default_rng(seed)
    logit = np.log(rate) - np.log1p(-rate)
    middle = float((rows * logit).sum() / rows.sum())
    level = GAP / max(0.02, float((rows * rate * (1 - rate)).sum() / rows.sum()))
    slope = np.exp(random.uniform(-tolerance, tolerance, (DRAWS, 1)))
    shift = random.uniform(-level, level, (DRAWS, 1))
    used = np.flatnonzero(rows)
    moved = _sigmoid(middle + shift + slope * (logit[used] - middle))
    positive = random.binomial(rows[used].astype(int), moved).astype(float)
    drawn, expected = _metrics(rows[used], positive, used), _metrics(rows[used], (rows * rate)[used][None, :], used)
    tail = (1 - confidence) / 2
    made = []
    for metric in METRICS:
        values = drawn[metric][np.isfinite(drawn[metric])]
        if len(values):
            low, high = np.quantile(values, [tail, 1 - tail])
            made.append(
                Estimate(metric, float(expected[metric][0]), float(low), float(high), int(rows.sum()), ASSUMPTION)
            )
    return made


def realised(counts: ScoreCounts) -> dict[str, float]:
    """The metrics of the labelled rows; auc is NaN where all have the same label."""
    used = np.flatnonzero(counts.labelled)
    found = _metrics(counts.labelled[used], counts.positive[used][None, :], used)
    return {name: float(values[0]) for name, values in found.items()}


def _metrics(rows: Floats, positive: Floats, used: Any) -> dict[str, Floats]:
    """For each line of `positive` (draws, bins)."""
    negative, count = rows - positive, rows.sum()
    s = SCORES[used]
    ones, zeros = positive.sum(axis=1), negative.sum(axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        area = (positive * below).sum(axis=1) / (ones * zeros)
    right = np.where(s >= 0.5, positive, negative)
    return {
        "auc": area,
        "log_loss": -(positive @ np.log(s) + negative @ np.log1p(-s)) / count,
        "brier": (positive @ (1 - s) ** 2 + negative @ s**2) / count,
        "accuracy": right.sum(axis=1) / count,
    }


@dataclass(frozen=True, slots=True)
class CalibrationCheck:
    """How the labels of a window lay about the rates expected of them (Cox 1958): `gap` of the share of positives,
    `slope` of the labels on the expected logit. `held` when both are within their tolerance, or within what the chance
    of single rows gives (90 %). `p_value` is of no departure at all, counting days and not rows: rows of a day resemble
    each other, and one odd day is no new relation. It is 1 where fewer than four days are known."""

    gap: float
    slope: float
    held: bool
    p_value: float
    days: int

    @property
    def reason(self) -> str:
        """What did not hold; empty when it did."""
        if self.held:
            return ""
        if abs(np.log(max(self.slope, 1e-3))) > SLOPE:
            stronger = "more" if self.slope > 1 else "less"
            return f"labels follow the score {stronger} than they did (slope {self.slope:.2f}, expected 1)"
        return f"positives are {abs(self.gap):.1%} {'more' if self.gap > 0 else 'fewer'} than the scores say"


def check_calibration(rate: Floats, days: Sequence[ScoreCounts], *, tolerance: float = SLOPE) -> CalibrationCheck:
    """Compare labelled days of a window with the rates that were expected before their labels."""
    whole = merged(days)
    weight, used = whole.labelled, whole.labelled > 0
    count = weight.sum()
    share = np.divide(whole.positive, weight, out=np.zeros(BINS), where=used)
    features = np.column_stack([np.log(rate) - np.log1p(-rate), np.ones(BINS)])
    slope, intercept = logistic(features[used], share[used], weight[used], ridge=1e-9)
    fitted = _sigmoid(features @ np.array([slope, intercept]))
    information = (features * (weight * fitted * (1 - fitted))[:, None]).T @ features
    inverse = np.linalg.pinv(information)
    gap = float((whole.positive - weight * rate).sum() / count)
    gap_error = float(np.sqrt((weight * rate * (1 - rate)).sum())) / count
    slope_error = float(np.sqrt(inverse[0, 0])) / max(abs(slope), 1e-3)
    departure = abs(float(np.log(max(slope, 1e-3))))
    held = abs(gap) <= max(GAP, CHANCE * gap_error) and departure <= max(tolerance, CHANCE * slope_error)
    labelled = [d for d in days if d.labelled.sum()]
    p_value = _p_by_day(features, fitted, labelled, inverse, np.array([slope - 1, intercept]))
    return CalibrationCheck(gap, float(slope), bool(held), p_value, len(labelled))


def _p_by_day(
    features: Floats, fitted: Floats, days: Sequence[ScoreCounts], inverse: Floats, departure: Floats
) -> float:
    """Wald's test of slope 1 and intercept 0 with the cluster-robust variance over days, as Hotelling's T squared
    (an F with 2 and k - 2 degrees of freedom has the closed tail (1 + 2 F / (k - 2)) ** -((k - 2) / 2))."""
    k = len(days)
    if k < 4:
        return 1.0
    scores = np.stack([(d.positive - d.labelled * fitted) @ features for d in days])
    variance = inverse @ (scores.T @ scores) @ inverse * k / (k - 1)
    statistic = float(departure @ np.linalg.pinv(variance) @ departure) * (k - 2) / (2 * (k - 1))
    return float((1 + 2 * max(0.0, statistic) / (k - 2)) ** (-(k - 2) / 2))


def _sigmoid(x: Floats) -> Floats:
    return np.clip(1 / (1 + np.exp(-np.clip(x, -35, 35))), 1e-6, 1 - 1e-6)
