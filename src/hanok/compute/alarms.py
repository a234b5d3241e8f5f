"""When a shift becomes an alarm: significance over all columns, an effect above the noise, and two of three windows
that share no row. What cannot be right alarms at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hanok.compute.drift import Drift
from hanok.compute.shift import Evidence, Shift
from hanok.compute.two_sample import benjamini_hochberg

SIGNIFICANCE = 0.01
EFFECT = 0.05
WINDOWS, OF = 2, 3
SUDDEN = 3.0  # times what is usual, or what matters, whichever is more
CERTAIN = 1e-6


@dataclass(frozen=True, slots=True)
class Window:
    """A span that was judged, and the columns that were suspect in it."""

    start: str
    end: str
    suspects: frozenset[str]


@dataclass(frozen=True, slots=True)
class AlarmState:
    """What is remembered of earlier windows, oldest first. They may overlap; the policy counts those that do not."""

    windows: tuple[Window, ...] = ()

    def disjoint(self, start: str, count: int) -> list[Window]:
        """Up to `count` earlier windows of which none shares a row with another or with what begins at `start`: always
        the newest that fits."""
        chosen: list[Window] = []
        for window in sorted(self.windows, key=lambda w: w.end, reverse=True):
            if len(chosen) < count and window.end <= start:
                chosen.append(window)
                start = window.start
        return chosen


@dataclass(frozen=True, slots=True)
class Verdict:
    """One column of one window. `suspect`: it moved in this window. `alarm`: it moved in enough windows, or is
    `broken`, or `sudden`: so far out that no second window is needed. `seen` counts the earlier windows, of those that
    count, in which it was suspect."""

    drift: Drift
    p_adjusted: float
    suspect: bool
    alarm: bool
    broken: bool = False
    sudden: bool = False
    seen: int = 0


@dataclass(frozen=True, slots=True)
class AlarmPolicy:
    """A column is suspect in a window when its adjusted p-value is below `significance` and its effect above `effect`
    (PSI beyond the noise floor and beyond what was usual); it alarms when suspect in `windows` of the last `of`.

    With `sudden` it also alarms in the first window where its PSI is above `sudden` times what is usual there (at least
    `effect`) and its adjusted p-value below `certain`."""

    significance: float = SIGNIFICANCE
    effect: float = EFFECT
    windows: int = WINDOWS
    of: int = OF
    sudden: float | None = None
    certain: float = CERTAIN

    def update(self, state: AlarmState, evidence: Evidence) -> tuple[AlarmState, tuple[Verdict, ...]]:
        """Judge a window by itself and with the earlier ones; returns what to remember and a verdict for each column. A
        window that is not complete makes nothing suspect; what is broken alarms all the same."""
        earlier = state.disjoint(evidence.start, self.of - 1)
        verdicts = tuple(self._verdict(s, evidence, earlier) for s in evidence.shifts)
        window = Window(evidence.start, evidence.end, frozenset(v.drift.column for v in verdicts if v.suspect))
        kept = [w for w in state.windows if w.end != window.end]
        return replace(state, windows=(*kept, window)), verdicts

    def _verdict(self, shift: Shift, evidence: Evidence, earlier: Sequence[Window]) -> Verdict:
        moved = shift.p_adjusted < self.significance and shift.effect > self.effect
        suspect, broken = evidence.complete and moved, shift.column in evidence.broken
        seen = sum(shift.column in window.suspects for window in earlier)
        lasting = suspect and seen + 1 >= self.windows
        sudden = suspect and self._sudden(shift)
        return Verdict(shift.drift, shift.p_adjusted, suspect, lasting or broken or sudden, broken, sudden, seen)

    def _sudden(self, shift: Shift) -> bool:
        usual = max(shift.drift.psi_noise_floor, shift.drift.usual_psi, self.effect)
        return self.sudden is not None and shift.drift.psi > self.sudden * usual and shift.p_adjusted < self.certain


Policy = AlarmPolicy
WEEKS = AlarmPolicy(effect=0.1)
DAYS = AlarmPolicy(effect=0.1, sudden=SUDDEN)


def judge(
    found: Sequence[Drift], before: Sequence[Mapping[str, bool]] = (), policy: AlarmPolicy = AlarmPolicy()
) -> list[Verdict]:
    """All columns of a window whose distances are known already. `before` says for each earlier window, oldest first,
    which columns were suspect."""
    shifts = [Shift(d, p) for d, p in zip(found, benjamini_hochberg([d.p_value for d in found]), strict=True)]
    state = AlarmState(
        tuple(
            Window(f"{i:06d}", f"{i + 1:06d}", frozenset(n for n, suspect in window.items() if suspect))
            for i, window in enumerate(before)
        )
    )
    start = f"{len(state.windows):06d}"
    evidence = Evidence(start, f"{len(state.windows) + 1:06d}", 0, tuple(shifts))
    return list(policy.update(state, evidence)[1])
