"""The newest run of whole days of answers: the shortest that has enough rows to be judged by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from hanok.compute.day_blocks import ROWS_MIN, RUNS
from hanok.compute.drift import Reference
from hanok.compute.shift import Evidence, Span, compare

DAY = timedelta(days=1)
WEEK_DAYS = 7


@dataclass(frozen=True, slots=True)
class DayRun:
    """The answers of whole days in [start, end)."""

    start: datetime
    end: datetime
    rows: pa.Table

    @property
    def days(self) -> int:
        return (self.end - self.start) // DAY


def newest_run(
    week: pa.Table,
    references: Sequence[Reference],
    *,
    begun: datetime,
    until: datetime,
    load: Callable[[datetime, datetime], pa.Table],
) -> DayRun | None:
    """The shortest run of a length that the references know, of the whole days before `until`. The day on which
    answers began is none. `week` holds the rows of the newest seven days, `load` gives those of any span; None while
    there are too few rows."""
    known = {run.days for r in references for run in r.days}
    end = until.replace(hour=0, minute=0, second=0, microsecond=0)
    first = begun.replace(hour=0, minute=0, second=0, microsecond=0) + DAY
    for days in sorted(known & set(RUNS)):
        start = end - days * DAY
        if start < first:
            return None
        rows = _between(week, start, end) if days <= WEEK_DAYS - 1 else load(start, end)
        if rows.num_rows >= ROWS_MIN:
            return DayRun(start, end, rows)
    return None


def held_against_days(run: DayRun, references: Sequence[Reference], columns: Mapping[str, pa.ChunkedArray]) -> Evidence:
    """Each feature of the run beside runs of as many days of training."""
    before = {r.column: of for r in references if (of := r.of_days(run.days, run.rows.num_rows)) is not None}
    after = Span(columns, run.rows.num_rows, run.start.isoformat(), run.end.isoformat())
    return compare(Span(before), after)


def _between(rows: pa.Table, start: datetime, end: datetime) -> pa.Table:
    at, kind = rows.column("at"), rows.schema.field("at").type
    inside = pc.and_(pc.greater_equal(at, pa.scalar(start, kind)), pc.less(at, pa.scalar(end, kind)))
    return rows.filter(inside)
