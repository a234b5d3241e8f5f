"""What two tables do not share: columns that a comparison of values would leave out without a word."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from hanok.compute.values import column_type, flattened, is_nested
from hanok.core.names import folded

FEW_ROWS = 100
ROWS_MIN = 20  # two bins in which ten rows are expected
NUMBERS = {"INT", "FLOAT"}
NEARLY = 0.95  # distinct numbers are estimated where rows are not read
GAPS = 2
GIVEN_OUT = "is not compared: it numbers the rows, and numbers that are given out always move on"

Numbers: TypeAlias = tuple[int, int, int, int]  # rows, distinct values, the least and the greatest


@dataclass(frozen=True, slots=True)
class Unlike:
    """A column (or all of them: no name), what is said of it, and whether that is a fault of the later table."""

    column: str
    why: str
    fault: bool


def unlike(before: pa.Table, after: pa.Table) -> list[Unlike]:
    """Columns that are gone, spelt otherwise, went empty or changed their type; then what is left out for no fault."""
    before, after = flattened(before), flattened(after)
    spelt = {folded(n): n for n in after.column_names if n not in before.column_names}
    found = [u for n in before.column_names for u in _column(n, before, after, spelt)]
    new = [n for n in spelt.values() if folded(n) not in {folded(b) for b in before.column_names}]
    found += [Unlike(n, "is new: there is nothing to compare it with", False) for n in new]
    rows = min(before.num_rows, after.num_rows)
    if rows < ROWS_MIN:
        why = f"one side has {rows} rows only, too few to compare values by: {ROWS_MIN} are needed"
        found.append(Unlike("", why, False))
    elif rows < FEW_ROWS:
        found.append(Unlike("", f"one side has {rows} rows only: a small change cannot be told from chance", False))
    return sorted(found, key=lambda u: not u.fault)


def _column(name: str, before: pa.Table, after: pa.Table, spelt: dict[str, str]) -> Iterator[Unlike]:
    if name not in after.column_names:
        other = spelt.get(folded(name))
        yield Unlike(name, f"is there as {other!r} now" if other else "is gone", True)
        return
    a, b = before.column(name), after.column(name)
    was, now = column_type(a.type), column_type(b.type)
    had, has = _values(a), _values(b)
    if had and not has:
        yield Unlike(name, f"went empty: {had} of {len(a)} rows had a value before", True)
    elif has and not had:
        yield Unlike(name, f"was empty and has a value in {has} of {len(b)} rows now", False)
    elif not has:
        yield Unlike(name, "is not compared: it has no value on either side", False)
    elif was != now and not {was, now} <= NUMBERS:
        yield Unlike(name, f"was {was} and is {now}", True)
    elif is_nested(a.type) or is_nested(b.type):
        yield Unlike(name, f"is not compared: it is {a.type}, more than one value a cell", False)
    elif was == "TIMESTAMP":
        yield Unlike(name, "is not compared: times always move on", False)
    elif counted_on(a, b):
        yield Unlike(name, GIVEN_OUT, False)


def counted_on(before: pa.ChunkedArray, after: pa.ChunkedArray) -> bool:
    """Whether a column numbers its rows and the later table goes on: such numbers are given out, not measured."""
    if not (pa.types.is_integer(before.type) and pa.types.is_integer(after.type)):
        return False
    if before.null_count or after.null_count or min(len(before), len(after)) < ROWS_MIN:
        return False
    sides = [pc.min_max(c).as_py() for c in (before, after)]
    spans = [
        (len(c), pc.count_distinct(c).as_py(), s["min"], s["max"]) for c, s in zip((before, after), sides, strict=True)
    ]
    return numbers_go_on(spans[0], spans[1])


def numbers_go_on(before: Numbers, after: Numbers) -> bool:
    """Each number once, hardly a gap between them, and all of it further up than before."""
    dense = all(distinct >= NEARLY * rows and high - low < GAPS * rows for rows, distinct, low, high in (before, after))
    return dense and after[2] > before[2] and after[3] > before[3]


def _values(column: pa.ChunkedArray) -> int:
    """Cells with a value; a text of blanks alone is none."""
    present = column.drop_null()
    if pa.types.is_string(present.type) or pa.types.is_large_string(present.type):
        return len(present) - int(pc.sum(pc.equal(pc.utf8_trim_whitespace(present), "")).as_py() or 0)
    return len(present)
