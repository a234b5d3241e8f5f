"""The gate: a challenger must be shown, on held-out rows, to be better than what serves, and on no slice worse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hanok.compute.metrics import evaluate, paired_gain, row_losses
from hanok.core.declare import Gate

SLICE_ROWS_MIN = 200
SEED = 20130101
BASELINE = "constant baseline"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`passed`, and the evidence in numbers: gain in mean per-row loss with its interval, metrics of both, slices."""

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
    confidence of slice intervals is raised by Bonferroni, so that many slices do not refuse by chance."""
    losses = [row_losses(task, metric, y, s) for s in (champion, challenger)]
    gain = paired_gain(*losses, confidence=gate.confidence, seed=SEED)
    groups = _groups(gate, rows)
    corrected = 1 - (1 - gate.confidence) / max(1, len(groups))
    slices, worse = {}, []
    for name, mask in groups.items():
        part = paired_gain(losses[0][mask], losses[1][mask], confidence=corrected, seed=SEED, draws=400)
        slices[name] = {"rows": part.rows, "gain": part.mean, "low": part.low, "high": part.high}
        if part.high < 0 and against != BASELINE:
            worse.append(name)
    better = gain.low > -gate.tolerance
    mine, theirs = evaluate(task, y, challenger), evaluate(task, y, champion)
    unit = {"rmse": "squared error", "auc": "log loss", "r2": "squared error"}.get(metric, metric.replace("_", " "))
    why = (
        f"{metric} {mine[metric]:.4f} against {theirs[metric]:.4f} of the {against}: mean gain {gain.mean:+.4g} "
        f"{unit} per row "
        f"({gate.confidence:.0%} interval {gain.low:+.4g} to {gain.high:+.4g}, {gain.rows} rows)"
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
