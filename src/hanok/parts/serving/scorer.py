"""One arm on some rows: what it decided, or why it could not. Here a failing arm is data, not an exception."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from hanok.compute.frames import Columns
from hanok.compute.runtimes.encoded import Prepared, Scores
from hanok.core.clock import wall_seconds
from hanok.core.errors import Corrupt, HanokError, MissingExtra, ScoringFailed, Unavailable, Unsafe, words
from hanok.core.serving import Arm, Signature
from hanok.parts.serving.packages import Loaded

NONE_BROKEN = np.empty(0, np.int64)
NO_ERRORS: Mapping[int, HanokError] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Decision:
    """What an arm gave for `rows` rows in `microseconds`. Without scores `error` says why there are none.

    A score that is not finite is kept, and is an error of its row; `row_errors` says what else was wrong with one.
    """

    arm: Arm
    rows: int
    signature: Signature | None
    scores: Scores | None
    error: HanokError | None
    microseconds: int
    row_errors: Mapping[int, HanokError] = field(default_factory=lambda: NO_ERRORS)

    @property
    def broken_rows(self) -> NDArray[np.int64]:
        """The rows whose score is not finite."""
        if self.scores is None:
            return np.arange(self.rows)
        if self.rows == 1 and self.scores.ndim == 1 and isfinite(self.scores[0]):
            return NONE_BROKEN
        finite = np.isfinite(self.scores)
        return np.flatnonzero(~(finite if finite.ndim == 1 else finite.all(axis=1)))

    @property
    def failure(self) -> HanokError | None:
        """Why not every row has its answer."""
        if self.error is not None or not (broken := self.broken_rows).size:
            return self.error
        assert self.scores is not None
        if (said := self.row_errors.get(int(broken[0]))) is not None:
            return said
        return ScoringFailed(f"version {self.arm.version} gave {self.scores[broken[0]]} as the score of a row")


def decide_with(loaded: Loaded, arm: Arm, columns: Columns) -> Decision:
    """The decision of one arm on raw columns, which it encodes by its own signature."""
    started = wall_seconds()
    scores: Scores | None = None
    failure: HanokError | None = None
    rows = rows_of(columns)
    try:
        scores = loaded.score(columns)
        rows = len(scores)
    except HanokError as error:
        failure = error
    except Exception as error:  # noqa: BLE001 (the arm ends here: what a runtime raises is data to its caller)
        failure = ScoringFailed(f"version {arm.version} failed on this input: {words(error)[:300]}")
        failure.__cause__ = error
    return Decision(arm, rows, loaded.signature, scores, failure, int((wall_seconds() - started) * 1e6))


def answer_of(signature: Signature, scores: Scores, row: int) -> tuple[float | None, tuple[float, ...], str | None]:
    """(score, class probabilities, label) of one row."""
    if signature.task == "multiclass":
        best = int(np.argmax(scores[row]))
        return float(scores[row][best]), tuple(scores[row].tolist()), signature.classes[best]
    value = float(scores[row])
    if signature.task == "binary":
        return value, (), signature.classes[int(value >= 0.5)]
    return value, (), None


def passing(error: HanokError) -> bool:
    """Whether the rows have no part in it: asked again, they may have their answers."""
    return isinstance(error, Unavailable | MissingExtra | Corrupt | Unsafe)


def rows_of(columns: Columns) -> int:
    return len(next(iter(columns.values()), ()))


def decide_many(loaded: Loaded, arm: Arm, requests: Sequence[Columns]) -> list[Decision]:
    """`decide_with` for several requests, scored in one call; one that fails does not fail its neighbours."""
    started = wall_seconds()
    found: list[Decision | None] = [None] * len(requests)
    matrices: list[tuple[int, Prepared]] = []
    for place, columns in enumerate(requests):
        try:
            matrices.append((place, loaded.runtime.encode(columns)))
        except Exception:  # noqa: BLE001 (decided again by itself, which says what is wrong)
            found[place] = decide_with(loaded, arm, columns)
    try:
        scores = loaded.runtime.score(np.concatenate([m for _, m in matrices])) if matrices else np.empty(0)
    except Exception:  # noqa: BLE001 (each by itself, to find the one that fails)
        scores = None
    spent = int((wall_seconds() - started) * 1e6)
    total, low = sum(len(m) for _, m in matrices), 0
    for place, matrix in matrices:
        rows = len(matrix)
        if scores is None:
            found[place] = decide_with(loaded, arm, requests[place])
            continue
        own = scores[low : low + rows]
        found[place] = Decision(arm, rows, loaded.signature, own, None, spent * rows // max(1, total))
        low += rows
    return [d for d in found if d is not None]
