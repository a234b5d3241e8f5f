"""Finding what is wrong with a window of predictions: which column is unlike itself, and what restoring it changes.

Nothing here knows a fault by name. A column is suspected when its values differ from what the feature store gives for
the same rows, when it has gone null, when it holds what the model was never trained on, or when its distribution lies
far outside how much it has moved from day to day before. How much of the change it explains is found by scoring the
window again with that column restored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hanok.compute.drift import Reference, bin_counts, compare, sampled
from hanok.compute.units import unit_change

Scores = NDArray[np.float64]
SKEW_SHARE = 0.02
NULL_JUMP = 0.5
OUTSIDE_SHARE = 0.2
FAR = 3.0
DISTANCE_MIN = 0.6
EXPLAINS_MIN = 0.1
SOME = 2  # rows: one or two are no sign
DRAWN, QUANTILES = 2_000, (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Why a column is suspected: `kind` (skew, null, outside, unit, moved), one sentence, and the share of rows
    concerned."""

    column: str
    kind: str
    reason: str
    share: float


def skewed(column: str, logged: pa.ChunkedArray, recomputed: pa.ChunkedArray) -> Suspicion | None:
    """Values that were served and are not what the feature store gives for the same row and instant."""
    differs = ~_equal(logged, recomputed)
    share = float(differs.mean()) if len(differs) else 0.0
    if share < SKEW_SHARE:
        return None
    place = int(np.flatnonzero(differs)[0])
    return Suspicion(
        column,
        "skew",
        f"{share:.0%} of the served values differ from the feature store's (served {_shown(logged[place])}, "
        f"the store gives {_shown(recomputed[place])})",
        share,
    )


def strange(reference: Reference, window: pa.ChunkedArray, before: Sequence[pa.ChunkedArray]) -> Suspicion | None:
    """A column unlike its training reference and unlike itself on the days `before` (oldest first)."""
    counts = bin_counts(reference, window)
    trained = np.array(reference.counts, float)
    total = counts.sum()
    if not total or not trained.sum():
        return None
    history = [bin_counts(reference, day) for day in before if len(day)]
    usual_null = max([h[-1] / h.sum() for h in history], default=trained[-1] / trained.sum())
    null = counts[-1] / total
    if null - usual_null > NULL_JUMP:
        return Suspicion(
            reference.column, "null", f"null in {null:.0%} of the rows (at most {usual_null:.0%} before)", null
        )
    outside = _outside(reference, window)
    usual = max((_outside(reference, day) for day in before if len(day)), default=0.0)
    if outside - usual > OUTSIDE_SHARE and outside * len(window) > SOME:
        if said := _other_unit(reference, window):
            return Suspicion(reference.column, "unit", said, outside)
        return Suspicion(
            reference.column,
            "outside",
            f"{outside:.0%} of the values {_beyond(reference)} (at most {usual:.0%} before)",
            outside,
        )
    return _moved(reference, counts, history)


def _beyond(reference: Reference) -> str:
    """A reference knows where nearly all training rows lie, and the texts that were not rare."""
    return "lie far beyond nearly all training rows" if reference.numeric else "are texts that training hardly knew"


def _other_unit(reference: Reference, window: pa.ChunkedArray) -> str:
    """How a column came in another unit than in training; empty where no conversion explains its values."""
    if not reference.numeric:
        return ""
    now = window.cast(pa.float64()).drop_null().to_numpy()
    trained = sampled(reference, DRAWN, 0).drop_null().to_numpy()
    now, trained = now[np.isfinite(now)], trained[np.isfinite(trained)]
    if not len(now) or not len(trained):
        return ""
    usual, found = (np.quantile(v, QUANTILES).tolist() for v in (trained, now))
    return unit_change(usual, found, len(now))


def _moved(reference: Reference, counts: NDArray[np.int64], history: Sequence[NDArray[np.int64]]) -> Suspicion | None:
    if len(history) < 5:
        return None
    steps = [_distance(reference, np.sum(history[:i], axis=0), history[i]) for i in range(2, len(history))]
    now = _distance(reference, np.sum(history, axis=0), counts)
    usual = max(steps)
    if now < DISTANCE_MIN or now < FAR * usual:
        return None
    return Suspicion(
        reference.column,
        "moved",
        f"its distribution is {now:.2f} away from the days before (js_distance_base2), {usual:.2f} at most so far",
        1.0,
    )


def _distance(reference: Reference, a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    base = Reference(reference.column, reference.numeric, reference.points, reference.edges, tuple(int(x) for x in a))
    return compare(base, b).js_distance_base2


def _outside(reference: Reference, column: pa.ChunkedArray) -> float:
    """Share of non-null values beyond the reference: unseen text, or numbers outside [lowest, highest] by more than
    half the reference's width on that side."""
    present = column.drop_null()
    if not len(present):
        return 0.0
    if not reference.numeric:
        return float(
            1
            - pc.sum(pc.is_in(present.cast(pa.string()), pa.array(reference.points, pa.string()))).as_py()
            / len(present)
        )
    known = np.array([*reference.points, *reference.edges], float)
    if not len(known):
        return 0.0
    low, high = known.min(), known.max()
    slack = 0.5 * (high - low) or 1.0
    values = present.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return float(((values < low - slack) | (values > high + slack)).mean())


@dataclass(frozen=True, slots=True)
class Effect:
    """What restoring a suspect does to the window: mean score (None: nothing was answered), and mean loss where labels
    are known."""

    score: float | None
    loss: float | None


def effect(
    score: Callable[[Mapping[str, pa.ChunkedArray]], Scores],
    columns: Mapping[str, pa.ChunkedArray],
    restored: Mapping[str, pa.ChunkedArray],
    loss: Callable[[Scores], float] | None,
) -> Effect:
    """Score the window with `restored` columns in place of its own."""
    scores = score({**columns, **restored})
    plain = scores if scores.ndim == 1 else scores.max(axis=1)  # of many classes: how sure it is of the likeliest
    return Effect(float(np.mean(plain)), None if loss is None else loss(scores))


def explained(observed: Effect, after: Effect, usual_score: float | None, usual_loss: float | None) -> float:
    """The larger share of the change that restoring takes away: of the loss above usual, of the shift in mean score."""
    shares = []
    if observed.loss is not None and after.loss is not None and usual_loss is not None and observed.loss > usual_loss:
        shares.append((observed.loss - after.loss) / (observed.loss - usual_loss))
    if usual_score is not None and observed.score is not None and after.score is not None:
        gap = abs(observed.score - usual_score)
        if gap > 1e-9:
            shares.append((gap - abs(after.score - usual_score)) / gap)
    return float(np.clip(max(shares, default=0.0), 0.0, 1.0))


def resampled(pool: pa.ChunkedArray, rows: int, seed: int) -> pa.ChunkedArray:
    """Values as they were before: drawn from the pool, so that the column's own distribution is restored."""
    order = np.random.default_rng(seed).integers(0, len(pool), rows)
    return pool.take(pa.array(order))


def _equal(a: pa.ChunkedArray, b: pa.ChunkedArray) -> NDArray[np.bool_]:
    if pa.types.is_string(a.type) or pa.types.is_string(b.type):
        x, y = a.cast(pa.string()), b.cast(pa.string())
        same = pc.equal(x, y).fill_null(False).to_numpy(zero_copy_only=False)
        return same | (x.is_null().to_numpy() & y.is_null().to_numpy())
    x, y = (c.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False) for c in (a, b))
    return np.isclose(x, y, rtol=1e-9, atol=1e-12, equal_nan=True)


def _shown(value: pa.Scalar) -> str:
    plain = value.as_py()
    return "null" if plain is None else f"{plain:g}" if isinstance(plain, float | int) else repr(plain)
