"""Mergeable sketches on numpy: quantiles (KLL), distinct values (HyperLogLog), frequent values.

All three are deterministic: what the papers leave to chance comes from a counter, so the same rows in the same batches
give the same sketch.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Array = NDArray[Any]
Hashes = NDArray[np.uint64]
KLL_SIZE = 200
SAMPLED = 8192
HLL_BITS = 12
EXACT_VALUES = 1000
KEPT_VALUES = 256
CANDIDATE_SEEN = 8
SCATTERED = 1 << 14  # fewer hashes than this go to their registers one by one


def mixed(z: Hashes) -> Hashes:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014): 64 bits to 64 well spread bits."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def number_hashes(values: Array) -> Hashes:
    """Hashes of int64 or float64 values; 0.0 and -0.0 are one value."""
    bits = values.view(np.uint64) if values.dtype.kind == "i" else (values + 0.0).view(np.uint64)
    return mixed(bits + np.uint64(0x9E3779B97F4A7C15))


def text_hashes(column: pa.Array) -> Hashes:
    """Hashes of a string or binary array without nulls, eight bytes at a time."""
    column = column.cast(pa.large_binary())
    if not len(column):
        return np.empty(0, np.uint64)
    _, offsets, data = column.buffers()
    starts = np.frombuffer(offsets, np.int64, len(column) + 1, column.offset * 8)
    first, last = int(starts[0]), int(starts[-1])
    raw = np.empty(last - first + 8, np.uint8)
    raw[-8:] = 0
    if last > first:
        raw[:-8] = np.frombuffer(data, np.uint8, last - first, first)
    words = np.ndarray((last - first + 1,), "<u8", raw, strides=(1,))
    lengths = np.diff(starts)
    places = starts[:-1] - first
    hashes = mixed(lengths.astype(np.uint64) + np.uint64(1))
    for at in range(0, int(lengths.max()), 8):
        alive = np.flatnonzero(lengths > at) if at else np.flatnonzero(lengths)
        part = words[places[alive] + at]
        left = np.minimum(lengths[alive] - at, 8).astype(np.uint64) * np.uint64(8)
        mask = np.where(left == 64, ~np.uint64(0), (np.uint64(1) << (left & np.uint64(63))) - np.uint64(1))
        hashes[alive] = mixed(hashes[alive] ^ (part & mask)) + np.uint64(at + 1)
    return hashes


@dataclass(slots=True)
class Kll:
    """Quantiles with a rank error of about 1.3 % (Karnin, Lang and Liberty 2016; k = 200).

    Items of level h stand for 2^h values. A large batch first goes through the paper's sampler: one value of each block
    of 2^h is kept, so that at most 8,192 are sorted.
    """

    n: int = 0
    levels: list[Array] = field(default_factory=list)

    def add(self, values: Array) -> None:
        """Values without NaN, in any order, int64 or float64."""
        n = len(values)
        if not n:
            return
        self.n += n
        level = max(0, math.ceil(math.log2(n / SAMPLED))) if n > SAMPLED else 0
        while n:
            size = 1 << level
            blocks = n // size
            if blocks:
                head = values[: blocks * size]
                picked = head if level else head.copy()
                if level:
                    picked = head.reshape(blocks, size)[np.arange(blocks), self._picks(blocks, size)]
                self._put(level, picked)
                values = values[blocks * size :]
                n = len(values)
            level -= 1
        self._compress()

    def _picks(self, blocks: int, size: int) -> NDArray[np.int64]:
        chance = mixed(np.arange(self.n, self.n + blocks, dtype=np.uint64))
        return (chance & np.uint64(size - 1)).astype(np.int64)

    def _put(self, level: int, items: Array) -> None:
        while len(self.levels) <= level:
            self.levels.append(np.empty(0, items.dtype))
        have = self.levels[level]
        self.levels[level] = np.concatenate([have, items]) if len(have) else items

    def _compress(self) -> None:
        """Halve what is over its capacity. Levels are sorted only here, and where they are read."""
        level = 0
        ordered = -1  # the level, if any, that holds nothing but what came in order from the one below
        while level < len(self.levels):
            items = self.levels[level]
            height = len(self.levels)
            capacity = _capacity(height - 1 - level)
            if len(items) > capacity:
                if level != ordered:
                    items = np.sort(items)
                odd = len(items) & 1
                left, pairs = items[:odd], items[odd:]
                coin = int(mixed(np.array([self.n + level * 7919 + len(items)], np.uint64))[0] & np.uint64(1))
                self.levels[level] = left
                ordered = level + 1 if height == level + 1 or not len(self.levels[level + 1]) else -1
                self._put(level + 1, pairs[coin::2])
                if len(self.levels) > height:  # every capacity below has shrunk
                    level = 0
                    continue
            level += 1

    @staticmethod
    def merged(sketches: Sequence[Kll]) -> Kll:
        made = Kll(sum(s.n for s in sketches))
        levels = [s.levels for s in sketches]
        for level in range(max(map(len, levels), default=0)):
            parts = [have[level] for have in levels if len(have) > level and len(have[level])]
            made.levels.append(np.concatenate(parts) if parts else np.empty(0))
        made._compress()
        return made

    def weighted(self) -> tuple[Array, NDArray[np.float64]]:
        """Items in order, and for each how many values it stands for. The weights add up to n."""
        if not self.n:
            return np.empty(0), np.empty(0)
        items = np.concatenate(self.levels)
        weights = np.concatenate([np.full(len(x), float(1 << h)) for h, x in enumerate(self.levels)])
        order = np.argsort(items, kind="stable")
        return items[order], weights[order]

    def quantiles(self, shares: Sequence[float]) -> list[Any]:
        """Values of the data with (about) these shares of it at or below. Empty for no data."""
        items, weights = self.weighted()
        if not len(items):
            return []
        ranks = np.cumsum(weights)
        places = np.searchsorted(ranks, np.asarray(shares) * ranks[-1] - 1e-9)
        return [items[min(int(i), len(items) - 1)].item() for i in places]

    def cdf(self, points: Sequence[float]) -> NDArray[np.float64]:
        """The share of values at or below each point."""
        items, weights = self.weighted()
        ranks = np.concatenate([[0.0], np.cumsum(weights)])
        return ranks[np.searchsorted(items, np.asarray(points), "right")] / max(1.0, ranks[-1])


@dataclass(slots=True)
class Hll:
    """Distinct values with a standard error of 1.6 % (HyperLogLog, 4,096 registers; Ertl's estimator of 2017)."""

    registers: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(1 << HLL_BITS, np.uint8))

    def add(self, hashes: Hashes) -> None:
        if not len(hashes):
            return
        place = (hashes >> np.uint64(64 - HLL_BITS)).astype(np.int64)
        rest = hashes & np.uint64((1 << (64 - HLL_BITS)) - 1)
        _, exponent = np.frexp(rest.astype(np.float64))
        rank = (64 - HLL_BITS) - exponent + 1
        if len(hashes) < SCATTERED:
            np.maximum.at(self.registers, place, rank.astype(np.uint8))
            return
        seen = np.zeros(((1 << HLL_BITS), 64), bool)
        seen.reshape(-1)[place * 64 + rank] = True
        highest = np.where(seen.any(axis=1), 63 - np.argmax(seen[:, ::-1], axis=1), 0).astype(np.uint8)
        np.maximum(self.registers, highest, out=self.registers)

    @staticmethod
    def merged(sketches: Sequence[Hll]) -> Hll:
        return Hll(np.maximum.reduce([s.registers for s in sketches]) if sketches else Hll().registers)

    def estimate(self) -> float:
        m, q = 1 << HLL_BITS, 64 - HLL_BITS
        counts = np.bincount(self.registers, minlength=q + 2).astype(float)
        z = m * _tau(1 - counts[q + 1] / m)
        for k in range(q, 0, -1):
            z = 0.5 * (z + counts[k])
        z += m * _sigma(counts[0] / m)
        return 0.5 / math.log(2) * m * m / z if math.isfinite(z) else 0.0


@functools.cache
def _capacity(depth: int) -> int:
    """How many items a level keeps that lies `depth` levels below the highest."""
    return max(8, math.ceil(KLL_SIZE * (2 / 3) ** depth))


def _sigma(x: float) -> float:
    if x == 1:
        return math.inf
    y, z = 1.0, x
    while True:
        x *= x
        before = z
        z += x * y
        y += y
        if z == before:
            return z


def _tau(x: float) -> float:
    if x in (0.0, 1.0):
        return 0.0
    y, z = 1.0, 1 - x
    while True:
        x = math.sqrt(x)
        before = z
        y *= 0.5
        z -= (1 - x) ** 2 * y
        if z == before:
            return z / 3


@dataclass(slots=True)
class Frequent:
    """Values with their counts. `missed` bounds what a count may lack: 0 means that all values are here, exactly.

    All values are kept while there are at most 1,000; beyond that the 256 most frequent ones, whose counts are exact
    for every batch in which a sample showed them.
    """

    values: pa.Array = field(default_factory=lambda: pa.nulls(0))
    counts: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    missed: int = 0

    @property
    def exact(self) -> bool:
        return not self.missed

    @staticmethod
    def of(column: pa.Array) -> Frequent:
        """Of one batch without nulls."""
        n = len(column)
        if not n:
            return Frequent(column, np.empty(0, np.int64))
        if n <= 2 * EXACT_VALUES:
            return Frequent._counted(column)
        sample = column.take(pa.array(np.arange(0, n, max(1, n // SAMPLED))))
        counted = pc.value_counts(sample)
        if len(counted) <= 0.25 * len(sample):
            return Frequent._counted(column)
        seen = pc.struct_field(counted, 1).to_numpy(zero_copy_only=False)
        hit = np.flatnonzero(seen >= CANDIDATE_SEEN)
        missed = math.ceil(3 * CANDIDATE_SEEN * n / len(sample))
        if not len(hit):
            return Frequent(missed=missed)
        candidates = pc.struct_field(counted, 0).take(pa.array(hit))
        places = pc.index_in(column, candidates).drop_null().to_numpy()
        return Frequent(_wide(candidates), np.bincount(places, minlength=len(candidates)), missed)._trimmed()

    @staticmethod
    def _counted(column: pa.Array) -> Frequent:
        counted = column.value_counts()
        values, counts = counted.flatten()
        return Frequent(_wide(values), counts.to_numpy(zero_copy_only=False))._trimmed()

    def _trimmed(self) -> Frequent:
        if len(self.counts) <= EXACT_VALUES:
            return self
        order = np.argsort(-self.counts, kind="stable")
        kept, dropped = order[:KEPT_VALUES], order[KEPT_VALUES]
        return Frequent(self.values.take(pa.array(kept)), self.counts[kept], self.missed + int(self.counts[dropped]))

    def repeated(self) -> Frequent:
        """Without values seen but once, where most are: such a column has no frequent values to keep apart."""
        return Frequent.merged([self, Frequent()]) if len(self.counts) > KEPT_VALUES else self

    @staticmethod
    def merged(sketches: Sequence[Frequent]) -> Frequent:
        """Counts of equal values are added; of more than one sketch, those are left out that `repeated` leaves out."""
        full = [s for s in sketches if len(s.counts)]
        missed = sum(s.missed for s in sketches)
        if not full:
            return Frequent(missed=missed)
        if len(sketches) == 1:
            return Frequent(full[0].values, full[0].counts, missed)
        sizes = np.array([len(s.counts) for s in full])
        counts = np.concatenate([s.counts for s in full])
        thin = np.zeros(len(full), bool)
        if sizes.max() > KEPT_VALUES:
            starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
            again = np.add.reduceat((counts > 1).astype(np.int64), starts)
            thin = (sizes > KEPT_VALUES) & (again <= 0.5 * sizes)
            missed += int(thin.sum())
            kept = ~np.repeat(thin, sizes) | (counts > 1)
            part = [s for s, few, n in zip(full, thin, again, strict=True) if n or not few]
            if not part:
                return Frequent(missed=missed)
            of_parts = np.repeat(~thin | (again > 0), sizes)
            values = _joined([s.values for s in part]).filter(pa.array(kept[of_parts]))
            counts = counts[kept]
        else:
            values = _joined([s.values for s in full])
        if len(full) == 1:
            return Frequent(values, counts, missed)
        encoded = values.dictionary_encode()
        summed = np.bincount(encoded.indices.to_numpy(zero_copy_only=False), counts).astype(np.int64)
        return Frequent(encoded.dictionary, summed, missed)._trimmed()

    def top(self, limit: int) -> list[tuple[Any, int]]:
        """The most frequent values first; equal counts in the order of the values' text."""
        pairs = zip(self.values.to_pylist(), self.counts.tolist(), strict=True)
        return sorted(pairs, key=lambda p: (-p[1], str(p[0])))[:limit]


def _wide(values: pa.Array) -> pa.Array:
    """Text in one type, whatever the batch came in, so that sketches join."""
    return values.cast(pa.large_string()) if pa.types.is_string(values.type) else values


def _joined(parts: Sequence[pa.Array]) -> pa.Array:
    if len({p.type for p in parts}) > 1:  # integers, of which some went beyond int64
        parts = [p.cast(pa.float64(), safe=False) for p in parts]
    return pa.concat_arrays(parts)
