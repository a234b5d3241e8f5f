"""How far a window has moved from a reference, in bins that survive zero-inflated columns.

Bins are taken from the reference: values that hold a large share of it (rain is 0 most hours) get a bin of their own,
the rest is cut at quantiles; one bin is for nulls and the outer ones are open. Distances are named with their base and
binning; significance is a two-sample chi-square test; an effect counts above the noise floor of the sample size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hanok.compute.day_blocks import DayBlocks, Days, day_blocks
from hanok.compute.psi import distances, pooled
from hanok.compute.tails import chi_square_tail
from hanok.compute.two_sample import chi_square, js_distance_base2
from hanok.core.records import from_body

BINS = 20
MASS = 1.5 / BINS
BLOCKS_MIN = 8
POINT_MIN = 10
ROWS_A_BIN = 5
SINGLE = 0.1  # the share of rows whose value came once, above which few values are a small sample of many


@dataclass(frozen=True, slots=True)
class Reference:
    """The distribution of one column in the reference. Numeric: `points` have bins of their own, `edges` cut the
    rest. Text: `points` are the values. `counts` are per bin; the order is points, intervals or other, null.
    `usual_psi` is how far the farthest block of the reference (a week of it) lies from the whole; `inflation` and
    `inflation_variance` are the mean and variance over blocks of PSI over its noise floor: 1 where rows are
    independent, more where rows of a block resemble each other. `days` says the same of runs of whole days; empty where
    the reference is too short, knows no days, or was kept by an earlier version."""

    column: str
    numeric: bool
    points: tuple[Any, ...]
    edges: tuple[float, ...]
    counts: tuple[float, ...]
    usual_psi: float = 0.0
    inflation: float = 0.0
    inflation_variance: float = 0.0
    days: tuple[DayBlocks, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def middle(self) -> Any:
        """The median of numbers, about: the middle of its interval; of text the most frequent value. None where most
        rows were null."""
        if not self.numeric:
            best = int(np.argmax(self.counts)) if len(self.counts) else len(self.points)
            return self.points[best] if best < len(self.points) else None
        inner = [(a + b) / 2 for a, b in zip(self.edges, self.edges[1:], strict=False)]
        ends = [self.edges[0], *inner, self.edges[-1]] if self.edges else [0.0]
        values = [*map(float, self.points), *ends]
        counts = np.array(self.counts[: len(values)], float)
        order = np.argsort(values)
        if not counts.sum():
            return None
        half = np.searchsorted(np.cumsum(counts[order]), counts.sum() / 2)
        return float(np.array(values)[order][half])

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Reference:
        """Of what any release kept. Raises Corrupt."""
        known = from_body(cls, body, what="reference")
        return replace(known, days=tuple(r for r in known.days if r.inflation > 0))  # 0: all bins had become one

    def of_days(self, days: int, rows: int) -> Reference | None:
        """As a run of so many days with so many rows is held against it; None where nothing is known of such runs."""
        run = next((r for r in self.days if r.days == days), None)
        if run is None or not rows:
            return None
        floor = (sum(c > 0 for c in self.counts) - 1) * (1 / sum(self.counts) + 1 / rows)
        return replace(
            self,
            usual_psi=max(0.0, floor) + run.limit,
            inflation=run.inflation,
            inflation_variance=run.inflation_variance,
        )


@dataclass(frozen=True, slots=True)
class Drift:
    """One column of one window against the reference."""

    column: str
    psi: float
    psi_noise_floor: float
    js_distance_base2: float
    p_value: float
    rows: int
    null_share: float
    reference_null_share: float
    usual_psi: float = 0.0

    @property
    def effect(self) -> float:
        """PSI above what equal distributions show at these sample sizes, and above what was usual in the reference."""
        return max(0.0, self.psi - max(self.psi_noise_floor, self.usual_psi))


def reference(
    name: str, column: pa.ChunkedArray, blocks: Sequence[NDArray[np.int64]] = (), days: Days | None = None
) -> Reference:
    """Choose bins from the reference column and count it.

    `blocks` are row numbers of its parts (weeks): rows of a block resemble each other, so a later window of that length
    has drifted only when it lies farther from the whole than any block did. `days` are those of its rows.
    """
    whole = _binned(name, column)
    bins, size = placed(whole, column) if blocks or days else np.empty(0, np.int64), len(whole.counts)
    if days is not None:
        whole = replace(whole, days=day_blocks(bins, size, days))
    found = [compare(whole, np.bincount(bins[block], minlength=size)) for block in blocks]
    ratios = np.array([d.psi / d.psi_noise_floor for d in found if d.psi_noise_floor > 0])
    if len(ratios) < BLOCKS_MIN:
        return replace(whole, usual_psi=float(max((d.psi for d in found), default=0.0)))
    return replace(
        whole,
        usual_psi=float(max(d.psi for d in found)),
        inflation=float(ratios.mean()),
        inflation_variance=float(ratios.var(ddof=1)),
    )


def _binned(name: str, column: pa.ChunkedArray) -> Reference:
    if _is_text(column.type):
        counts = pc.value_counts(column.drop_null()).to_pylist()
        often = [
            c for c in counts if c["counts"] >= POINT_MIN or len(counts) <= 2 * BINS
        ]  # identifiers are all "other"
        common = sorted(often, key=lambda c: (-c["counts"], c["values"]))[: 2 * BINS]
        blank = Reference(name, False, tuple(c["values"] for c in common), (), ())
        return Reference(name, False, blank.points, (), tuple(int(c) for c in bin_counts(blank, column)))
    values = _numbers(column)
    finite = values[np.isfinite(values)]
    points: tuple[float, ...] = ()
    edges: tuple[float, ...] = ()
    if len(finite):
        unique, counts = np.unique(finite, return_counts=True)
        heavy = heavy_points(counts)
        points = tuple(float(u) for u in unique[heavy])
        rest = finite[~np.isin(finite, unique[heavy])]
        if len(rest):
            bins = max(1, min(round(BINS * len(rest) / len(finite)), len(rest) // ROWS_A_BIN))
            edges = tuple(float(e) for e in np.unique(np.quantile(rest, np.arange(1, bins) / bins)))
    blank = Reference(name, True, points, edges, ())
    return Reference(name, True, points, edges, tuple(int(c) for c in bin_counts(blank, column)))


def heavy_points(counts: NDArray[Any]) -> NDArray[np.bool_]:
    """Which values get a bin of their own: all of a few that come again and again, else those with a large share."""
    total = counts.sum()
    if len(counts) <= BINS and (counts == 1).sum() <= SINGLE * total:
        return np.ones(len(counts), bool)
    return (counts > MASS * total) & (counts > 1)


def bin_counts(ref: Reference, column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Rows per bin of `ref`."""
    bins = len(ref.points) + (len(ref.edges) + 1 if ref.numeric else 1) + 1
    return np.bincount(placed(ref, column), minlength=bins)


def placed(ref: Reference, column: pa.ChunkedArray) -> NDArray[np.int64]:
    """The bin of `ref` that each row falls in."""
    points = len(ref.points)
    if not ref.numeric:
        codes = pc.index_in(column.cast(pa.string()), pa.array(ref.points, pa.string()))
        filled = codes.fill_null(points).to_numpy()
        return np.where(column.is_null().to_numpy(), points + 1, filled)
    values = _numbers(column)
    intervals = len(ref.edges) + 1
    bins = points + np.searchsorted(np.array(ref.edges), values, side="right")
    if points:
        sorted_points = np.array(ref.points)
        place = np.clip(np.searchsorted(sorted_points, values), 0, points - 1)
        bins = np.where(sorted_points[place] == values, place, bins)
    return np.where(np.isnan(values), points + intervals, bins)


def sampled(ref: Reference, rows: int, seed: int) -> pa.Array:
    """Values drawn from the reference: its bins by their counts, evenly within an interval; the outermost intervals and
    unnamed categories give their nearest named value."""
    rng = np.random.default_rng(seed)
    counts = np.array(ref.counts, float)
    bins = rng.choice(len(counts), rows, p=counts / counts.sum())
    null = bins == len(counts) - 1
    points = len(ref.points)
    if not ref.numeric:
        names = np.array([*ref.points, ref.points[-1] if points else "", ""], object)
        return pa.array(names[bins], pa.string(), mask=null)
    ends = np.array([ref.edges[0], *ref.edges, ref.edges[-1]]) if ref.edges else np.zeros(2)
    place = np.clip(bins - points, 0, len(ends) - 2)
    within = ends[place] + rng.random(rows) * (ends[place + 1] - ends[place])
    known = np.array(ref.points, float) if points else np.zeros(1)
    return pa.array(np.where(bins < points, known[np.minimum(bins, len(known) - 1)], within), mask=null)


def compare(ref: Reference, counts: NDArray[Any]) -> Drift:
    """PSI (natural log, half a count added to each bin), Jensen-Shannon distance (base 2, no smoothing) and the
    two-sample chi-square test of `counts` against the reference.

    Bins empty on both sides do not count, and rare ones are pooled (`psi.pooled`), so that the test holds for small
    windows. Where blocks of the reference differ more than independent rows would, the p-value is also that of a
    scaled chi-square with their mean and variance (Rao and Scott 1981).
    """
    a, b = np.array(ref.counts, float), counts.astype(float)
    n, m = a.sum(), b.sum()
    if not n or not m:
        return Drift(ref.column, 0.0, 0.0, 0.0, 1.0, int(m), 0.0, 0.0)
    pair = pooled(a[None], b[None])
    psi, floor = (float(x[0]) for x in distances(*pair))
    used = (pair[0] + pair[1])[0] > 0
    a, b = (x[0][used] for x in pair)
    return Drift(
        ref.column,
        psi,
        floor,
        js_distance_base2(a, b),
        max(chi_square(a, b).p_value, _p_among_blocks(ref, psi, floor)),
        int(m),
        float(counts[-1] / m),
        float(ref.counts[-1] / n),
        ref.usual_psi,
    )


def _p_among_blocks(ref: Reference, psi: float, floor: float) -> float:
    """How often a block of the reference is this far from it: 0 where nothing is known of blocks (no `inflation`)."""
    if not ref.inflation or floor <= 0:
        return 0.0
    if not ref.inflation_variance:  # all blocks are alike, so none is farther than any other
        return float(psi <= floor * ref.inflation)
    freedom = max(1.0, 2 * ref.inflation**2 / ref.inflation_variance)
    return chi_square_tail(freedom * psi / (floor * ref.inflation), freedom)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    return column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
