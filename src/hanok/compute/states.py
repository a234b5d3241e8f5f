"""Statistics of a table as mergeable state: one pass over batches, constant memory, exact for counts and moments.

A state knows enough for profiles, schemas, drift and history, and merges with the states of other partitions, slices or
servers. Only what a sketch holds (quantiles, distinct, frequent values) is approximate, with its error stated there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hanok.compute.sketches import Frequent, Hll, Kll, number_hashes, text_hashes
from hanok.compute.values import column_type, unwrapped
from hanok.core.errors import BadData
from hanok.core.tables import BOOKKEEPING

Floats = NDArray[np.float64]
BATCH_ROWS = 1 << 17
SUMMED = (
    "rows", "nulls", "values", "nan", "positive_infinities", "negative_infinities", "zeros", "negatives", "total",
    "invalid_utf8",
)  # fmt: skip
NUMERIC = ("INT", "FLOAT", "BOOL", "TIMESTAMP")


_summed = attrgetter(*SUMMED)
_five = attrgetter("n", "mean", "m2", "m3", "m4")


@dataclass(slots=True)
class Moments:
    """Count, mean and central sums of powers; merged exactly but for rounding (Chan et al. 1983, Pebay 2008)."""

    n: int = 0
    mean: float = 0.0
    m2: float = 0.0
    m3: float = 0.0
    m4: float = 0.0

    @staticmethod
    def of(values: Floats) -> Moments:
        n = len(values)
        if not n:
            return Moments()
        mean = float(values.mean())
        with np.errstate(over="ignore", invalid="ignore"):  # of values near the largest float the powers are infinite
            gap = values - mean
            square = gap * gap
            return Moments(n, mean, float(square.sum()), float(square @ gap), float(square @ square))

    @staticmethod
    def merged(parts: Sequence[Moments]) -> Moments:
        table = np.array([_five(p) for p in parts if p.n])
        if not len(table):
            return Moments()
        n, mean, m2, m3, m4 = table.T
        total = n.sum()
        centre = float((n * mean).sum() / total)
        d = mean - centre
        return Moments(
            int(total),
            centre,
            float((m2 + n * d**2).sum()),
            float((m3 + 3 * d * m2 + n * d**3).sum()),
            float((m4 + 4 * d * m3 + 6 * d**2 * m2 + n * d**4).sum()),
        )

    @property
    def variance(self) -> float | None:
        """Of the population."""
        return self.m2 / self.n if self.n else None

    @property
    def std(self) -> float | None:
        """Of a sample; None for fewer than two values."""
        return math.sqrt(self.m2 / (self.n - 1)) if self.n > 1 else None

    @property
    def skewness(self) -> float | None:
        """Of the population; 0 for a constant."""
        if not self.n:
            return None
        return math.sqrt(self.n) * self.m3 / self.m2**1.5 if self.m2 > 0 else 0.0

    @property
    def kurtosis(self) -> float | None:
        """Excess, of the population; 0 for a constant."""
        if not self.n:
            return None
        return self.n * self.m4 / self.m2**2 - 3 if self.m2 > 0 else 0.0


@dataclass(slots=True)
class ColumnState:
    """One column. `rows` counts rows, `values` non-null values (more than rows for a list). `total` is the exact sum of
    an INT column. Lengths are of text, in characters; of a list column `per_row` is (fewest, most) values."""

    name: str
    type: str
    rows: int = 0
    nulls: int = 0
    values: int = 0
    nan: int = 0
    positive_infinities: int = 0
    negative_infinities: int = 0
    zeros: int = 0
    negatives: int = 0
    minimum: Any = None
    maximum: Any = None
    total: int | float = 0
    moments: Moments = field(default_factory=Moments)
    quantiles: Kll = field(default_factory=Kll)
    distinct: Hll = field(default_factory=Hll)
    frequent: Frequent = field(default_factory=Frequent)
    lengths: Moments = field(default_factory=Moments)
    shortest: int | None = None
    longest: int | None = None
    invalid_utf8: int = 0
    per_row: tuple[int, int] | None = None

    @property
    def present(self) -> int:
        return self.rows - self.nulls

    @property
    def finite(self) -> int:
        return self.moments.n

    @property
    def distinct_count(self) -> int:
        """Exact while there are at most 1,000 values, else HyperLogLog's estimate."""
        return len(self.frequent.counts) if self.frequent.exact else min(round(self.distinct.estimate()), self.values)

    # -- reading a batch -------------------------------------------------------------------------------------

    @staticmethod
    def of(name: str, column: pa.Array) -> ColumnState:
        if _is_wrapped(column.type):
            column = unwrapped(pa.chunked_array([column])).combine_chunks()
        kind = column.type
        if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            return ColumnState._of_lists(name, column)
        state = ColumnState(name, column_type(column.type), len(column), column.null_count)
        if pa.types.is_nested(column.type):  # maps, and structs within lists: how many there are
            state.values = len(column) - column.null_count
            return state
        present = column.drop_null() if column.null_count else column
        state.values = len(present)
        if pa.types.is_null(column.type):
            return state
        if state.type == "STRING":
            state._read_text(present)
        else:
            state._read_numbers(present)
        return state

    @staticmethod
    def _of_lists(name: str, column: pa.Array) -> ColumnState:
        lengths = pc.list_value_length(column).drop_null().to_numpy(zero_copy_only=False)
        state = ColumnState.of(name, column.flatten())
        state.rows, state.nulls = len(column), column.null_count
        state.per_row = (int(lengths.min()), int(lengths.max())) if len(lengths) else None
        return state

    def _read_numbers(self, present: pa.Array) -> None:
        values = numbers(present)
        if values.dtype == np.float64:
            finite = np.isfinite(values)
            if not finite.all():
                self.nan = int(np.isnan(values).sum())
                self.positive_infinities = int((values == np.inf).sum())
                self.negative_infinities = int((values == -np.inf).sum())
                values = values[finite]
        if not len(values):
            return
        self.minimum, self.maximum = values.min().item(), values.max().item()
        self.total = exact_sum(values) if values.dtype == np.int64 else float(values.sum())
        self.zeros = int(np.count_nonzero(values == 0))
        self.negatives = int(np.count_nonzero(values < 0)) if self.minimum < 0 else 0
        self.moments = Moments.of(values.astype(np.float64, copy=False))
        self.quantiles.add(values)
        self.frequent = Frequent.of(pa.array(values))
        if self.frequent.exact:
            values = self.frequent.values.to_numpy(zero_copy_only=False)
        self.distinct.add(number_hashes(values))

    def _read_text(self, present: pa.Array) -> None:
        present, self.invalid_utf8 = readable(present)
        if not len(present):
            return
        self.frequent = Frequent.of(present)
        if self.frequent.exact:  # a few distinct values stand for all
            present, weights = self.frequent.values, self.frequent.counts
        else:
            weights = None
        sizes = pc.utf8_length(present).to_numpy(zero_copy_only=False)
        self.shortest, self.longest = int(sizes.min()), int(sizes.max())
        parts = [Moments.of(sizes.astype(np.float64))] if weights is None else [_weighted(sizes, weights)]
        self.lengths = Moments.merged(parts)
        self.distinct.add(text_hashes(present))

    # -- merging ---------------------------------------------------------------------------------------------

    @staticmethod
    def merged(states: Sequence[ColumnState]) -> ColumnState:
        """Of the same column. Raises BadData where types differ; a part without any value has no type yet."""
        typed = [s for s in states if s.values]
        if len(kinds := {s.type for s in typed}) > 1:
            raise BadData(
                f"column {states[0].name!r} is {' and '.join(sorted(kinds))} in different parts: their statistics do "
                "not merge; bring the parts to one type first"
            )
        made = ColumnState(states[0].name, typed[0].type if typed else states[0].type)
        for name, counts in zip(SUMMED, zip(*map(_summed, states), strict=True), strict=True):
            setattr(made, name, sum(counts))
        for name, choose in (("minimum", min), ("maximum", max), ("shortest", min), ("longest", max)):
            known = [x for x in map(attrgetter(name), states) if x is not None]
            setattr(made, name, choose(known) if known else None)
        ranges = [s.per_row for s in states if s.per_row]
        made.per_row = (min(r[0] for r in ranges), max(r[1] for r in ranges)) if ranges else None
        made.moments = Moments.merged([s.moments for s in states])
        made.lengths = Moments.merged([s.lengths for s in states])
        made.quantiles = Kll.merged([s.quantiles for s in states])
        made.distinct = Hll.merged([s.distinct for s in states])
        made.frequent = Frequent.merged([s.frequent for s in states])
        return made


@dataclass(slots=True)
class TableState:
    """All columns of a table, a partition or a slice."""

    rows: int = 0
    columns: dict[str, ColumnState] = field(default_factory=dict)

    @staticmethod
    def of(batch: pa.RecordBatch | pa.Table) -> TableState:
        """Of one batch; structs are flattened to dotted names."""
        columns = {name: ColumnState.of(name, column) for name, column in _flat(batch)}
        return TableState(batch.num_rows, columns)

    @staticmethod
    def merged(states: Sequence[TableState]) -> TableState:
        """Columns that a part does not have count as null there."""
        if len(states) == 1:
            return states[0]
        names = dict.fromkeys(n for s in states for n in s.columns)
        made = TableState(sum(s.rows for s in states))
        for name in names:
            parts = [s.columns.get(name) or ColumnState(name, "NULL", s.rows, s.rows) for s in states]
            made.columns[name] = ColumnState.merged(parts)
        return made


def profile(batches: Iterable[pa.RecordBatch]) -> TableState:
    """The state of all batches, in one pass; memory does not grow with their number."""
    made, waiting = TableState(), []
    for batch in batches:
        waiting.append(TableState.of(batch))
        if len(waiting) == 16:
            made, waiting = TableState.merged([made, *waiting] if made.columns else waiting), []
    if waiting:
        made = TableState.merged([made, *waiting] if made.columns else waiting)
    return made


def numbers(present: pa.Array) -> NDArray[Any]:
    """int64 or float64 of an array without nulls; times are microseconds since 1970, UTC. Integers beyond
    int64 (uint64) become floats only when they must."""
    kind = present.type
    if pa.types.is_boolean(kind):
        return present.cast(pa.uint8()).to_numpy(zero_copy_only=False).astype(np.int64)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        stamp = pa.timestamp("us", getattr(kind, "tz", None))
        return present.cast(stamp, safe=False).cast(pa.int64()).to_numpy(zero_copy_only=False)
    if pa.types.is_integer(kind):
        try:
            return present.cast(pa.int64()).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid:
            pass
    return present.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def _is_wrapped(kind: pa.DataType) -> bool:
    """Whether the values lie beneath an encoding, an extension, a view or a unit."""
    is_ = pa.types
    return bool(
        isinstance(kind, pa.BaseExtensionType)
        or is_.is_dictionary(kind)
        or is_.is_run_end_encoded(kind)
        or is_.is_string_view(kind)
        or is_.is_binary_view(kind)
        or is_.is_duration(kind)
    )


def exact_sum(values: NDArray[np.int64]) -> int:
    """The sum of any int64 values: the halves are summed apart, so nothing overflows."""
    return (int((values >> 32).sum()) << 32) + int((values & 0xFFFFFFFF).sum())


def readable(present: pa.Array) -> tuple[pa.Array, int]:
    """Text as valid UTF-8, and how many values were not: those are left out."""
    kind = present.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
            present = present.cast(pa.large_binary()).view(pa.large_string())
        else:
            return present.cast(pa.string()), 0
    try:
        present.validate(full=True)
        return present, 0
    except pa.ArrowInvalid:
        pass
    good = np.array([_is_utf8(v.as_buffer().to_pybytes()) for v in present])
    return present.filter(pa.array(good)), int((~good).sum())


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _weighted(values: NDArray[Any], weights: NDArray[np.int64]) -> Moments:
    n = float(weights.sum())
    mean = float(values @ weights) / n
    gap = values - mean
    return Moments(int(n), mean, *(float((gap**k) @ weights) for k in (2, 3, 4)))


def _flat(batch: pa.RecordBatch | pa.Table, prefix: str = "") -> Iterator[tuple[str, pa.Array]]:
    names = batch.schema.names
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise BadData(f"the column {twice[0]!r} is there twice; rename one")
    for field_, column in zip(batch.schema, batch.columns, strict=True):
        if not prefix and field_.name in BOOKKEEPING:
            continue
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], field_.type)
        if pa.types.is_struct(field_.type):
            inner = pa.RecordBatch.from_arrays(column.flatten(), [f.name for f in field_.type])
            yield from _flat(inner, f"{prefix}{field_.name}.")
        else:
            yield prefix + field_.name, column
