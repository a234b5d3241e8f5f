"""The gate: a challenger must be shown, on held-out rows, to be better than what serves, and on no slice worse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hanok.compute.frames import PREDICT_AT
from hanok.compute.metrics import Gain, blocked_gain, evaluate, paired_gain, row_losses
from hanok.core.declare import Gate

Losses = NDArray[np.float64]
SLICE_ROWS_MIN = 200
DAYS_MIN = 7
DAY_US = 86_400_000_000
DRAWS = 1000
SEED = 20130101
BASELINE = "constant baseline"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`passed`, and the evidence in numbers: gain in mean per-row loss with its bounds, metrics of both, slices."""

    passed: bool
    why: str
    against: str
    gain: float
    low: float
    high: float
    rows: int
    challenger: Mapping[str, float]
    champion: Mapping[str, float]
    worse_slices: tuple[str, ...] = ()
    slices: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def judge(
    gate: Gate,
    task: str,
    metric: str,
    y: NDArray[np.float64],
    challenger: NDArray[np.float64],
    champion: NDArray[np.float64],
    rows: pa.Table,
    *,
    against: str,
) -> Verdict:
    """Compare two models on the same rows. Slices refuse only against a champion: a first model that beats the
    baseline overall is better than none. Slices of fewer than 200 rows cannot tell and are not judged; the
    confidence of slice bounds is raised by Bonferroni, so that many slices do not refuse by chance."""
    champion_losses, challenger_losses = (row_losses(task, metric, y, s) for s in (champion, challenger))
    days = _days(rows)
    gain = _gain(champion_losses, challenger_losses, days, gate.confidence)
    groups = _groups(gate, rows)
    corrected = 1 - (1 - gate.confidence) / max(1, len(groups))
    slices, worse = {}, []
    for name, mask in groups.items():
        part = _gain(champion_losses[mask], challenger_losses[mask], days[mask], corrected)
        slices[name] = {"rows": part.rows, "gain": part.mean, "low": part.low, "high": part.high}
        if part.high < 0 and against != BASELINE:
            worse.append(name)
    better = gain.low > -gate.tolerance
    mine, theirs = evaluate(task, y, challenger), evaluate(task, y, champion)
    unit = {"rmse": "squared error", "auc": "log loss", "r2": "squared error"}.get(metric, metric.replace("_", " "))
    why = (
        f"{metric} {mine[metric]:.4f} against {theirs[metric]:.4f} of the {against}: mean gain {gain.mean:+.4g} "
        f"{unit} per row "
        f"(at least {gain.low:+.4g} with {gate.confidence:.0%} confidence; {gain.rows} rows"
        + (f" of {gain.blocks} days)" if gain.blocks else ")")
    )
    if not better:
        why += ": not shown to be better"
    elif worse:
        why += f"; but worse on {', '.join(worse)}"
    return Verdict(
        better and not worse,
        why,
        against,
        gain.mean,
        gain.low,
        gain.high,
        gain.rows,
        mine,
        theirs,
        tuple(worse),
        slices,
    )


def _gain(champion: Losses, challenger: Losses, days: NDArray[np.int64], confidence: float) -> Gain:
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
