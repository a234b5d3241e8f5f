"""Which causes hold, and in which order: each is undone, what is left is measured, the one that leaves least is taken,
and the rest is asked again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from hanok.compute.hypotheses import absent, aside, exchanged, fixed, joined, labelled, scaled, traffic
from hanok.compute.hypotheses.case import LABEL, Case, Columns, Hypothesis, Proposal, Values
from hanok.compute.hypotheses.measure import Measure
from hanok.compute.hypotheses.streams import coded, likelihood_ratio
from hanok.compute.tails import chi_square_tail

HYPOTHESES: tuple[Hypothesis, ...] = (
    absent.arrivals,
    absent.nulls,
    fixed.fixed,
    scaled.scaled,
    exchanged.swapped,
    exchanged.recoded,
    joined.misjoined,
    traffic.mixture,
    traffic.volume,
)
WORTH = {
    "missing": 1.3, "late": 1.3, "time": 1.3, "partial": 1.2, "schema": 1.3, "label delay": 1.2, "null": 1.1,
    "constant": 1.05, "clip": 1.04, "fill": 1.03, "swap": 1.05, "join": 0.95, "mix": 0.9, "moved": 0.6,
    "outliers": 0.85,
}  # fmt: skip
"""How far a kind stands before others that leave as little: what records tell before what values tell, what is
precise before what fits anything."""
CAUSES_MAX = 4
GAIN_MIN = 15.0
SHARE_MIN = 0.12
ALONE_MIN = 400
APART_MIN, P_APART = 30, 1e-5


@dataclass(frozen=True, slots=True)
class Believed:
    """A cause that holds: the share of all that is unlike which goes with it, and the columns of the suspect rows as
    they would be without it (drawn from good rows where nothing tells them)."""

    proposal: Proposal
    share: float
    restored: Columns = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`onset`: periods that belong to the incident, `rows` the rows of the case that are suspect and `good` those they
    are compared with. `unlike` is all that is unlike, `left` what no cause explains, by column. Nothing was `compared`
    where good rows are too few."""

    onset: int
    rows: NDArray[np.int64]
    good: NDArray[np.int64]
    causes: tuple[Believed, ...] = ()
    unlike: float = 0.0
    left: tuple[tuple[str, float], ...] = ()
    compared: bool = True


def judged(case: Case) -> Verdict:
    """The causes that hold, the likeliest first. Where something began before the periods asked about and these have
    rows enough, they are also judged alone, so that what happened in them is not thinned by what came before; where
    they are unlike those since it began, it is over, and they are judged alone in any case."""
    found = _judged(Measure(case))
    if found.onset <= case.asked:
        return found
    over = _is_over(case, found)
    if not over and int((case.period < case.asked).sum()) < ALONE_MIN:
        return found
    alone, rows = case.alone(found.onset)
    now = _judged(Measure(alone, onset=case.asked))
    if over and now.compared:
        return replace(now, rows=rows[now.rows], good=rows[now.good])
    if not now.causes or (found.causes and found.causes[0].proposal.name == now.causes[0].proposal.name):
        return found
    return replace(now, rows=rows[now.rows], good=rows[now.good])


def _is_over(case: Case, found: Verdict) -> bool:
    """Whether the periods asked about are unlike the earlier ones of an incident, in what its causes are about (all
    columns where it has none), in scores or in losses."""
    named = {c for cause in found.causes for c in cause.proposal.columns} or set(case.columns)
    streams = [case.columns[c] for c in sorted(named) if c in case.columns and c not in case.rolling]
    now, before = case.period < case.asked, (case.period >= case.asked) & (case.period < found.onset)
    for values in (*streams, case.score, case.loss):
        known = np.isfinite(values) if values is case.loss else np.ones(len(values), bool)
        a, b = values[now & known], values[before & known]
        if len(a) < APART_MIN or len(b) < APART_MIN:
            continue
        coding = coded(np.concatenate([a, b]))
        statistic, freedom = likelihood_ratio(coding.counts(a), coding.counts(b))
        if chi_square_tail(statistic, freedom) < P_APART / (len(streams) + 2):
            return True
    return False


def _judged(measured: Measure) -> Verdict:
    if not measured.comparable:
        return Verdict(measured.onset, measured.rows, measured.good_rows, compared=False)
    proposals = [p for h in HYPOTHESES for p in h(measured)]
    proposals += aside.kept_out(measured, lambda c: [b.proposal for b in _judged(Measure(c)).causes])
    proposals += labelled.meaning(measured, measured.good_rows, measured.rows)
    return _peeled(measured, [*proposals, *_moved(measured)])


def _moved(measured: Measure) -> Iterator[Proposal]:
    """What moved and has no better name."""
    for name in measured.case.columns:
        if measured.moved(name):
            table = measured.case.table.get(name, name)
            size = measured.distance(name, measured.suspect[name]).effect
            yield Proposal(
                "moved", f"input {name}", f"its values lie otherwise than before (by {size:.2f} nats a row), in a way "
                "that no single change undoes", (name,), gone=frozenset({name}),
                next=f"look at what feeds {table!r}, and at the rows that are new",
            )  # fmt: skip


def _peeled(measured: Measure, proposals: Sequence[Proposal]) -> Verdict:
    undone: dict[str, Values] = {}
    gone: set[str] = set()
    whole = left = measured.left({})
    taken: list[Believed] = []
    open_ = list(proposals)
    while open_ and len(taken) < CAUSES_MAX:
        rated = [(_gain(measured, p, left, undone, gone, first=not taken), p) for p in open_]
        gain, best = max(rated, key=lambda pair: pair[0] * WORTH.get(pair[1].kind, 1.0) * pair[1].worth)
        if gain < max(GAIN_MIN, SHARE_MIN * left if not best.known else 0.0):
            break
        undone |= best.undone
        gone |= best.gone
        if best.weights is not None or best.apart or best.only is not None:
            gone |= set(best.columns)
        after = measured.left(undone, gone)
        share = max(0.0, (left - after) / whole) if whole > 0 else 1.0
        taken.append(Believed(best, share, _restored(measured, best)))
        left = after
        open_ = [p for p in open_ if p is not best and not _same(p, best)]
    rest = measured.parts({**measured.suspect, **undone}, gone)
    still = tuple((n, v) for n, v in rest.items() if v > 0)
    return Verdict(measured.onset, measured.rows, measured.good_rows, tuple(taken), whole, still)


def _restored(measured: Measure, proposal: Proposal) -> dict[str, Values]:
    """The inverse where there is one; else rows drawn from good ones, whole, so that columns stay together."""
    made = dict(proposal.undone)
    drawn = np.random.default_rng(7).integers(0, max(1, len(measured.good_rows)), len(measured.rows))
    lost = (
        {*proposal.gone, *(proposal.columns if proposal.apart or proposal.only is not None else ())}
        - set(made)
        - {LABEL}
    )
    for name in measured.case.columns:
        if name in lost and proposal.columns:
            made[name] = measured.good[name][drawn]
    return made


def _gain(
    measured: Measure, proposal: Proposal, left: float, undone: dict[str, Values], gone: set[str], *, first: bool
) -> float:
    """What goes away with a proposal; what records tell counts at least its strength. A changed meaning of labels is
    a first cause only where inputs are alike; beside another it has to explain something itself."""
    if proposal.columns and set(proposal.columns) <= gone:
        return 0.0
    gain = left - measured.after(proposal, undone, gone)
    if LABEL in proposal.gone:
        inputs = sum(measured.parts({**measured.suspect, **undone}, {*gone, LABEL, *proposal.gone}).values())
        alike = first and inputs < max(GAIN_MIN, 0.3 * left)
        return max(gain, proposal.strength) if alike else gain
    return max(gain, proposal.strength) if proposal.known else gain


def _same(a: Proposal, b: Proposal) -> bool:
    """Whether one is another name for the other: the same columns, told otherwise."""
    return bool(a.columns) and set(a.columns) <= set(b.columns) and not a.known
