"""Statistics of all columns of a table in one pass: any relation to batches, batches to states, states to summaries."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from hanok.compute.duck import ParquetFiles, Relation, connect
from hanok.compute.states import BATCH_ROWS, NUMERIC, ColumnState, TableState, profile
from hanok.compute.values import column_type as kind_of
from hanok.core.tables import BOOKKEEPING, Scan
from hanok.core.validation import ColumnStatistics

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
TOP = 20
READ_BYTES = 1 << 20  # a column is read in pieces, so memory does not grow with a row group


def column_type(kind: pa.DataType) -> str:
    """INT, FLOAT, BOOL, TIMESTAMP or STRING; a column of nulls alone counts as STRING."""
    found = kind_of(kind)
    return "STRING" if found == "NULL" else found


def batches(relation: Relation) -> Iterator[pa.RecordBatch]:
    """The rows of a snapshot, an Arrow table, a reader, or anything that speaks Arrow's stream protocol (Polars,
    pandas 3, DuckDB), a batch at a time."""
    if isinstance(relation, Scan):
        with connect({"relation": relation}) as duck:
            yield from duck.sql("SELECT * FROM relation").to_arrow_reader(BATCH_ROWS)
    elif isinstance(relation, ParquetFiles):
        from pyarrow import parquet as pq

        for path in relation.files:
            yield from pq.ParquetFile(path, pre_buffer=False, buffer_size=READ_BYTES).iter_batches(BATCH_ROWS)
    elif isinstance(relation, pa.Table):
        yield from relation.combine_chunks().to_batches(max_chunksize=BATCH_ROWS)
    elif isinstance(relation, pa.RecordBatchReader):
        yield from relation
    else:
        yield from pa.RecordBatchReader.from_stream(relation)


def measure(relation: Relation) -> TableState:
    """The mergeable state of a whole relation; its columns are there even when it has no rows."""
    empty = relation.schema.empty_table() if isinstance(relation, Scan | ParquetFiles | pa.Table) else None
    state = profile(batches(relation))
    return TableState.of(empty) if empty is not None and not state.columns else state


def statistics(relation: Relation) -> tuple[ColumnStatistics, ...]:
    """A summary of each column, in the order of the relation."""
    return tuple(summary(c) for name, c in measure(relation).columns.items() if name not in BOOKKEEPING)


def summary(state: ColumnState) -> ColumnStatistics:
    """What pages and histories show of a column: sample standard deviation, quantiles within 1.3 % of their rank."""
    numeric = state.type in NUMERIC and state.finite > 0 and state.type != "TIMESTAMP"
    return ColumnStatistics(
        state.name,
        "STRING" if state.type == "NULL" else state.type,
        state.rows,
        state.nulls,
        state.distinct_count,
        minimum=float(state.minimum) if numeric else None,
        maximum=float(state.maximum) if numeric else None,
        mean=state.moments.mean if numeric else None,
        std=state.moments.std if numeric else None,
        zeros=state.zeros,
        non_finite=state.nan + state.positive_infinities + state.negative_infinities,
        quantiles=tuple(float(q) for q in state.quantiles.quantiles(QUANTILES)) if numeric else (),
        top=tuple((_word(state, v), n) for v, n in state.frequent.top(TOP)) if state.type in ("STRING", "BOOL") else (),
    )


def _word(state: ColumnState, value: object) -> str:
    return ("true" if value else "false") if state.type == "BOOL" else str(value)
