"""Many rows for one arm, of which those that it cannot take fail no others."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hanok.compute.runtimes.encoded import Scores
from hanok.core.clock import wall_seconds
from hanok.core.errors import HanokError, ScoringFailed, Unavailable
from hanok.core.serving import Arm
from hanok.parts.serving.packages import Loaded
from hanok.parts.serving.scorer import Decision, decide_with, passing

CALLS, SEARCH_S = 2_000, 60.0  # so often, and so long, a model is tried to find the rows that it cannot take
ENDS, ENDED_S = 60, 300.0  # the same where its process ends over them, which costs a start or a wait each time
SINGLE = 5  # rows that are tried alone to see whether its process answers at all
Places = NDArray[np.int64]


def decide_apart(loaded: Loaded, arm: Arm, rows: pa.Table) -> Decision:
    """`decide_with` for many rows: those that cannot be answered together are tried in smaller parts, down to the row,
    in bounded tries and time.

    Rows over which the model's process ends are tried again by a new one. A row that ends it twice, while a row that
    it can answer is answered in between, has that as its error; of a row alone that one is a row without values. Where
    no row is answered the process is away: then the decision has an error that passes, as it has for whatever else is
    no fault of a row.
    """
    names = [c.name for c in loaded.signature.inputs if c.name in rows.column_names]
    search = _Search(loaded, arm, rows.select(names))
    whole = search.tried(np.arange(rows.num_rows))
    if isinstance(whole.error, Unavailable):
        whole = search.tried(np.arange(rows.num_rows))
    if rows.num_rows == 1 and isinstance(whole.error, Unavailable):
        return replace(whole, error=search.blamed(whole.error))
    many = rows.num_rows > 1 and len(names) == len(loaded.signature.inputs)
    if whole.error is None or not many or (passing(whole.error) and not isinstance(whole.error, Unavailable)):
        return whole
    if (stopped := search.run(whole.error)) is not None:
        return replace(whole, error=stopped)
    if search.scores is None:
        return whole
    spent = int((wall_seconds() - search.started) * 1e6)
    return Decision(arm, rows.num_rows, loaded.signature, search.scores, None, spent, search.errors)


class _Search:
    """For the rows that a model cannot take."""

    def __init__(self, loaded: Loaded, arm: Arm, rows: pa.Table) -> None:
        self.started = wall_seconds()
        self.scores: Scores | None = None
        self.errors: dict[int, HanokError] = {}
        self._loaded, self._arm, self._rows = loaded, arm, rows
        self._tries = self._ends = 0
        self._good: Places | None = None

    def tried(self, places: Places) -> Decision:
        given = self._rows if len(places) == self._rows.num_rows else self._rows.take(pa.array(places))
        found = decide_with(self._loaded, self._arm, dict(zip(given.column_names, given.columns, strict=True)))
        self._tries += 1
        self._ends += isinstance(found.error, Unavailable)
        if found.scores is not None and len(places):
            self._good = places[:1] if self._good is None else self._good
        return found

    def run(self, error: HanokError) -> HanokError | None:
        """Answer what can be, the largest parts first. Returns what stops it: no row has its answer then."""
        if isinstance(error, Unavailable) and not self._answers_any():
            return error
        waiting = deque(_groups(self._rows))
        while waiting:
            places = waiting.popleft()
            if not self._goes_on(len(waiting)):
                return self._rest([places, *waiting])
            why = self._answered(places)
            if why is None:
                continue
            if passing(why) and not isinstance(why, Unavailable):
                return why
            if len(places) > 1:
                waiting += [places[: len(places) // 2], places[len(places) // 2 :]]
            elif not isinstance(why, Unavailable):
                self.errors[int(places[0])] = why
            elif (stopped := self._again(places)) is not None:
                return stopped
        return None

    def _answers_any(self) -> bool:
        """Whether rows alone are answered, of the first, the last, and some between."""
        some = np.unique(np.linspace(0, self._rows.num_rows - 1, SINGLE).astype(np.int64))
        return any(not isinstance(self._answered(row), Unavailable) for row in some.reshape(-1, 1))

    def blamed(self, error: Unavailable) -> HanokError:
        """Whose fault it is that the process ended over a row that is alone: the row's, where one without values is
        answered or refused."""
        nothing = {f.name: pa.chunked_array([pa.nulls(1, f.type)]) for f in self._rows.schema}
        found = decide_with(self._loaded, self._arm, nothing)
        return error if isinstance(found.error, Unavailable) else _of_the_row(error)

    def _goes_on(self, waiting: int) -> bool:
        longest = ENDED_S if self._ends else SEARCH_S
        return self._tries + waiting < CALLS and self._ends < ENDS and wall_seconds() - self.started < longest

    def _answered(self, places: Places) -> HanokError | None:
        """Why not, where they were not."""
        found = self.tried(places)
        if found.error is not None or found.scores is None:
            return found.error
        if self.scores is None:
            self.scores = np.full((self._rows.num_rows, *found.scores.shape[1:]), np.nan)
        self.scores[places] = found.scores
        return None

    def _again(self, row: Places) -> HanokError | None:
        """Try a row over which the process ended once more, after one that it can answer. Returns what stops all."""
        if (away := self._away()) is not None:
            return away
        if (error := self._answered(row)) is not None:
            plain = ScoringFailed(error.message.partition("; the next")[0])
            self.errors[int(row[0])] = _of_the_row(error) if isinstance(error, Unavailable) else plain
        return None

    def _away(self) -> HanokError | None:
        """Why a row that was answered before is not answered now."""
        if self._good is None:
            return None
        error = self.tried(self._good).error
        return error if error is not None and passing(error) else None

    def _rest(self, parts: list[Places]) -> HanokError | None:
        """What becomes of rows for which neither tries nor time are left."""
        if self._ends and (away := self._away()) is not None:
            return away
        for places in parts:
            if not self._ends:
                if (error := self._answered(places)) is not None:
                    self.errors |= dict.fromkeys(places.tolist(), error)
                continue
            why = ScoringFailed(
                f"the process of version {self._arm.version} ended {self._ends} times over rows of this piece; this "
                f"row is one of {len(places)} that were not tried alone any more"
            )
            self.errors |= {row: why for row in places.tolist() if self._good is None or row != self._good[0]}
        return None


def _groups(rows: pa.Table) -> list[Places]:
    """The places of rows with a null, and of the others."""
    null = np.zeros(rows.num_rows, bool)
    for column in rows.columns:
        if column.null_count:
            null |= column.is_null().to_numpy(zero_copy_only=False)
    parts = [places for places in (np.flatnonzero(null), np.flatnonzero(~null)) if len(places)]
    return parts if len(parts) > 1 else np.array_split(parts[0], 2)


def _of_the_row(error: Unavailable) -> ScoringFailed:
    said = error.message.partition("; the next")[0]
    return ScoringFailed(f"{said}; others were answered in between, so it is this row")
