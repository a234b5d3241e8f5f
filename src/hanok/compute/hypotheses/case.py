"""What a diagnosis looks at, and what a hypothesis says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[np.float64]
Texts: TypeAlias = NDArray[np.object_]
Values: TypeAlias = Numbers | Texts
"""A column: float64 with NaN for null, or objects with None for null."""
Columns: TypeAlias = Mapping[str, Values]
LABEL = "(label)"


@dataclass(frozen=True, slots=True)
class TableDays:
    """How a table arrived: by period (0 the one asked about, 1 the one before ...) the rows, and the middle of the
    hours between the instant of a row and its arrival (NaN without rows). `faults` are what checks of its batches
    found: the kind, the column, in words, how many periods ago it began. `aside` counts the rows that checks kept out,
    by period; `kept_out` has their values and `kept_out_period` when each came."""

    table: str
    rows: tuple[int, ...]
    lag_h: tuple[float, ...]
    faults: tuple[tuple[str, str, str, int], ...] = ()
    aside: tuple[int, ...] = ()
    kept_out: Columns = field(default_factory=dict)
    kept_out_period: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    reason: str = ""

    def alone(self, asked: int, onset: int) -> TableDays:
        """Without the periods from `asked` up to `onset`; what checks found in them is left out."""
        kept = (self.kept_out_period < asked) | (self.kept_out_period >= onset)
        out = self.kept_out_period[kept]
        return replace(
            self,
            rows=(*self.rows[:asked], *self.rows[onset:]),
            lag_h=(*self.lag_h[:asked], *self.lag_h[onset:]),
            faults=tuple(f for f in self.faults if f[3] <= asked),
            aside=(*self.aside[:asked], *self.aside[onset:]),
            kept_out={n: v[kept] for n, v in self.kept_out.items()},
            kept_out_period=np.where(out < asked, out, out - onset + asked),
        )


@dataclass(frozen=True, slots=True)
class Case:
    """Answers of a model in periods of one length: 0 is the one asked about, the rest lie before it.

    `columns`, `label` (NaN: unknown), `loss` (NaN: unknown) and `score` have a value a row, `period` says when.
    `table` is where a column comes from, `rolling` are columns that aggregate over time. `answered` counts the answers
    of each period, whatever was sampled of them; `asked` periods are those that it is asked about,
    of which the newest may go on still (not `complete`)."""

    task: str
    columns: Columns
    period: NDArray[np.int64]
    score: Numbers
    label: Numbers
    loss: Numbers
    table: Mapping[str, str]
    rolling: frozenset[str]
    spine: str
    labels: str
    answered: tuple[int, ...]
    asked: int = 1
    tables: tuple[TableDays, ...] = ()
    complete: bool = True

    def alone(self, onset: int) -> tuple[Case, NDArray[np.int64]]:
        """Only the periods asked about, with those before `onset` to compare with; and the numbers of its rows here."""
        kept = np.flatnonzero((self.period < self.asked) | (self.period >= onset))
        period = self.period[kept]
        case = replace(
            self,
            columns={n: v[kept] for n, v in self.columns.items()},
            period=np.where(period < self.asked, period, period - onset + self.asked),
            score=self.score[kept],
            label=self.label[kept],
            loss=self.loss[kept],
            answered=(*self.answered[: self.asked], *self.answered[onset:]),
            tables=tuple(t.alone(self.asked, onset) for t in self.tables),
        )
        return case, kept


@dataclass(frozen=True, slots=True)
class Proposal:
    """A cause that could be. `undone` are columns of the suspect rows as they would be without it; `gone` columns are
    not comparable under it, and are left out; `weights` makes the suspect rows the mixture of the good ones; `only` are
    the suspect rows that it leaves alone; `known`
    says that records, not values, tell it; `strength` is then how much is made of it, and `worth` how far it stands
    before others that explain as much."""

    kind: str
    name: str
    reason: str
    columns: tuple[str, ...]
    undone: Columns = field(default_factory=dict)
    gone: frozenset[str] = frozenset()
    apart: str = ""
    weights: Numbers | None = None
    only: NDArray[np.bool_] | None = None
    known: bool = False
    strength: float = 0.0
    worth: float = 1.0
    next: str = ""


class Measured(Protocol):
    """What hypotheses may ask of the suspect rows and the good ones."""

    @property
    def case(self) -> Case: ...

    @property
    def good(self) -> Columns: ...

    @property
    def suspect(self) -> Columns: ...

    @property
    def good_period(self) -> NDArray[np.int64]: ...

    @property
    def onset(self) -> int:
        """The suspect rows are of the periods below this."""

    @property
    def unlike(self) -> Mapping[str, float]: ...

    def moved(self, column: str) -> bool: ...

    def stands(self, column: str) -> bool:
        """Whether a column holds one value for whole periods in good rows too."""

    def like(self, column: str, values: Values) -> bool: ...

    def expected(self, column: str) -> Numbers | None:
        """What the other columns say a numeric column should be, in its own unit; None where they say little."""

    def left(self, undone: Columns) -> float:
        """How unlike the rows are with these columns in place of their own."""


Hypothesis: TypeAlias = Callable[[Measured], Iterable[Proposal]]
"""One kind of cause: it proposes what could be, each proposal with the means to undo it."""


def numeric(values: Values) -> bool:
    return values.dtype.kind == "f"


def shown(value: float) -> str:
    return f"{value:.4g}"
