"""States kept by (table, batch, partition, slice): what profiles, drift and histories read in place of the rows."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from hanok.compute import encoding
from hanok.compute.partitions import Part
from hanok.compute.states import TableState
from hanok.core.errors import Invalid
from hanok.core.validation import REMADE, STATE, Place, Remade, StateIndex
from hanok.stores.ports import Blobs, Metadata

_DAY = re.compile(r"\d{4}(-\d\d(-\d\d)?)?")
EVERYTHING = 1 << 20
ALL_TIME = "*"  # the period that covers each partition


@dataclass(frozen=True, slots=True)
class Selected:
    """What a question reads: states by partition, and the batches in that span that know nothing of the slice."""

    by_partition: Mapping[str, TableState]
    batches: int
    without_slice: tuple[str, ...] = ()

    @property
    def merged(self) -> TableState:
        return TableState.merged(list(self.by_partition.values()))

    @property
    def covers(self) -> tuple[str, str]:
        """The first and the last partition; empty for rows whose time nobody knows."""
        return min(self.by_partition), max(self.by_partition)


@dataclass(frozen=True, slots=True)
class Counting:
    """What of some kept states counts: all `places` of a batch, without those that were made anew since. `batch` is
    empty for what was made anew."""

    batch: str
    kept: StateIndex
    places: tuple[Place, ...]


class KeptStates:
    """One blob a batch, with its parts one after the other; the record of the batch says where each begins."""

    def __init__(self, *, metadata: Metadata, blobs: Blobs) -> None:
        self._metadata, self._blobs = metadata, blobs

    def write(self, parts: Sequence[Part], *, sliced: Sequence[str] = ()) -> StateIndex:
        """Keep the states; returns the record (kind `STATE`, by table and batch) that makes them count."""
        index: list[Place] = []
        pieces, at = [], 0
        written: dict[int, tuple[int, int]] = {}  # a state that is the whole and a slice is kept once
        for part in parts:
            if id(part.state) not in written:
                raw = encoding.written(part.state)
                written[id(part.state)] = at, len(raw)
                pieces.append(raw)
                at += len(raw)
            index.append((part.partition, part.slice, part.state.rows, *written[id(part.state)]))
        digest, size = self._blobs.put(iter(pieces))
        return StateIndex(digest, size, tuple(index), tuple(sliced))

    def select(self, table: str, *, since: str = "", until: str = "", slice_: str = "", batch: str = "") -> Selected:
        """States of the partitions from `since` to `until` (both included; days, months or years), merged by partition.

        Raises Invalid where nothing is kept.
        """
        for bound in (since, until):
            if bound:
                period(bound)
        slice_ = slice_.strip()
        column, equals, _ = slice_.partition("=")
        if slice_ and (not equals or not column):
            raise Invalid(f"a slice is COLUMN=VALUE, like carrier=UA; got {slice_!r}")
        if batch:
            chosen = [Counting(name, kept, kept.places) for name, kept in self.of(table) if name == batch]
        else:
            chosen = self.counting(table)
        if not chosen:
            raise Invalid(f"there are no statistics of {table!r}" + (f" and batch {batch!r}" if batch else ""))
        found: dict[str, list[TableState]] = {}
        without, batches = [], 0
        for one in chosen:
            places = [p for p in one.places if _within(p[0], since, until)]
            if slice_ and places and column not in one.kept.sliced and one.batch:
                without.append(one.batch)
            batches += bool(one.batch) and any(p[1] == slice_ and _within(p[0], since, until) for p in one.kept.places)
            for partition, state in self._read(one.kept.digest, [p for p in places if p[1] == slice_]):
                found.setdefault(partition, []).append(state)
        if not found:
            raise Invalid(_nothing(table, since, until, slice_, [one.kept for one in chosen]))
        merged = {p: TableState.merged(found[p]) for p in sorted(found)}
        return Selected(merged, batches, tuple(without))

    def of_values(
        self, table: str, column: str, values: Collection[str], *, since: str = "", until: str = ""
    ) -> dict[str, TableState]:
        """By partition, in order, what is kept of some values of a slice column; batches that were not sliced by it
        count as a whole. Partitions without rows are left out."""
        wanted = {f"{column}={value}" for value in values}
        found: dict[str, list[TableState]] = {}
        for one in self.counting(table):
            mine = wanted if column in one.kept.sliced else {""}
            places = [p for p in one.places if p[1] in mine and p[2] and _within(p[0], since, until)]
            for partition, state in self._read(one.kept.digest, places):
                found.setdefault(partition, []).append(state)
        return {p: TableState.merged(found[p]) for p in sorted(found)}

    def of(self, table: str, *, limit: int = EVERYTHING) -> list[tuple[str, StateIndex]]:
        """Batches and what is kept of them, the newest first."""
        bodies = self._metadata.read(lambda r: r.records.list(STATE.name, table, limit=limit))
        names = [body["_key"] for body in bodies]
        return list(zip(names, STATE.all(bodies), strict=True))

    def counting(self, table: str) -> list[Counting]:
        """What counts of each batch, the oldest first, and then of what was made anew where rows were corrected."""
        batches, remade = list(reversed(self.of(table))), self.remade(table)
        if not remade:
            return [Counting(name, kept, kept.places) for name, kept in batches]
        newest: dict[str, int] = {}
        for one in remade:
            for name in one.periods:
                newest[name] = max(newest.get(name, 0), one.upto)

        def left(kept: StateIndex, position: int) -> tuple[Place, ...]:
            return tuple(p for p in kept.places if max(newest.get(over, 0) for over in periods_over(p[0])) <= position)

        found = [Counting(name, kept, left(kept, kept.first)) for name, kept in batches]
        return found + [Counting("", one.kept, left(one.kept, one.upto)) for one in remade]

    def remade(self, table: str) -> list[Remade]:
        return REMADE.all(self._metadata.read(lambda r: r.records.list(REMADE.name, table, limit=EVERYTHING)))

    def rows_counting(self, table: str) -> int | None:
        """How many rows count in a table in which rows were corrected; None where none were."""
        if not self._metadata.read(lambda r: r.records.list(REMADE.name, table, limit=1)):
            return None
        return sum(p[2] for one in self.counting(table) for p in one.places if not p[1])

    def days(self, table: str) -> list[str]:
        """The days of which something is kept, oldest first; none where it is not kept by day."""
        found = {p[0] for one in self.counting(table) for p in one.places if p[2]}
        return sorted(d for d in found if len(d) == len("2013-02-08"))

    def slices(self, table: str) -> list[str]:
        """All slices of which something is kept."""
        return sorted({p[1] for one in self.counting(table) for p in one.places} - {""})

    def _read(self, digest: str, places: Sequence[Place]) -> Iterable[tuple[str, TableState]]:
        if not places:
            return
        with self._blobs.open(digest) as file:
            for partition, _, _, at, size in places:
                file.seek(at)
                yield partition, encoding.read(file.read(size))


def periods_over(partition: str) -> tuple[str, ...]:
    """The partition itself and the periods that cover it."""
    return partition, partition[:7], partition[:4], ALL_TIME


def period(text: str) -> tuple[str, str]:
    """'2013-02', '2013-02-08' or '2013-02-01..2013-02-14' as (since, until). Raises Invalid."""
    since, dots, until = text.strip().partition("..")
    ends = (since, until if dots else since)
    if not since or any(e and _DAY.fullmatch(e) is None for e in ends):
        raise Invalid(f"a period is a day, month or year, or two of them like 2013-02-01..2013-02-14; got {text!r}")
    return ends


def _within(partition: str, since: str, until: str) -> bool:
    """Whether a partition touches the span; '2013-02' names all its days. A part without time is in every span that
    has no bounds."""
    if not since and not until:
        return True
    if not partition:
        return False
    low, high = min(len(partition), len(since)), min(len(partition), len(until))
    return (not since or partition[:low] >= since[:low]) and (not until or partition[:high] <= until[:high])


def _nothing(table: str, since: str, until: str, slice_: str, chosen: Sequence[StateIndex]) -> str:
    known = [p for kept in chosen for p in kept.places]
    days = sorted({p[0] for p in known if p[0]})
    span = f"; its statistics run from {days[0]} to {days[-1]}" if days else ""
    if slice_:
        slices = sorted({p[1] for p in known if p[1]})
        have = f"; its slices are {', '.join(slices[:12])}" if slices else "; it was ingested without slices"
        return f"there are no statistics of {table!r} where {slice_}{have}{span}"
    return f"there are no statistics of {table!r} between {since or 'its start'} and {until or 'its end'}{span}"
