"""Suspect rows beside good ones: what moved, what no longer ties together, and how much of it is left when a cause is
undone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hanok.compute.hypotheses.case import LABEL, Case, Columns, Numbers, Proposal, Values, numeric
from hanok.compute.hypotheses.relations import Relations
from hanok.compute.hypotheses.streams import Coding, Distance, Usual, coded, distance, onset, stepped, usual

LONGEST = 14  # periods of one incident
GOOD_MIN = 3  # periods
TIED_WELL = 0.5
LABELS_MIN = 60
SAMPLED = 2500
BEYOND = 0.5  # of the range of good values
EDGE = 2  # periods on either side of the onset


class Measure:
    """Knows the case cut into suspect and good rows at its onset, which is looked for where none is given."""

    def __init__(self, case: Case, *, onset: int = 0, seed: int = 0) -> None:
        self.case = case
        self._texts_labels = case.task != "regression"
        self.onset = onset or self._onset()
        rng = np.random.default_rng(seed)
        self.rows = _some(np.flatnonzero(case.period < self.onset), rng)
        self.good_rows = _some(np.flatnonzero(case.period >= self.onset), rng)
        self.suspect: Columns = {**self._of(self.rows), LABEL: self._labels(self.rows)}
        self.good: Columns = {**self._of(self.good_rows), LABEL: self._labels(self.good_rows)}
        self.good_period = case.period[self.good_rows]
        self.inputs = tuple(case.columns)
        self._codings = {n: coded(v) for n, v in self.good.items()}
        self._usual: dict[str, Usual] = {}
        self._distances: dict[str, tuple[Values, Distance]] = {}
        self._good_counts = {n: c.counts(self.good[n]) for n, c in self._codings.items()}

    @property
    def comparable(self) -> bool:
        """Whether there are good rows enough to compare with."""
        return len(self.good_rows) >= 60 and len(np.unique(self.case.period[self.good_rows])) >= GOOD_MIN

    @property
    def labelled(self) -> bool:
        return int(np.isfinite(self.case.label[self.rows]).sum()) >= LABELS_MIN

    def _of(self, rows: NDArray[np.int64]) -> dict[str, Values]:
        return {n: v[rows] for n, v in self.case.columns.items()}

    def _labels(self, rows: NDArray[np.int64]) -> Values:
        label = self.case.label[rows]
        if not self._texts_labels:
            return label
        return np.array([str(int(v)) if np.isfinite(v) else None for v in label], object)

    def _onset(self) -> int:
        case = self.case
        streams = [
            _by_period(coded(v, far=True), v, case.period) for n, v in case.columns.items() if n not in case.rolling
        ]
        for extra in (case.score, case.loss):
            known = np.isfinite(extra)
            if known.sum() > 60:
                streams.append(
                    _by_period(coded(extra[known]), extra[known], case.period[known], int(case.period.max()))
                )
        return onset(streams, max(LONGEST, case.asked + 3), case.asked)

    # -- how far apart -----------------------------------------------------------------------------------------

    def usual(self, column: str) -> Usual:
        if column not in self._usual:
            period = self.case.period[self.good_rows]
            self._usual[column] = usual(_by_period(self._codings[column], self.good[column], period))
        return self._usual[column]

    def present(self, column: str, values: Values) -> Distance:
        """The distance of what is not null."""
        counts, good = self._codings[column].counts(values), self._good_counts[column]
        return distance(counts[:-1], good[:-1], self.usual(column))

    def distance(self, column: str, values: Values, weights: Numbers | None = None) -> Distance:
        kept = self._distances.get(column)
        if kept is not None and kept[0] is values and weights is None:
            return kept[1]
        counts = self._codings[column].counts(values, weights)
        if weights is not None:  # as many rows as the weights leave
            counts *= weights.sum() / (weights**2).sum()
        found = distance(counts, self._good_counts[column], self.usual(column))
        if found.excess and len(values) == len(self.rows) and weights is None and not self._stepped(column, values):
            found = Distance(0.0, found.effect)
        if weights is None:
            beyond = self._beyond(column, values)
            found = beyond if beyond.excess > found.excess else found
            self._distances[column] = values, found
        return found

    def _beyond(self, column: str, values: Values) -> Distance:
        """How many lie far beyond all good ones: some few are a sign, however little they weigh among the others."""
        good = self.good[column]
        if column == LABEL or not numeric(good) or not np.isfinite(good).any():
            return Distance(0.0, 0.0)
        low, high = float(np.nanmin(good)), float(np.nanmax(good))
        slack = BEYOND * (high - low)
        out = (values < low - slack) | (values > high + slack) if slack else np.zeros(len(values), bool)
        near = np.isfinite(values) & ~out
        return distance(
            np.array([out.sum(), near.sum()], float), np.array([0.0, float(np.isfinite(good).sum())]), Usual(1.0, 0.0)
        )

    @cached_property
    def _first(self) -> NDArray[np.bool_]:
        """The suspect rows of the first periods."""
        return np.asarray(self.case.period[self.rows] >= self.onset - EDGE)

    def _stepped(self, column: str, values: Values) -> bool:
        coding = self._codings[column]
        last = self.good_period < self.onset + 2 * EDGE
        now, before = (
            np.bincount(codes, minlength=coding.bins).astype(float)
            for codes in (coding.codes(values)[self._first], coding.codes(self.good[column])[last])
        )
        return stepped(now, before, self.usual(column))

    def stands(self, column: str) -> bool:
        return self.usual(column).slow

    def moved(self, column: str) -> bool:
        return self.distance(column, self.suspect[column]).excess > 0

    @cached_property
    def relations(self) -> Relations:
        inputs = {n: self.good[n] for n in self.inputs}
        targets = {LABEL: self.good[LABEL]} if self.labelled else {}
        return Relations(inputs, self.case.period[self.good_rows], self._codings, targets)

    def expected(self, column: str) -> Numbers | None:
        found = self.relations.expected(self.suspect, column)
        return found[0] if found is not None and found[1] >= TIED_WELL else None

    # -- what is left when a cause is undone -------------------------------------------------------------------

    def left(
        self,
        undone: Columns,
        gone: Collection[str] = (),
        apart: str = "",
        weights: Numbers | None = None,
    ) -> float:
        """All that is unlike with `undone` columns in place of the suspect ones, without the columns that are `gone`,
        and without what ties the table `apart` to the others."""
        now = {**self.suspect, **undone} if undone else self.suspect
        return sum(self.parts(now, gone, apart, weights).values())

    def parts(
        self, now: Columns, gone: Collection[str] = (), apart: str = "", weights: Numbers | None = None
    ) -> Mapping[str, float]:
        """The same, by column: how far it moved, and how much worse the others foretell it."""
        made: dict[str, float] = {}
        inputs = [n for n in self.inputs if n not in gone]
        for name in self._asked(now, gone):
            beside = apart and self.case.table.get(name) == apart
            moved = self.present(name, now[name]).excess if beside else self._excess(name, now[name], weights)
            given = [n for n in inputs if not apart or self._side(n, apart) == self._side(name, apart)]
            made[name] = moved + self.relations.broken(now, name, given, self._first)
        return made

    def _asked(self, now: Columns, gone: Collection[str]) -> list[str]:
        """The columns that may be unlike: all of them where values are others than the suspect ones; else, with
        columns left out, those that were unlike with them."""
        targets = [*self.inputs, *([LABEL] if self.labelled else [])]
        if gone or now is self.suspect:
            changed = {n for n in self.inputs if now[n] is not self.suspect[n]}
            changed = set() if len(changed) == len(self.inputs) else changed
            targets = [n for n in targets if self.unlike.get(n, 0.0) > 0 or n in changed]
        return [n for n in targets if n not in gone]

    @cached_property
    def unlike(self) -> Mapping[str, float]:
        """How unlike each column is as it came."""
        targets = [*self.inputs, *([LABEL] if self.labelled else [])]
        return {
            n: self._excess(n, self.suspect[n]) + self.relations.broken(self.suspect, n, self.inputs, self._first)
            for n in targets
        }

    def like(self, column: str, values: Values) -> bool:
        """Whether values, nulls aside, lie as the good ones do."""
        return self.present(column, values).excess == 0

    def _excess(self, name: str, values: Values, weights: Numbers | None = None) -> float:
        """Of labels the known ones count: the newest are still to come."""
        if name == LABEL and weights is None:
            return self.present(name, values).excess
        return self.distance(name, values, weights).excess

    def _side(self, column: str, apart: str) -> bool:
        return self.case.table.get(column, "") == apart

    def after(self, proposal: Proposal, undone: Columns, gone: Collection[str]) -> float:
        """What is left when a proposal is taken beside causes that were taken before."""
        both = {**undone, **proposal.undone}
        if proposal.only is not None:
            now = {n: v[proposal.only] for n, v in {**self.suspect, **both}.items()}
            return sum(self.parts(now, {*gone, *proposal.gone}).values())
        return self.left(both, {*gone, *proposal.gone}, proposal.apart, proposal.weights)


def _some(rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    return rows if len(rows) <= SAMPLED else np.sort(rng.choice(rows, SAMPLED, replace=False))


def _by_period(
    coding: Coding, values: Values, period: NDArray[np.int64], last: int | None = None
) -> NDArray[np.float64]:
    """Counts of bins, a row a period from 0 on."""
    periods = (int(period.max()) if last is None else last) + 1
    flat = period * coding.bins + coding.codes(values)
    return np.bincount(flat, minlength=periods * coding.bins).reshape(periods, coding.bins).astype(float)
