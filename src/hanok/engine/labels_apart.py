"""What labels say against the answers of the same rows: that they came in another unit, or that the model has become
worse."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hanok.compute.metrics import evaluate
from hanok.compute.units import unit_of_pairs
from hanok.core.declare import Model
from hanok.core.metric_names import HIGHER_IS_BETTER
from hanok.core.training import facts_of
from hanok.engine.diagnosed import Suspect
from hanok.engine.evidence import Evidence

ROWS_MIN = 12
TIMES, BELOW = 2.0, 0.25  # the loss of the gate, and what a share may fall by: less is no wonder on some thirty rows


class Labelled(Protocol):
    """Answers of a window, with the labels that are known of them (NaN: none)."""

    @property
    def parts(self) -> Evidence: ...
    @property
    def model(self) -> Model: ...
    @property
    def version(self) -> int: ...
    @property
    def start(self) -> datetime: ...
    @property
    def truth(self) -> NDArray[np.float64]: ...
    @property
    def given(self) -> NDArray[np.float64]:
        """The scores that were answered; (rows,) or (rows, classes)."""


def other_labels(case: Labelled) -> list[Suspect]:
    """Numbers that came as labels in another unit than the answers have."""
    if case.model.task != "regression":
        return []
    known = np.isfinite(case.truth) & np.isfinite(case.given)
    usual = facts_of(case.parts.training.version(case.model.name, case.version)).metrics.get("rmse")
    if known.sum() < ROWS_MIN or usual is None:
        return []
    if not (said := unit_of_pairs(case.given[known], case.truth[known], usual)):
        return []
    table, reason = case.model.label.table, f"{case.model.label.column} is {said}"
    proof = {"rows": float(known.mean())}
    action = f"look at what feeds {table!r}; ingest the labels corrected"
    return [Suspect(f"labels of {table}", "labels", reason, 0.0, case.start.isoformat(), (), proof, action)]


def worse_than_gate(case: Labelled) -> str:
    """That the answers with labels are much worse than what the gate saw; "" where they are not, or are few."""
    facts = facts_of(case.parts.training.version(case.model.name, case.version))
    then, given = facts.metrics.get(facts.metric), case.given
    known = np.isfinite(case.truth) & np.isfinite(given if given.ndim == 1 else given.sum(axis=1))
    if then is None or known.sum() < ROWS_MIN:
        return ""
    now = evaluate(case.model.task, case.truth[known], given[known]).get(facts.metric)
    if now is None or not np.isfinite(now):
        return ""
    worse = then - now > BELOW if HIGHER_IS_BETTER.get(facts.metric) else now > TIMES * then
    return (
        f"{facts.metric} is {now:.3f} on {known.sum()} labelled answers and was {then:.3f} at the gate" if worse else ""
    )
