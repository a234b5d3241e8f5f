"""What a drift that was found amounts to: whether it matters, does harm, and is not known to be benign."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hanok.compute.alarms import Verdict
from hanok.compute.drift import Reference, sampled
from hanok.compute.metrics import DEFAULT_METRIC, row_losses
from hanok.core.logged import FEATURE
from hanok.core.monitoring import BenignShape, FeatureDrift
from hanok.core.serving import Signature
from hanok.parts.monitoring.benign import TRIAL, Benign, alike, said

HARM = 0.02
MISSING = 0.5  # a column that is null so much more often than in the reference is as good as gone
CHANCE = 1e-3  # nulls that come together more rarely than this are no chance
COSTS_MIN = 0.005  # drift that adds less than this share to the loss is harmless
TRIAL_ROWS_MIN, TRIAL_ROWS_MAX = 500, 2_500

Column: TypeAlias = pa.ChunkedArray | pa.Array
Columns: TypeAlias = Mapping[str, Column]


def unlikely(share: float, rows: int, usual: float) -> bool:
    """Whether such a share of nulls, or a larger one, is no chance in so few rows where `usual` are null (Chernoff's
    bound; for a share of 1 the probability itself)."""
    if share <= usual:
        return False
    if usual <= 0:
        return True
    rest = (1 - share) * math.log((1 - share) / (1 - usual)) if share < 1 else 0.0
    return rows * (share * math.log(share / usual) + rest) > -math.log(CHANCE)


class LiveModel(Protocol):
    """The model that answers, as far as drift needs it."""

    @property
    def signature(self) -> Signature: ...

    def score(self, columns: Columns) -> np.ndarray: ...


@dataclass(frozen=True, slots=True)
class _Weighed:
    """What became of a verdict: `matters` by importance and effect; why it is quiet all the same."""

    matters: bool
    costs: float | None = None
    harmless: bool = False
    known: BenignShape | None = None

    @property
    def counts(self) -> bool:
        return self.matters and not self.harmless and self.known is None


class Judging:
    """The policies say what moved and lasts; what matters, does harm and is not known to be benign alarms."""

    def __init__(
        self,
        benign: Benign,
        model: str,
        importance: Mapping[str, float],
        gone: Mapping[str, float],
        day: str,
        rows: int,
    ) -> None:
        """`gone` are the shares of nulls in the `rows` of the day."""
        self._rows = rows
        self._benign, self._model, self._importance, self._gone, self.day = benign, model, importance, gone, day
        self._shapes = benign.shapes(model)

    def of(self, verdicts: Sequence[Verdict], trial: Trial) -> tuple[FeatureDrift, ...]:
        """The features of a week."""
        return tuple(self._of_week(v, trial) for v in verdicts)

    def with_run(
        self, features: Sequence[FeatureDrift], verdicts: Sequence[Verdict], trial: Trial
    ) -> tuple[FeatureDrift, ...]:
        """The same with what the newest run of days says. What the week that ends with it found to be harmless or
        benign stays quiet."""
        by_name = {v.drift.column: v for v in verdicts}
        return tuple(self._of_run(f, by_name[f.feature], trial) if f.feature in by_name else f for f in features)

    def _of_week(self, verdict: Verdict, trial: Trial) -> FeatureDrift:
        drift, weighed = verdict.drift, self._weighed(verdict, trial)
        share, null_today = self._importance.get(drift.column, 0.0), self._gone[drift.column]
        if weighed.harmless:
            column = trial.rows.column(FEATURE + drift.column)
            self._benign.learn(self._model, trial.references[drift.column], column, self.day)
        return FeatureDrift(
            feature=drift.column,
            psi=round(drift.psi, 4),
            psi_noise_floor=round(drift.psi_noise_floor, 4),
            usual_psi=round(drift.usual_psi, 4),
            js_distance_base2=round(drift.js_distance_base2, 4),
            p_adjusted=verdict.p_adjusted,
            importance=round(share, 4),
            harm=round(share * drift.effect, 4),
            null_share=round(drift.null_share, 4),
            null_today=round(null_today, 4),
            costs=None if weighed.costs is None else round(weighed.costs, 4),
            harmless=weighed.harmless,
            benign=said(weighed.known) if weighed.known else "",
            suspicious=verdict.suspect,
            integrity=verdict.broken,
            missing=null_today - drift.reference_null_share > MISSING
            and unlikely(null_today, self._rows, drift.reference_null_share),
            alarm=verdict.broken or (verdict.alarm and weighed.counts),
        )

    def _of_run(self, feature: FeatureDrift, verdict: Verdict, trial: Trial) -> FeatureDrift:
        drift = verdict.drift
        quiet = feature.harmless or bool(feature.benign)
        weighed = _Weighed(False) if quiet else self._weighed(verdict, trial)
        harm = feature.harm
        if weighed.counts:
            harm = max(harm, round(self._importance.get(drift.column, 0.0) * drift.effect, 4))
        return replace(
            feature,
            harm=harm,
            costs=feature.costs if weighed.costs is None else round(weighed.costs, 4),
            run_psi=round(drift.psi, 4),
            run_usual_psi=round(drift.usual_psi, 4),
            run_suspicious=weighed.counts,
            sudden=verdict.sudden and weighed.counts,
            alarm=feature.alarm or (verdict.alarm and weighed.counts),
        )

    def _weighed(self, verdict: Verdict, trial: Trial) -> _Weighed:
        name = verdict.drift.column
        if not (verdict.suspect and self._importance.get(name, 0.0) * verdict.drift.effect > HARM):
            return _Weighed(False)
        costs = trial.costs(name)
        if costs is not None and costs < COSTS_MIN:
            return _Weighed(True, costs, harmless=True)
        mine = self._shapes.get(name, [])
        mine = mine if costs is None else [b for b in mine if b.by != TRIAL]
        return _Weighed(True, costs, known=alike(mine, trial.rows.column(FEATURE + name)))


class Trial:
    """The labelled answers of a window, to be scored again with a feature as it was in training."""

    def __init__(
        self, live: LiveModel, references: Sequence[Reference], rows: pa.Table, outcomes: Callable[[], pa.Table]
    ) -> None:
        self._live, self.references = live, {r.column: r for r in references}
        self.rows, self._outcomes = rows, outcomes

    @cached_property
    def _labelled(self) -> tuple[dict[str, Column], np.ndarray] | None:
        inputs = [c.name for c in self._live.signature.inputs]
        outcomes = self._outcomes()
        if not outcomes.num_rows or any(FEATURE + n not in self.rows.column_names for n in inputs):
            return None
        places = pc.index_in(self.rows.column("prediction_id"), outcomes.column("prediction_id").combine_chunks())
        mine = self.rows.filter(places.is_valid())
        if mine.num_rows < TRIAL_ROWS_MIN:
            return None
        truth = outcomes.column("label").take(places.drop_null()).to_numpy()
        step = -(-mine.num_rows // TRIAL_ROWS_MAX)
        mine, truth = mine.take(pa.array(np.arange(0, mine.num_rows, step))), truth[::step]
        return {n: mine.column(FEATURE + n) for n in inputs}, truth

    @cached_property
    def _loss(self) -> float:
        assert self._labelled is not None
        return self._mean_loss(self._labelled[0])

    def _mean_loss(self, columns: Columns) -> float:
        assert self._labelled is not None
        task = self._live.signature.task
        return float(row_losses(task, DEFAULT_METRIC[task], self._labelled[1], self._live.score(columns)).mean())

    def costs(self, column: str) -> float | None:
        """The share of the window's loss that goes away when the column is drawn from its reference; None when too few
        rows are labelled."""
        if self._labelled is None or column not in self._labelled[0]:
            return None
        values = sampled(self.references[column], len(self._labelled[1]), seed=len(column))
        return 1 - self._mean_loss({**self._labelled[0], column: values}) / max(self._loss, 1e-12)
