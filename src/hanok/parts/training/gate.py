"""The gate: a challenger must be shown, on held-out rows, to be better than what serves, and on no slice worse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hanok.compute.frames import PREDICT_AT
from hanok.compute.metrics import Floats, Gain, blocked_gain, evaluate, paired_gain, row_losses
from hanok.core.declare import Gate
from hanok.core.training import LeakNote, SliceGain, Verdict

SLICE_ROWS_MIN = 200
DAYS_MIN = 7
DAY_US = 86_400_000_000
DRAWS = 1000
SEED = 20130101
BASELINE = "constant baseline"


@dataclass(frozen=True, slots=True)
class Sides:
    """The labels of the held-out rows and what each side answers to them. `baseline` are the answers of the constant
    baseline, where the champion is another model."""

    y: Floats
    challenger: Floats
    champion: Floats
    baseline: Floats | None


def judge(gate: Gate, task: str, metric: str, sides: Sides, rows: pa.Table, against: str) -> Verdict:
    """Compare models on the same rows. A challenger has to beat the champion and the constant baseline: a champion that
    has gone bad is no measure. Slices refuse only against a champion: a first model that beats the baseline overall is
    better than none. Slices of fewer than 200 rows cannot tell and are not judged; the confidence of slice bounds is
    raised by Bonferroni, so that many slices do not refuse by chance."""
    y, days = sides.y, _days(rows)
    champion, challenger = (row_losses(task, metric, y, s) for s in (sides.champion, sides.challenger))
    gain = _gain(champion, challenger, days, gate.confidence)
    slices, worse = _slices(gate, rows, champion, challenger, days)
    worse = () if against == BASELINE else worse
    better = gain.low > -gate.tolerance
    mine, theirs = evaluate(task, y, sides.challenger), evaluate(task, y, sides.champion)
    unit = {"rmse": "squared error", "auc": "log loss", "r2": "squared error"}.get(metric, metric.replace("_", " "))
    why = (
        f"{metric} {mine[metric]:.4f} against {theirs[metric]:.4f} of the {against}: mean gain {gain.mean:+.4g} "
        f"{unit} per row "
        f"(at least {gain.low:+.4g} with {gate.confidence:.0%} confidence; {gain.rows} rows"
        + (f" of {gain.blocks} days)" if gain.blocks else ")")
    )
    constant = None
    if sides.baseline is not None:
        constant = _gain(row_losses(task, metric, y, sides.baseline), challenger, days, gate.confidence)
    useless = constant is not None and not constant.low > -gate.tolerance
    if not better:
        why += ": not shown to be better"
    elif worse:
        why += f"; but worse on {', '.join(worse)}"
    elif useless and constant is not None:
        why += f"; but not shown to be better than the {BASELINE} (at least {constant.low:+.4g})"
    return Verdict(
        passed=better and not worse and not useless,
        why=why,
        against=against,
        gain=_finite(gain.mean),
        low=_finite(gain.low),
        high=_finite(gain.high),
        rows=gain.rows,
        challenger={k: _finite(v) for k, v in mine.items()},
        champion={k: _finite(v) for k, v in theirs.items()},
        worse_slices=worse,
        slices=slices,
        baseline=_kept(constant) if constant is not None else None,
    )


def without_leaks(verdict: Verdict, leaks: Sequence[LeakNote]) -> Verdict:
    """The verdict with its suspicions; a certain leak refuses."""
    why = "".join(f"; {leak.message}" for leak in leaks)
    return replace(verdict, why=verdict.why + why, passed=verdict.passed and not any(x.certain for x in leaks))


def without_champion(verdict: Verdict, why: str) -> Verdict:
    """The verdict against the baseline that says why the champion could not be the measure."""
    return replace(verdict, why=f"{verdict.why}; {why}", champion_unjudged=why) if why else verdict


def _slices(
    gate: Gate, rows: pa.Table, champion: Floats, challenger: Floats, days: NDArray[np.int64]
) -> tuple[dict[str, SliceGain], tuple[str, ...]]:
    """The gain on each slice, and the slices on which the challenger is worse."""
    groups = _groups(gate, rows)
    corrected = 1 - (1 - gate.confidence) / max(1, len(groups))
    found = {n: _gain(champion[mask], challenger[mask], days[mask], corrected) for n, mask in groups.items()}
    return {n: _kept(g) for n, g in found.items()}, tuple(n for n, g in found.items() if g.high < 0)


def _kept(gain: Gain) -> SliceGain:
    return SliceGain(gain.rows, _finite(gain.mean), _finite(gain.low), _finite(gain.high))


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _gain(champion: Floats, challenger: Floats, days: NDArray[np.int64], confidence: float) -> Gain:
    """By days where the rows cover enough of them, else by rows."""
    if len(np.unique(days)) < DAYS_MIN:
        return paired_gain(champion, challenger, confidence=confidence, seed=SEED, draws=DRAWS)
    return blocked_gain(champion, challenger, days, confidence=confidence)


def _days(rows: pa.Table) -> NDArray[np.int64]:
    instants: NDArray[np.int64] = rows.column(PREDICT_AT).cast(pa.int64()).to_numpy()
    return instants // DAY_US


def _groups(gate: Gate, rows: pa.Table) -> dict[str, NDArray[np.bool_]]:
    found: dict[str, NDArray[np.bool_]] = {}
    for column in gate.slices:
        for name in (column, f"key__{column}"):
            if name in rows.column_names:
                values = rows.column(name).cast(pa.string()).fill_null("(null)").to_numpy(zero_copy_only=False)
                for value in np.unique(values):
                    mask = values == value
                    if mask.sum() >= SLICE_ROWS_MIN:
                        found[f"{column}={value}"] = mask
                break
    return found
