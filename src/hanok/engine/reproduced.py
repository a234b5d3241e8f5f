"""The same done to good rows: what a cause does to scores and loss where nothing gives the lost values back.

A column that is empty, constant or mixed up cannot be restored: values drawn in its place belong to other rows. But
good rows can be made as bad as the suspect ones, and what that does to them is what the cause does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hanok.compute.hypotheses import Believed, Case, Verdict
from hanok.compute.hypotheses.case import LABEL, Columns, Numbers, Values, numeric

DRAWN = ("join",)
"""Kinds of causes under which values belong to other rows; under all others they keep their order."""


def irreversible(cause: Believed) -> bool:
    """Whether nothing tells what its columns would be without it."""
    proposal = cause.proposal
    apart = proposal.apart or proposal.only is not None
    lost = {*proposal.gone, *(proposal.columns if apart else ())} - {LABEL}
    return bool(lost) and proposal.weights is None and bool(cause.restored)


def reproduced(case: Case, verdict: Verdict, cause: Believed, *, seed: int = 11) -> Columns:
    """The columns of the good rows of a verdict as this cause makes them."""
    rng = np.random.default_rng(seed)
    hit, only = verdict.rows, cause.proposal.only
    if only is not None and len(only) == len(hit):
        hit = hit[~only]
    if not len(hit) or not len(verdict.good):
        return {}
    share = len(hit) / max(1, len(verdict.rows))
    chosen = rng.random(len(verdict.good)) < share
    drawn = rng.integers(0, len(hit), len(verdict.good))
    made: dict[str, Values] = {}
    for name in cause.restored:
        now, good = case.columns[name][hit], case.columns[name][verdict.good]
        one_for_another = cause.proposal.kind in DRAWN or only is not None or not numeric(good)
        broken = now[drawn] if one_for_another else _in_order(np.asarray(now, float), np.asarray(good, float), rng)
        made[name] = np.where(chosen, broken, good)
    return made


def _in_order(now: Numbers, good: Numbers, rng: np.random.Generator) -> Numbers:
    """Good values as the suspect ones lie: the largest becomes the largest, and as many are null."""
    known = np.sort(now[np.isfinite(now)])
    made = np.full(len(good), np.nan)
    if len(known):
        place = _ranks(good, rng) * (len(known) - 1)
        made = known[np.round(place).astype(int)]
    nulls = 1 - len(known) / len(now)
    return np.where(rng.random(len(good)) < nulls, np.nan, made)


def _ranks(values: Numbers, rng: np.random.Generator) -> NDArray[np.float64]:
    """Of each value among all, from 0 to 1; nulls stand anywhere."""
    spread = np.where(np.isfinite(values), values, rng.permutation(np.resize(_some(values), len(values))))
    order = np.empty(len(values))
    order[np.argsort(spread, kind="stable")] = np.arange(len(values))
    return order / max(1, len(values) - 1)


def _some(values: Numbers) -> Numbers:
    known = values[np.isfinite(values)]
    return known if len(known) else np.zeros(1)
