"""What a model answered in a window, and what it failed to answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import pyarrow as pa

from hanok.compute.duck import arrow, connect, quoted
from hanok.core.tables import SEQUENCE
from hanok.engine.diagnosed import Diagnosis
from hanok.engine.evidence import Evidence
from hanok.parts.serving.log import TABLE

SCORED = "coalesce(error, '') = '' AND score IS NOT NULL AND isfinite(score)"
"""Of the prediction log, the answers that have a score: a failed one is a row too, without."""
SHOWN = 160  # characters of an error


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
        return replace(found, sentence=told + found.sentence, symptom={**found.symptom, "failed": self.count})

    def alone(self, name: str, start: datetime, end: datetime) -> Diagnosis:
        """Of a window in which every answer failed."""
        symptom = {
            "rows": 0, "labelled": 0, "mean_score": None, "usual_mean_score": None, "loss": None, "usual_loss": None,
            "failed": self.count,
        }  # fmt: skip
        sentence = f"{name} answered nothing: {self._sentence()}"
        return Diagnosis(name, start.isoformat(), end.isoformat(), sentence, symptom)

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


def within(start: datetime, end: datetime) -> str:
    """The rows of the log that count as answers of a window."""
    at = quoted("at")
    return f"{at} >= TIMESTAMPTZ '{start.isoformat()}' AND {at} < TIMESTAMPTZ '{end.isoformat()}' AND arm <> 'shadow'"
