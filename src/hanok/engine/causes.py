"""Causes that hold, as suspects: what each takes away of the change in loss or score, shared out by Shapley values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import factorial

import numpy as np
import pyarrow as pa

from hanok.compute.diagnosis import Effect, effect, explained
from hanok.compute.hypotheses import Believed, Case, Verdict
from hanok.compute.hypotheses.case import Columns, Numbers, Values, numeric
from hanok.engine.diagnosed import Suspect
from hanok.engine.incident import Incident
from hanok.engine.reproduced import irreversible, reproduced

Scorer = Callable[[Mapping[str, pa.ChunkedArray]], Numbers]
Losses = Callable[[Numbers, Numbers], Numbers]
"""Losses of rows by their labels and scores."""
LABELS_MIN = 60
SURE_Z = 3.0
WORSE = 1.25
OF_FEEDS: Mapping[str, frozenset[str]] = {
    "late": frozenset({"late", "time", "label delay"}),
    "silent": frozenset({"missing", "label delay"}),
    "cut down": frozenset({"partial", "label delay"}),
}
OF_COLUMNS: Mapping[str, frozenset[str]] = {
    "null": frozenset({"null", "schema", "missing"}),
    "constant": frozenset({"constant", "fill", "clip"}),
    "rescaled": frozenset({"unit", "sign", "outliers"}),
    "exchanged": frozenset({"swap", "join"}),
    "written otherwise": frozenset({"encoding", "codes", "schema"}),
}
"""What is looked for, by the kinds of causes that say so."""
NAMED_MIN = 0.1  # of the change; a cause that values tell, not records, and that takes away less is not named


@dataclass(frozen=True, slots=True)
class Change:
    """The suspect rows beside the good ones: mean score and loss (None: too few labels), and whether either moved
    beyond chance."""

    now: Effect
    usual: Effect
    loss_rose: bool
    score_moved: bool


def change(incident: Incident, verdict: Verdict) -> Change:
    case = incident.case
    now, usual = verdict.rows, verdict.good
    losses = [case.loss[r][np.isfinite(case.loss[r])] for r in (now, usual)]
    known = all(len(x) >= LABELS_MIN for x in losses)
    scores = [case.score[r] for r in (now, usual)]
    rose = known and _beyond(*losses) and losses[0].mean() > WORSE * losses[1].mean()
    loss_now, loss_usual = (float(x.mean()) if known else None for x in losses)
    score_now, score_usual = (float(x.mean()) if len(x) else None for x in scores)
    moved = _beyond(*scores) or _beyond(scores[1], scores[0])
    return Change(Effect(score_now, loss_now), Effect(score_usual, loss_usual), bool(rose), moved)


def _beyond(a: Numbers, b: Numbers) -> bool:
    """Whether the mean of the first is above that of the second, beyond chance."""
    if len(a) < 2 or len(b) < 2:
        return False
    error = (a.var() / len(a) + b.var() / len(b)) ** 0.5
    return bool(a.mean() - b.mean() > SURE_Z * max(error, 1e-12))


def suspects(incident: Incident, verdict: Verdict, found: Change, score: Scorer, losses: Losses) -> list[Suspect]:
    """The causes in their order, each with its share of the change in score or loss, and its proof. What was not
    measured, or where neither changed beyond chance, has a share of 0."""
    case, rows = incident.case, verdict.rows
    label = case.label[rows]
    known = np.isfinite(label)
    counted = found.now.loss is not None
    loss = (lambda scores: float(losses(label[known], scores[known]).mean())) if counted else None
    columns = {n: v[rows] for n, v in case.columns.items()}

    @cache
    def restored(taken: frozenset[int]) -> Effect:
        replaced = {n: v for i in sorted(taken) for n, v in verdict.causes[i].restored.items()}
        return effect(score, arrow_of(columns), arrow_of(replaced), loss)

    good = _good(case, verdict, score, losses, counted=counted)

    @cache
    def done(taken: frozenset[int]) -> Effect:
        broken = {n: v for i in sorted(taken) for n, v in reproduced(case, verdict, verdict.causes[i]).items()}
        return good(broken)

    players = [i for i, cause in enumerate(verdict.causes) if cause.restored]
    lost = frozenset(i for i in players if irreversible(verdict.causes[i]))
    told = found.loss_rose or found.score_moved
    usual_loss = found.usual.loss if found.loss_rose else None
    usual_score = found.usual.score if found.score_moved else None

    def taken_away(taken: frozenset[int]) -> float:
        return explained(restored(frozenset()), restored(taken), usual_score, usual_loss) if taken else 0.0

    def made_again(taken: frozenset[int]) -> float:
        if not taken:
            return 0.0
        return made_up(restored(frozenset()), done(taken), done(frozenset()), usual_score, usual_loss)

    def worth(taken: frozenset[int]) -> float:
        return max(taken_away(taken), min(1.0, taken_away(taken - lost) + made_again(taken & lost)))

    shares = shapley(players, worth) if told and len(rows) else {}
    rest = max(0.0, 1.0 - sum(shares.values()))
    made = []
    for i, cause in enumerate(verdict.causes):
        by_labels = found.loss_rose and cause.proposal.kind in ("labels", "concept")
        share = shares.get(i, min(rest, 1.0) if by_labels else 0.0)
        if i in shares and share < NAMED_MIN and not cause.proposal.known:
            continue  # unlike, and not what moved the score or the loss
        alone = frozenset({i})
        before = restored(frozenset()) if len(rows) else found.now
        after = restored(alone) if i in players and len(rows) else None
        again = done(alone) if told and alone <= lost and made_again(alone) > taken_away(alone) else None
        made.append(_suspect(incident, verdict, cause, share, before, after, again))
    return made


def _good(case: Case, verdict: Verdict, score: Scorer, losses: Losses, *, counted: bool) -> Callable[[Columns], Effect]:
    """What is scored of the good rows with some columns in place of their own."""
    rows = verdict.good
    label = case.label[rows]
    known = np.isfinite(label)
    columns = {n: v[rows] for n, v in case.columns.items()}
    loss = (lambda scores: float(losses(label[known], scores[known]).mean())) if counted else None
    return lambda broken: effect(score, arrow_of(columns), arrow_of(broken), loss)


def made_up(
    observed: Effect, broken: Effect, good: Effect, usual_score: float | None, usual_loss: float | None
) -> float:
    """The larger share of the change that good rows show when the same is done to them; `usual` is None of what did
    not change."""
    shares = []
    if usual_loss is not None and None not in (observed.loss, broken.loss, good.loss):
        assert observed.loss is not None and broken.loss is not None and good.loss is not None
        shares.append((broken.loss - good.loss) / max(observed.loss - usual_loss, 1e-12))
    if usual_score is not None and None not in (observed.score, broken.score, good.score):
        assert observed.score is not None and broken.score is not None and good.score is not None
        gap, moved = observed.score - usual_score, broken.score - good.score
        shares.append(1 - abs(gap - moved) / abs(gap) if gap else 0.0)
    return float(np.clip(max(shares, default=0.0), 0.0, 1.0))


def shapley(players: Sequence[int], worth: Callable[[frozenset[int]], float]) -> dict[int, float]:
    """Each player's share of what all are worth together, over all orders in which they may come (Shapley 1953)."""
    count = len(players)
    made = dict.fromkeys(players, 0.0)
    for player in players:
        others = [p for p in players if p != player]
        for size in range(count):
            weight = factorial(size) * factorial(count - size - 1) / factorial(count)
            for chosen in combinations(others, size):
                before = frozenset(chosen)
                made[player] += weight * (worth(before | {player}) - worth(before))
    return {p: float(np.clip(v, 0.0, 1.0)) for p, v in made.items()}


def _suspect(
    incident: Incident,
    verdict: Verdict,
    cause: Believed,
    share: float,
    before: Effect,
    after: Effect | None,
    again: Effect | None,
) -> Suspect:
    """`again` is what the same does to the good rows, where that says more than restoring."""
    proposal = cause.proposal
    proof = {
        "score_before": before.score,
        "score_restored": before.score if after is None else after.score,
        "loss_before": before.loss,
        "loss_restored": None if after is None else after.loss,
        "unlike": cause.share,
        "rows": float(len(verdict.rows)),
    }
    if again is not None:
        proof |= {"score_reproduced": again.score, "loss_reproduced": again.loss}
    since = incident.began(verdict.onset).isoformat()
    return Suspect(proposal.name, proposal.kind, proposal.reason, share, since, proposal.columns, proof, proposal.next)


def arrow_of(columns: Columns) -> dict[str, pa.ChunkedArray]:
    return {n: pa.chunked_array([_array(v)]) for n, v in columns.items()}


def _array(values: Values) -> pa.Array:
    if numeric(values):
        return pa.array(np.asarray(values, float), pa.float64(), from_pandas=True)
    return pa.array(values.tolist(), pa.string())


def unexplained(incident: Incident, verdict: Verdict, found: Change, *, exchanged: bool) -> str:
    """In words, where no cause is named: what moved, what was seen and takes too little of it away, and what was ruled
    out. "" where no loss rose and nothing was seen. `exchanged`: whether a version was replaced shortly before."""
    if not (found.loss_rose or verdict.left or verdict.causes):
        return ""
    what = []
    if found.loss_rose and found.now.loss is not None and found.usual.loss is not None:
        what.append(f"the loss is {found.now.loss:.3f} where {found.usual.loss:.3f} is usual")
    if found.score_moved:
        what.append(scores_moved(found))
    seen = {cause.proposal.kind for cause in verdict.causes}
    for proposal in (cause.proposal for cause in verdict.causes):
        what.append(f"seen, but its share of that is under {NAMED_MIN:.0%}: {proposal.name}: {proposal.reason}")
    columns = {c for cause in verdict.causes for c in cause.proposal.columns}
    if left := [n for n, _ in verdict.left if n not in columns]:
        what.append(f"{', '.join(left[:3])} no longer fit the other columns as before")
    out = _ruled_out(seen, feeds=bool(incident.case.tables), exchanged=exchanged)
    return f"unexplained: {'; '.join(what)}." + (f" Ruled out: {out}." if out else "")


def scores_moved(found: Change) -> str:
    """ "" where the mean score did not move beyond chance."""
    if not found.score_moved or found.now.score is None or found.usual.score is None:
        return ""
    return f"the mean score is {found.now.score:.3f} where {found.usual.score:.3f} is usual"


def _ruled_out(seen: Collection[str], *, feeds: bool, exchanged: bool) -> str:
    """What was tried and not believed."""
    late = [word for word, kinds in OF_FEEDS.items() if not kinds & set(seen)] if feeds else []
    wrong = [word for word, kinds in OF_COLUMNS.items() if not kinds & set(seen)]
    made = [f"no feed is {_either(late)}"] if late else []
    made += [f"no column is {_either(wrong)}"] if wrong else []
    return ", ".join([*made, *([] if exchanged else ["no version changed"])])


def _either(words: Sequence[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
