"""Other rows are asked about: a mixture that changed, more or fewer of them, the same ones twice."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hanok.compute.hypotheses.absent import NULL_JUMP
from hanok.compute.hypotheses.case import Measured, Proposal, numeric
from hanok.compute.hypotheses.streams import coded, earlier

FEWER, MORE = 0.65, 1.35
TWICE = 0.15
SURE = 25.0
SUPPORT = 0.01
STEEPEST = 20.0


def mixture(measured: Measured) -> Iterator[Proposal]:
    """One column's shares weighted back make the others alike: the world, not the columns, is another."""
    rolling = measured.case.rolling
    moved = [n for n in measured.case.columns if measured.moved(n)]
    own = [n for n in moved if n not in rolling]
    for name in own:
        coding = coded(measured.good[name])
        good, now = coding.counts(measured.good[name]), coding.counts(measured.suspect[name])
        share_good, share_now = good / good.sum(), now / now.sum()
        if share_now[-1] - share_good[-1] > NULL_JUMP:  # the last bin: values that are not there are no other traffic
            continue
        covered = float(share_good[share_now > SUPPORT * share_good].sum())
        if covered < 0.8:
            continue
        ratio = np.where(share_now > 0, share_good / np.maximum(share_now, 1e-9), 0)
        weights = np.minimum(ratio, STEEPEST)[coding.codes(measured.suspect[name])]
        if not weights.sum():
            continue
        place = int(np.argmax(np.abs(share_now - share_good)))
        what = _bin(measured, name, place)
        reason = f"rows with {what} are {share_now[place]:.0%} of what is asked, {share_good[place]:.0%} before"
        yield Proposal(
            "mix", f"traffic: {name}", f"{reason}; what ties the columns together holds",
            (name, *(n for n in own if n != name)), weights=weights, gone=frozenset(rolling),
            next="see the slices on the model's page; retrain if it stays so",
        )  # fmt: skip


def _bin(measured: Measured, name: str, place: int) -> str:
    coding = coded(measured.good[name])
    if not coding.numeric:
        return f"{name} = {coding.names[place]!r}" if place < len(coding.names) else f"other values of {name}"
    if place < len(coding.points):
        return f"{name} = {coding.points[place]:g}"
    edge = place - len(coding.points)
    low = f"{coding.edges[edge - 1]:.3g}" if 0 < edge <= len(coding.edges) else "less"
    high = f"{coding.edges[edge]:.3g}" if edge < len(coding.edges) else "more"
    return f"{name} from {low} to {high}"


def volume(measured: Measured) -> Iterator[Proposal]:
    case, first = measured.case, 0 if measured.case.complete else 1
    came = np.array(case.answered, float)
    before, begins = earlier(came, case.asked, measured.onset)
    if len(before) < 5 or not came[first]:
        return
    other = (came < FEWER * before.min()) | (came > MORE * before.max())
    onset = first
    while onset < min(begins, len(came)) and other[onset]:
        onset += 1
    if onset == first:
        return
    now = came[first:onset]
    rate, fewest, most = float(now.mean()), float(before.min()), float(before.max())
    rolling = frozenset(case.rolling)
    if rate > MORE * most:
        old = measured.good_period >= onset
        twice = _twice(measured, measured.suspect)
        usual = _twice(measured, {n: v[old] for n, v in measured.good.items()})
        again = twice - usual > TWICE
        kind = "duplicates" if again else "volume"
        said = f"; {twice:.0%} of the rows stand there again with the same values ({usual:.0%} before)" if again else ""
        yield Proposal(
            kind, f"traffic of {case.spine}", f"{rate:.0f} rows a day, at most {most:.0f} before{said}", (),
            gone=rolling, known=True, strength=SURE, next=f"look at who sends {case.spine!r}",
        )  # fmt: skip
    elif rate < FEWER * fewest:
        yield Proposal(
            "volume", f"traffic of {case.spine}", f"{rate:.0f} rows a day, at least {fewest:.0f} before", (),
            gone=rolling, known=True, strength=SURE, next=f"look at who sends {case.spine!r}",
        )  # fmt: skip


def _twice(measured: Measured, rows: object) -> float:
    assert isinstance(rows, dict)
    names = [n for n in measured.case.columns if n not in measured.case.rolling]
    cells = [np.where(np.isnan(rows[n]), None, rows[n]) if numeric(rows[n]) else rows[n] for n in names]
    told = [tuple("" if v is None else repr(v) for v in line) for line in zip(*cells, strict=True)]
    return 1 - len(set(told)) / len(told) if told else 0.0
