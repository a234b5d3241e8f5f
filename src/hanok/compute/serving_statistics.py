"""Statistics of what is served, kept while it is served: rows are buffered and folded into one mergeable state."""

from __future__ import annotations

import pyarrow as pa

from hanok.compute.states import TableState

FOLD_ROWS = 8192


class ServingStatistics:
    """The state of all rows added so far. Rows wait in a buffer until there are `fold_rows` of them, so that a small
    batch costs next to nothing; reading the state folds what waits. Training-serving skew is this state's statistics
    against those of the training set."""

    def __init__(self, *, fold_rows: int = FOLD_ROWS) -> None:
        self._fold_rows = fold_rows
        self._state = TableState()
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Rows of one request or one log segment; batches may lack columns."""
        self._waiting.append(batch)
        self._rows += batch.num_rows
        if self._rows >= self._fold_rows:
            self._fold()

    def state(self) -> TableState:
        self._fold()
        return self._state

    def _fold(self) -> None:
        if not self._waiting:
            return
        tables = [pa.Table.from_batches([b]) for b in self._waiting]
        self._waiting, self._rows = [], 0
        fresh = TableState.of(pa.concat_tables(tables, promote_options="permissive"))
        self._state = TableState.merged([self._state, fresh]) if self._state.columns else fresh
