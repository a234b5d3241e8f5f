"""What a model answered in a window, and what it failed to answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from hanok.compute.duck import arrow, connect, quoted
from hanok.core.clock import from_micros, micros
from hanok.core.tables import SEQUENCE
from hanok.engine.diagnosed import Diagnosis, Symptom
from hanok.engine.evidence import Evidence
from hanok.parts.serving.log import TABLE

SCORED = "coalesce(error, '') = '' AND score IS NOT NULL AND isfinite(score)"
"""Of the prediction log, the answers that have a score: a failed one is a row too, without."""
SHOWN = 160  # characters of an error
DAY, MICROSECOND = timedelta(days=1), timedelta(microseconds=1)
FEW, WIDENED_DAYS = 30, 35


@dataclass(frozen=True, slots=True)
class Failures:
    """How many of the answers of a window failed, and the first error."""

    count: int
    asked: int
    first: str

    @property
    def all_failed(self) -> bool:
        return 0 < self.count == self.asked

    def beside(self, found: Diagnosis) -> Diagnosis:
        """A diagnosis of the answers that have a score, with the failed ones told first."""
        told = f"{self._sentence()} " if self.count else ""
        return replace(found, sentence=told + found.sentence, symptom=replace(found.symptom, failed=self.count))

    def alone(self, name: str, start: datetime, end: datetime) -> Diagnosis:
        """Of a window in which every answer failed."""
        sentence = f"{name} answered nothing: {self._sentence()}"
        return Diagnosis(name, start.isoformat(), end.isoformat(), sentence, Symptom(failed=self.count))

    def _sentence(self) -> str:
        return f"{self.count} of {self.asked} answers failed, the first with: {self.first[:SHOWN].rstrip('. ')}."


def answers(parts: Evidence, name: str, start: datetime, end: datetime) -> pa.Table:
    """The answers of a window that have a score, in order."""
    if not parts.tables.size(TABLE + name):
        return pa.table({})
    with connect({"log": parts.tables.scan(TABLE + name, since=start)}) as duck:
        return arrow(duck, f"SELECT * FROM log WHERE {within(start, end)} AND {SCORED} ORDER BY {SEQUENCE}")


def failures(parts: Evidence, name: str, start: datetime, end: datetime) -> Failures:
    if not parts.tables.size(TABLE + name):
        return Failures(0, 0, "")
    with connect({"log": parts.tables.scan(TABLE + name, since=start)}) as duck:
        row = duck.execute(
            f"SELECT count(*) FILTER (NOT ({SCORED})), count(*), "
            f"arg_min(coalesce(error, ''), {SEQUENCE}) FILTER (NOT ({SCORED})) "
            f"FROM log WHERE {within(start, end)}"
        ).fetchone()
    failed, asked, first = row or (0, 0, "")
    return Failures(int(failed), int(asked), str(first or "no score was given"))


@dataclass(frozen=True, slots=True)
class Widened:
    """Days up to one that has too few answers to be judged alone: from `start` on there are `rows` of them."""

    start: datetime
    few: int
    rows: int

    def before(self, found: Diagnosis, day: datetime) -> Diagnosis:
        """A diagnosis of these days that says why it is not of the one day."""
        told = f"{self.few} answer{'s' if self.few != 1 else ''} of {day:%Y-%m-%d} {'are' if self.few != 1 else 'is'} "
        told += f"too few to judge by; of the {self.rows} since {self.start:%Y-%m-%d}: "
        return replace(found, sentence=told + found.sentence)


def widened(parts: Evidence, name: str, start: datetime, end: datetime) -> Widened | None:
    """The newest days that have `FEW` answers between them, where each of the last weeks had fewer: a model that is
    asked little. None where the window has enough, or has none, or a day before it had."""
    if end - start > DAY or not parts.tables.size(TABLE + name):
        return None
    first = end - WIDENED_DAYS * DAY
    day = f"CAST(floor((epoch_us({quoted('at')}) - {micros(end)}) / {DAY // MICROSECOND}) AS BIGINT)"
    with connect({"log": parts.tables.scan(TABLE + name, since=first)}) as duck:
        counts = dict(
            duck.execute(
                f"SELECT {day} AS day, count(*) FROM log WHERE {within(first, end)} AND {SCORED} GROUP BY day"
            ).fetchall()
        )
    few = counts.get(-1, 0)
    if not few or max(counts.values()) >= FEW:
        return None
    rows, back = 0, 0
    for back in sorted(counts, reverse=True):
        rows += counts[back]
        if rows >= FEW:
            break
    return Widened(end + int(back) * DAY, int(few), int(rows)) if back < -1 else None


def last_day(parts: Evidence, name: str) -> datetime:
    """The newest day that has answers; today where none has."""
    now = parts.clock.now() - MICROSECOND
    if parts.tables.size(TABLE + name):
        with connect({"log": parts.tables.scan(TABLE + name)}) as duck:
            newest = duck.execute(
                f"SELECT max(epoch_us({quoted('at')})) FROM log WHERE epoch_us({quoted('at')}) <= {micros(now)} "
                "AND arm <> 'shadow'"
            ).fetchone()
        now = now if newest is None or newest[0] is None else from_micros(newest[0])
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def within(start: datetime, end: datetime) -> str:
    """The rows of the log that count as answers of a window."""
    at = quoted("at")
    return f"{at} >= TIMESTAMPTZ '{start.isoformat()}' AND {at} < TIMESTAMPTZ '{end.isoformat()}' AND arm <> 'shadow'"
