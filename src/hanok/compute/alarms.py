"""When drift becomes an alarm: significance over all columns, an effect above the noise, and two of three windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hanok.compute.drift import Drift
from hanok.compute.two_sample import benjamini_hochberg

SIGNIFICANCE = 0.01
EFFECT = 0.05
WINDOWS, OF = 2, 3


@dataclass(frozen=True, slots=True)
class Policy:
    """A column is suspect in a window when its adjusted p-value is below `significance` and its effect above `effect`
    (PSI beyond the noise floor and beyond what was usual); it alarms when suspect in `windows` of the last `of`."""

    significance: float = SIGNIFICANCE
    effect: float = EFFECT
    windows: int = WINDOWS
    of: int = OF


@dataclass(frozen=True, slots=True)
class Verdict:
    """One column of one window."""

    drift: Drift
    p_adjusted: float
    suspect: bool
    alarm: bool


def judge(
    found: Sequence[Drift], before: Sequence[Mapping[str, bool]] = (), policy: Policy = Policy()
) -> list[Verdict]:
    """All columns of a window. `before` says for each earlier window, oldest first, which columns were suspect."""
    earlier = list(before)[-(policy.of - 1) :] if policy.of > 1 else []
    verdicts = []
    for drift, p in zip(found, benjamini_hochberg([d.p_value for d in found]), strict=True):
        suspect = p < policy.significance and drift.effect > policy.effect
        seen = sum(window.get(drift.column, False) for window in earlier)
        verdicts.append(Verdict(drift, p, suspect, suspect and seen + 1 >= policy.windows))
    return verdicts
