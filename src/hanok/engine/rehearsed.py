"""A rehearsal without a store: days as they were, faults that are put into copies of them, and what is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import pyarrow as pa

from hanok.compute.hypotheses import Case, judged
from hanok.compute.metrics import row_losses
from hanok.compute.rehearsal import FEED, INPUT, Fault, faults
from hanok.core.clock import micros, wall_seconds
from hanok.core.errors import NotFound
from hanok.core.rehearsal import Question, QuietDay, RehearsedFault
from hanok.engine.causes import arrow_of, change, suspects
from hanok.engine.diagnosed import Suspect
from hanok.engine.incident import Incident

DAY = timedelta(days=1)
STAGES, APART = 2, 4  # days that faults are put into, and their distance
LASTED = (1, 3)  # days
WORSE, SURE_Z = 0.05, 3.0
SCORE_MOVED = 0.1  # deviations of the score, where labels are too few to know the loss
LABELS_MIN = 30

Scorer = Callable[[Mapping[str, pa.ChunkedArray]], np.ndarray]


@dataclass(frozen=True, slots=True)
class Rehearsing:
    """Days as they were, the newest first; `order` are the features, the one that matters most first. No question is
    begun after `budget_s` seconds."""

    task: str
    metric: str
    order: tuple[str, ...]
    days: tuple[Incident, ...]
    budget_s: float


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """`answers` are those of the days that faults were put into; `left` questions were not asked within the time."""

    answers: int
    faults: tuple[RehearsedFault, ...]
    quiet: tuple[QuietDay, ...]
    left: int


@dataclass(frozen=True, slots=True)
class _Stage:
    """A day as it was, and what is named about it."""

    house: Incident
    named: frozenset[str]

    @property
    def day(self) -> str:
        return (self.house.end - DAY).date().isoformat()


def run(work: Rehearsing, score: Scorer) -> Rehearsed:
    """Ask about each day as it was, then about each fault on one and on another of them, until the time is over.
    Raises NotFound where no day can be compared with days before it."""
    until = wall_seconds() + work.budget_s
    stages = list[_Stage]()
    for house in work.days:
        named = _named(work, house, _seen(house), score)
        if named is not None:
            stages.append(_Stage(house, frozenset(s.name for s in named)))
    if not stages:
        raise NotFound("too few answers on the days before to compare a day with: some 60, on three days at least")
    quiet = tuple(QuietDay(s.day, ", ".join(sorted(s.named))) for s in stages)
    chosen = _chosen(stages)
    tried = faults(chosen[0].house.case, work.order)
    asked: dict[int, list[Question]] = {}
    harmful: dict[int, bool] = {}
    left = 0
    for fault, stage, days in _in_turn(tried, chosen):
        if wall_seconds() > until:
            left += 1
            continue
        found = _ask(work, tried[fault], stage, days, score)
        if found is not None:
            question, hurts = found
            asked.setdefault(fault, []).append(question)
            harmful[fault] = harmful.get(fault, False) or hurts
    made = tuple(
        RehearsedFault(f.kind, f.where, f.strength, f.place, harmful[i], tuple(asked[i]))
        for i, f in enumerate(tried)
        if i in asked
    )
    answers = sum(sum(s.house.case.answered[:1]) for s in chosen)
    return Rehearsed(answers, made, quiet, left)


def _chosen(stages: Sequence[_Stage]) -> list[_Stage]:
    """The newest day, of those about which nothing is named where there are any, and one some days before it."""
    calm = [s for s in stages if not s.named] or list(stages)
    first = calm[0]
    earlier = [s for s in calm if first.house.end - s.house.end >= APART * DAY]
    return [first, *earlier[: STAGES - 1]]


def _in_turn(tried: Sequence[Fault], stages: Sequence[_Stage]) -> list[tuple[int, _Stage, int]]:
    """Each fault at its greatest strength before any at a smaller one, on one day before another."""
    strengths: dict[tuple[str, str], int] = {}
    rank = []
    for fault in tried:
        of = fault.kind, fault.where
        rank.append(strengths.get(of, 0))
        strengths[of] = rank[-1] + 1
    turns = [(rank[i], at, days, i) for i in range(len(tried)) for at in range(len(stages)) for days in LASTED]
    return [(i, stages[at], days) for _, at, days, i in sorted(turns)]


def _ask(work: Rehearsing, fault: Fault, stage: _Stage, days: int, score: Scorer) -> tuple[Question, bool] | None:
    """What is named with the fault in the last `days`, and whether it does harm; None where it changes nothing, or
    leaves too little to compare with."""
    case = stage.house.case
    periods = max(case.asked, round(days * DAY / stage.house.length))
    broken = fault.put_into(_seen(stage.house), periods, seed=days)
    if broken is None:
        return None
    hit = np.flatnonzero(broken.period < periods)
    scores = score(arrow_of({n: v[hit] for n, v in broken.columns.items()})) if len(hit) else np.empty(0)
    named = _named(work, stage.house, _answered(work, broken, hit, scores), score)
    if named is None:  # too few days before
        return None
    new = [s for s in named if s.name not in stage.named]
    rank = next((i + 1 for i, s in enumerate(new) if fault.is_named_by(s.kind, s.columns, s.name)), 0)
    first = f"{new[0].name} ({new[0].kind})" if new else ""
    if fault.place not in (INPUT, FEED):
        return Question(stage.day, days, rank, first), True
    worse, hurts = _harm(work, case, hit, scores)
    return Question(stage.day, days, rank, first, worse), hurts or fault.late_h > 0


def _seen(house: Incident) -> Case:
    """The case with the labels that were known at its end."""
    case = house.case
    later = house.known_at >= micros(house.end)
    return replace(case, label=np.where(later, np.nan, case.label), loss=np.where(later, np.nan, case.loss))


def _answered(work: Rehearsing, case: Case, hit: np.ndarray, scores: np.ndarray) -> Case:
    """The case with the scores of the rows that were hit, and the losses that follow."""
    score, loss = case.score.copy(), case.loss.copy()
    score[hit] = scores if scores.ndim == 1 else scores.max(axis=1)
    known = np.isfinite(case.label[hit])
    loss[hit] = np.nan
    if known.any():
        loss[hit[known]] = row_losses(work.task, work.metric, case.label[hit][known], scores[known])
    return replace(case, score=score, loss=loss)


def _named(work: Rehearsing, house: Incident, case: Case, score: Scorer) -> list[Suspect] | None:
    """The causes of what is strange about a case; None where it cannot be compared with earlier days."""
    verdict = judged(case)
    if not verdict.compared:
        return None
    at = replace(house, case=case)

    def losses(label: np.ndarray, scores: np.ndarray) -> np.ndarray:
        return row_losses(work.task, work.metric, label, scores)

    return suspects(at, verdict, change(at, verdict), score, losses)


def _harm(work: Rehearsing, case: Case, hit: np.ndarray, scores: np.ndarray) -> tuple[float | None, bool]:
    """By which share the loss of the same rows is higher with a fault, and whether that is beyond chance; where labels
    are too few, whether the scores moved."""
    known = np.isfinite(case.loss[hit])
    if known.sum() >= LABELS_MIN:
        before = case.loss[hit][known]
        more = row_losses(work.task, work.metric, case.label[hit][known], scores[known]) - before
        share = float(more.mean() / before.mean()) if before.mean() > 0 else 0.0
        return share, bool(share >= WORSE and more.mean() > SURE_Z * more.std(ddof=1) / len(more) ** 0.5)
    plain = scores if scores.ndim == 1 else scores.max(axis=1)
    return None, bool(np.abs(plain - case.score[hit]).mean() > SCORE_MOVED * case.score.std())
