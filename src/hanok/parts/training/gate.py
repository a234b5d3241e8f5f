"""The gate: a challenger must be shown, on held-out rows, to be better than what serves, and on no slice worse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hanok.compute.frames import PREDICT_AT
from hanok.compute.metrics import BLOCKS_MIN, Floats, Gain, blocked_gain, evaluate, paired_gain, row_losses
from hanok.core.declare import Gate
from hanok.core.training import LeakNote, SliceGain, Verdict

SLICE_ROWS_MIN = 200
DAYS_MIN = 7
DAY_US = 86_400_000_000
DRAWS = 1000
SEED = 20130101
BASELINE = "constant baseline"
Days = NDArray[np.int64] | None


@dataclass(frozen=True, slots=True)
class Sides:
    """The labels of the held-out rows and what each side answers to them. `baseline` are the answers of the constant
    baseline, where the champion is another model."""

    y: Floats
    challenger: Floats
    champion: Floats
    baseline: Floats | None


def judge(
    gate: Gate, task: str, metric: str, sides: Sides, rows: pa.Table, against: str, *, in_time: bool = True
) -> Verdict:
    """Compare models on the same rows. `in_time`: they are the newest ones, so days are counted (`_blocks`).

    A challenger has to beat the champion and the constant baseline: a champion that has gone bad is no measure.
    Slices refuse only against a champion: a first model that beats the baseline overall is better than none. Slices
    of fewer than 200 rows cannot tell and are not judged; the confidence of slice bounds is raised by Bonferroni,
    so that many slices do not refuse by chance."""
    y, days = sides.y, _blocks(rows, in_time, against)
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
        + (f" of {gain.blocks} day{'s' * (gain.blocks > 1)})" if gain.blocks else ")")
    )
    constant = None
    if sides.baseline is not None:
        constant = _gain(row_losses(task, metric, y, sides.baseline), challenger, days, gate.confidence)
    useless = constant is not None and not constant.low > -gate.tolerance
    if 0 < gain.blocks < BLOCKS_MIN:
        why += (
            f": too few days to tell, {BLOCKS_MIN} are needed at least, so the champion stays. "
            "Train again when more days have labels"
        )
    elif not better:
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
    gate: Gate, rows: pa.Table, champion: Floats, challenger: Floats, days: Days
) -> tuple[dict[str, SliceGain], tuple[str, ...]]:
    """The gain on each slice, and the slices on which the challenger is worse."""
    groups = _groups(gate, rows)
    corrected = 1 - (1 - gate.confidence) / max(1, len(groups))
    found = {
        n: _gain(champion[mask], challenger[mask], None if days is None else days[mask], corrected)
        for n, mask in groups.items()
    }
    return {n: _kept(g) for n, g in found.items()}, tuple(n for n, g in found.items() if g.high < 0)


def _kept(gain: Gain) -> SliceGain:
    return SliceGain(gain.rows, _finite(gain.mean), _finite(gain.low), _finite(gain.high))


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _gain(champion: Floats, challenger: Floats, days: Days, confidence: float) -> Gain:
    """By days; by rows where there are none to count."""
    if days is None:
        return paired_gain(champion, challenger, confidence=confidence, seed=SEED, draws=DRAWS)
    return blocked_gain(champion, challenger, days, confidence=confidence)


def _blocks(rows: pa.Table, in_time: bool, against: str) -> Days:
    """The day of each row; None where rows are counted: where they know no days (a random holdout of less than a week,
    rows of one instant), and where less than a week is held against the constant baseline alone, because a first model
    of a few days is better than none. Of less than a week a first or last day with less than half the rows of the
    largest counts with its neighbour: a stump would count as much as a whole day."""
    instants: NDArray[np.int64] = rows.column(PREDICT_AT).cast(pa.int64()).to_numpy()
    days = instants // DAY_US
    if len(np.unique(days)) >= DAYS_MIN:
        return days
    if not in_time or against == BASELINE or not len(days) or instants.min() == instants.max():
        return None
    return _without_stumps(days)


def _without_stumps(days: NDArray[np.int64]) -> NDArray[np.int64]:
    for end, inner in ((-1, -2), (0, 1)):
        names, rows = np.unique(days, return_counts=True)
        if len(names) > 1 and 2 * rows[end] < rows.max():
            days = np.where(days == names[end], names[inner], days)
    return days


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
