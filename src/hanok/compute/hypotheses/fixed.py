"""Values that stand still: constant or frozen, cut off at an end, filled in for some rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hanok.compute.hypotheses.case import Measured, Proposal, Values, numeric, shown

JUMP = 0.2
ALL = 0.95
ALIKE, GONE = 0.3, 0.2
MANY = 0.03
KNOWN_BEFORE = 0.82  # a value that was there before may as well be asked about more often: a mixture stands first


def fixed(measured: Measured) -> Iterator[Proposal]:
    for name in measured.case.columns:
        values = measured.suspect[name]
        if name in measured.case.rolling or not measured.moved(name):
            continue
        found = _heaviest(values, measured.good[name])
        if found is None or measured.stands(name):
            continue
        value, now, before = found
        told = shown(value) if isinstance(value, float) else repr(value)
        if now >= ALL:
            reason = f"{told} in {now:.0%} of the rows ({before:.0%} before): constant or frozen"
            kind = "constant"
        elif numeric(values) and _cut(values, measured.good[name], float(value), now):
            kind, reason = "clip", f"cut off at {told}: {now:.0%} of the rows stand there ({before:.0%} before)"
        elif _carried(values, measured.good[name], now):
            continue
        else:
            kind, reason = "fill", f"{told} in {now:.0%} of the rows ({before:.0%} before)"
        yield Proposal(
            kind, f"input {name}", reason, (name,), gone=frozenset({name}),
            worth=KNOWN_BEFORE if kind == "fill" and before > MANY else 1.0,
            next=f"look at how {name} is filled in {measured.case.table.get(name, 'its source')!r}",
        )  # fmt: skip


def _heaviest(values: Values, good: Values) -> tuple[float | str, float, float] | None:
    """The value whose share grew most: itself, its share now and before."""
    present, before = _known(values), _known(good)
    if len(present) < 20 or not len(before):
        return None
    names, counts = np.unique(present, return_counts=True)
    shares = counts / len(present)
    usual = np.array([float((before == n).mean()) for n in names])
    place = int(np.argmax(shares - usual))
    grown = shares[place] >= 2 * usual[place] or shares[place] >= ALL
    if shares[place] - usual[place] < JUMP or not grown:
        return None
    value = names[place]
    if not numeric(values) and ((usual == 0) & (shares > MANY)).sum() > 1:
        return None  # several values are new: it is written otherwise
    return (float(value) if numeric(values) else str(value)), float(shares[place]), float(usual[place])


def _carried(values: Values, good: Values, share: float) -> bool:
    """Whether a value as common before is all but gone: then it was carried over into the new one, not filled in."""
    before, present = _known(good), _known(values)
    names, counts = np.unique(before, return_counts=True)
    common = names[np.abs(counts / len(before) - share) < ALIKE * share]
    return any(float((present == n).mean()) < GONE * share for n in common)


def _known(values: Values) -> Values:
    if numeric(values):
        floats = np.asarray(values, float)
        return floats[np.isfinite(floats)]
    return np.array([v for v in values if v is not None], object).astype(str)


def _cut(values: Values, good: Values, at: float, share: float) -> bool:
    """Whether nothing lies beyond, where as many rows did before."""
    present, before = np.asarray(_known(values), float), np.asarray(_known(good), float)
    above, below = float((before >= at).mean()), float((before <= at).mean())
    upper = present.max() <= at and abs(above - share) < 0.5 * share
    lower = present.min() >= at and abs(below - share) < 0.5 * share
    return bool(upper or lower)
