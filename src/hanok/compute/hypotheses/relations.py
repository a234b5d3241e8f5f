"""What each column says about the others, learned on good rows: a ridge regression of every column on the bins of the
rest (Hoerl and Kennard 1970). Rows that were joined wrongly look alike column by column, and break what ties them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from hanok.compute.hypotheses.case import Columns, Numbers, Values
from hanok.compute.hypotheses.streams import Coding

RIDGE = 4.0
TIED_MIN = 0.08  # of a column's variance that the others explain
BROKEN_Z = 6.0
BROKEN_RATIO = 1.2
LOG_RATIO_MAX = 2.0
LAST = 4  # good periods that the first suspect ones are held against
NEAR = 0.03  # of the variance: what ties closer counts as this close
TRIMMED = 0.03  # of the suspect rows, the worst: single odd values are no broken tie
GRID = np.linspace(0.005, 0.995, 199)


@dataclass(frozen=True)
class _Block:
    coding: Coding
    quantiles: Numbers
    scores: Numbers
    place: slice
    kept: dict[int, tuple[Values, Numbers]] = field(default_factory=dict)

    def design(self, values: Values) -> Numbers:
        kept = self.kept.get(id(values))
        if kept is None or kept[0] is not values:
            kept = self.kept[id(values)] = values, self._made(values)
        return kept[1]

    def _made(self, values: Values) -> Numbers:
        codes = self.coding.codes(values)
        made = np.zeros((len(values), self.place.stop - self.place.start))
        made[np.arange(len(values)), codes] = 1.0
        if self.coding.numeric:
            made[:, -1] = self.normal(values)
        return made

    def normal(self, values: Values) -> Numbers:
        """The values as normal scores of the good ones; null is 0."""
        floats = np.asarray(values, float)
        return np.where(np.isnan(floats), 0.0, np.interp(floats, self.quantiles, self.scores))

    def target(self, values: Values) -> tuple[Numbers, NDArray[np.bool_]]:
        made = self.design(values)
        known = self.coding.codes(values) < self.coding.bins - 1
        return (made[:, -1:] if self.coding.numeric else made), known


class Relations:
    """Two regressions for each question, one on every other period, so that errors on good rows are honest."""

    def __init__(
        self, good: Columns, period: NDArray[np.int64], codings: Mapping[str, Coding], targets: Columns
    ) -> None:
        """`targets` are foretold by the columns and foretell none (labels)."""
        self._blocks: dict[str, _Block] = {}
        width = 0
        for name, values in {**good, **targets}.items():
            coding = codings[name]
            wide = coding.bins + int(coding.numeric)
            self._blocks[name] = _Block(coding, *_scores(values, coding), slice(width, width + wide))
            width += wide
        self._inputs = list(good)
        self._period = period
        self._good = {**good, **targets}
        self._ones = width
        design = self._designed(self._good, list(self._blocks), width)
        self._half = period % 2 == 0
        self._old = period >= np.median(np.unique(period))
        self._grams = [design[own].T @ design[own] for own in (self._half, ~self._half, self._old)]
        self._design = design
        self._last: tuple[Columns, Numbers] | None = None
        self._solved: dict[tuple[str, frozenset[str]], tuple[Numbers, Numbers, Numbers]] = {}
        self._usual: dict[tuple[str, frozenset[str]], tuple[float, float, float, float, float]] = {}

    def _designed(self, columns: Columns, names: Collection[str], width: int) -> Numbers:
        """A block for each column, in its place, and ones at the end."""
        made = np.zeros((len(next(iter(columns.values()))), width + 1))
        made[:, width] = 1.0
        for name in names:
            made[:, self._blocks[name].place] = self._blocks[name].design(columns[name])
        return made

    def _aim(self, target: str) -> NDArray[np.int64]:
        """Where the design holds what is to be foretold: normal scores of numbers, bins of categories."""
        block = self._blocks[target]
        first = block.place.stop - 1 if block.coding.numeric else block.place.start
        return np.arange(first, block.place.stop)

    def _weights(self, target: str, given: frozenset[str]) -> tuple[Numbers, Numbers, Numbers]:
        """Learned on every other period, on those between, and on the older half."""
        key = target, given
        if key not in self._solved:
            places, aim = self._places(given), self._aim(target)
            ridge = RIDGE * np.eye(len(places))
            made = [np.linalg.solve(g[np.ix_(places, places)] + ridge, g[np.ix_(places, aim)]) for g in self._grams]
            self._solved[key] = made[0], made[1], made[2]
        return self._solved[key]

    def _places(self, given: frozenset[str]) -> NDArray[np.int64]:
        blocks = [
            np.arange(self._blocks[n].place.start, self._blocks[n].place.stop) for n in self._inputs if n in given
        ]
        return np.concatenate([*blocks, [self._ones]])

    def _as_usual(self, target: str, given: frozenset[str]) -> tuple[float, float, float, float, float]:
        """Of good rows: the share explained; the mean error, as far as it grows from the older half to the newer; how
        it differs from period to period; rows a period; and the error of the last of them."""
        key = target, given
        if key not in self._usual:
            y, known = self._blocks[target].target(self._good[target])
            x = self._design[:, self._places(given)]
            first, second, old = self._weights(target, given)
            off = np.where(self._half[:, None], y - x @ second, y - x @ first)
            errors = (off**2).sum(axis=1)
            spread = float(((y[known] - y[known].mean(axis=0)) ** 2).sum(axis=1).mean()) if known.any() else 0.0
            by_period = [errors[known & (self._period == p)] for p in np.unique(self._period)]
            means = np.array([e.mean() for e in by_period if len(e) > 4])
            mean = float(errors[known].mean()) if known.any() else 0.0
            varies = float(means.std(ddof=1)) if len(means) > 2 else mean
            tied = 1 - mean / spread if spread > 0 else 0.0
            new = known & ~self._old
            loosens = 1.0
            if new.sum() >= 20 and errors[new].mean() > 0:  # a world that moves on: what tied the older rows ties less
                loosens = max(1.0, float(((y - x @ old) ** 2).sum(axis=1)[new].mean() / errors[new].mean()))
            mean = max(mean, NEAR * spread) * loosens
            late = known & (self._period < self._period.min() + LAST)
            last = max(mean, float(errors[late].mean()) if late.any() else 0.0)
            self._usual[key] = tied, mean, varies, float(known.sum() / max(1, len(means))), last
        return self._usual[key]

    def broken(
        self, suspect: Columns, target: str, given: Collection[str], first: NDArray[np.bool_] | None = None
    ) -> float:
        """How much worse the given columns foretell the target in suspect rows than in good ones, as a likelihood
        ratio; 0 where they never did, or still do, or where the `first` suspect rows are foretold as the last good
        ones were: what loosens slowly is not broken."""
        wanted = frozenset(given) - {target}
        if not wanted:
            return 0.0
        tied, mean, varies, rows, last = self._as_usual(target, wanted)
        if tied < TIED_MIN or mean <= 0:
            return 0.0
        y, known = self._blocks[target].target(suspect[target])
        if known.sum() < 20:
            return 0.0
        x = self._suspect_design(suspect)[:, self._places(wanted)]
        errors = np.mean([((y - x @ w) ** 2).sum(axis=1)[known] for w in self._weights(target, wanted)[:2]], axis=0)
        if first is not None and len(first) == len(known) and (first & known).sum() >= 20:
            early = np.sort(errors[first[known]])
            if early[: len(early) - max(1, int(TRIMMED * len(early)))].mean() < BROKEN_RATIO * last:
                return 0.0
        now = float(np.sort(errors)[: len(errors) - max(1, int(TRIMMED * len(errors)))].mean())
        error = (varies**2 * max(1.0, rows / known.sum()) + varies**2 / 6) ** 0.5 + 0.02 * mean
        if now < BROKEN_RATIO * mean or now - mean < BROKEN_Z * error:
            return 0.0
        return float(known.sum() * min(np.log(now / mean), LOG_RATIO_MAX))

    def _suspect_design(self, suspect: Columns) -> Numbers:
        if self._last is None or self._last[0] is not suspect:
            self._last = suspect, self._designed(suspect, self._inputs, self._ones)
        return self._last[1]

    def expected(self, suspect: Columns, target: str) -> tuple[Numbers, float] | None:
        """A numeric column of suspect rows as the others foretell it, in its own unit; and the share that they
        explain in good rows."""
        block = self._blocks[target]
        given = frozenset(self._inputs) - {target}
        if not block.coding.numeric or not given:
            return None
        tied = self._as_usual(target, given)[0]
        x = self._suspect_design(suspect)[:, self._places(given)]
        scores = np.mean([x @ w for w in self._weights(target, given)[:2]], axis=0)[:, 0]
        return np.interp(scores, block.scores, block.quantiles), tied


def _scores(values: Values, coding: Coding) -> tuple[Numbers, Numbers]:
    if not coding.numeric:
        return np.zeros(0), np.zeros(0)
    floats = np.asarray(values, float)
    floats = floats[np.isfinite(floats)]
    if not len(floats):
        return np.array([0.0, 1.0]), np.array([0.0, 0.0])
    quantiles = np.quantile(floats, GRID)
    levels, places = np.unique(quantiles, return_inverse=True)
    middle = np.array([GRID[places == i].mean() for i in range(len(levels))])
    scores = np.array([NormalDist().inv_cdf(p) for p in middle])
    if len(levels) == 1:
        return np.array([levels[0] - 1, levels[0], levels[0] + 1]), np.array([-2.6, 0.0, 2.6])
    reach = max(float(np.ptp(levels)), 1e-9)
    far = np.concatenate([[levels[0] - reach], levels, [levels[-1] + reach]])
    return far, np.concatenate([[scores[0] - 2.5], scores, [scores[-1] + 2.5]])
