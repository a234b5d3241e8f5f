"""A batch as one state per day and slice, so that any span of time and any slice is a merge of what was kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hanok.compute.states import TableState
from hanok.compute.values import column_type
from hanok.core.tables import ARRIVED

DAYS_FINE = 31
ROWS_A_PART = 20
SLICE_VALUES_MAX = 100


@dataclass(frozen=True, slots=True)
class Part:
    """`partition` is a day ('2013-02-08'), or a month or a year where a batch has few rows a day; `slice` is empty for
    all rows, else like 'carrier=UA'."""

    partition: str
    slice: str
    state: TableState


def parts(rows: pa.Table, *, time: str = "", slices: Sequence[str] = (), whole: TableState | None = None) -> list[Part]:
    """The states of a batch: each partition as a whole, and each value of each slice column in it.

    `time` names the column whose day counts; the instant of arrival without it. A column of more than 100 values is no
    slice: its rows stay in the whole alone (see `sliced`). `whole` is the state of all rows where it is known already.
    """
    made = []
    chosen_slices = sliced(rows, slices)
    plain = rows.drop_columns([n for n in (ARRIVED,) if n in rows.column_names])
    for partition, places in _by_time(rows, time):
        part = plain if places is None else plain.take(pa.array(places))
        known = whole if places is None and _same_types(whole, plain) else None
        made.append(Part(partition, "", known or TableState.of(part)))
        for column in chosen_slices:
            texts = slice_texts(part.column(column))
            codes = texts.dictionary_encode()
            for i, value in enumerate(codes.dictionary.to_pylist()):
                chosen = part.filter(pc.fill_null(pc.equal(codes.indices, i), False))
                made.append(Part(partition, f"{column}={value}", TableState.of(chosen)))
    return made


def _same_types(state: TableState | None, rows: pa.Table) -> bool:
    """Whether the state may stand for these rows: types may have been brought to a schema since."""
    return (
        state is not None
        and list(state.columns) == rows.column_names
        and all(state.columns[f.name].type == column_type(f.type) for f in rows.schema)
    )


def sliced(rows: pa.Table, slices: Sequence[str]) -> list[str]:
    """The slice columns that this batch has with at most 100 values."""
    return [
        s for s in slices if s in rows.column_names and pc.count_distinct(rows.column(s)).as_py() <= SLICE_VALUES_MAX
    ]


def slice_texts(column: pa.ChunkedArray) -> pa.Array:
    """The values that name slices; null is the text 'null'."""
    joined = column.combine_chunks()
    joined = pa.concat_arrays(joined.chunks) if isinstance(joined, pa.ChunkedArray) else joined
    return joined.cast(pa.string()).fill_null("null")


def time_of(schema: pa.Schema, time: str) -> str:
    """The column whose day counts."""
    return time if time in schema.names and pa.types.is_timestamp(schema.field(time).type) else ARRIVED


def days_of(instants: pa.ChunkedArray) -> np.ndarray:
    """The day of each as text, "" where there is none."""
    days = instants.cast(pa.timestamp("us", "UTC")).to_numpy().astype("datetime64[D]")
    return np.where(np.isnat(days), "", days.astype(str))


def _by_time(rows: pa.Table, time: str) -> Iterator[tuple[str, np.ndarray | None]]:
    """(partition, row numbers); None stands for all rows."""
    name = time_of(rows.schema, time)
    if not rows.num_rows or name not in rows.column_names:
        yield "", None
        return
    instants = rows.column(name).cast(pa.timestamp("us", "UTC")).to_numpy().astype("datetime64[us]")
    days = np.unique(instants.astype("datetime64[D]"))
    unit = "D"
    for coarser in ("M", "Y"):
        if len(days) > DAYS_FINE and rows.num_rows < ROWS_A_PART * len(days):
            days, unit = np.unique(days.astype(f"datetime64[{coarser}]")), coarser
    if len(days) == 1:
        yield _named(days[0]), None
        return
    cells = instants.astype(f"datetime64[{unit}]")
    order = np.argsort(cells, kind="stable")
    found, starts = np.unique(cells[order], return_index=True)
    for cell, places in zip(found, np.split(order, starts[1:]), strict=True):
        yield _named(cell), places


def _named(cell: np.datetime64) -> str:
    return "" if np.isnat(cell) else str(cell)
