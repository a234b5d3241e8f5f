"""Dates as people write them, as instants: a column has one spelling, and no value is read by another one."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from hanok.core.clock import utc

SPELLINGS = (
    "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y",
    "%Y/%m/%d", "%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%d-%b-%Y", "%d-%b-%y", "%Y.%m.%d", "%Y%m%d",
)  # fmt: skip
CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")


def spellings(column: pa.ChunkedArray) -> list[str]:
    """The spellings that read every text of a column; several where days and months cannot be told apart."""
    texts = pc.unique(column.drop_null()).to_pylist()
    if not texts:
        return []
    likely = [s + c for s in SPELLINGS for c in CLOCKS if _read(texts[0], s + c) is not None]
    return [s for s in likely if all(_read(t, s) is not None for t in texts)]


def read_dates(column: pa.ChunkedArray, spelling: str) -> pa.ChunkedArray:
    """Texts of this spelling as ISO 8601, which a time column reads; what is spelt otherwise stays as it is."""
    unique = pc.unique(column.drop_null()).to_pylist()
    iso = {t: found.isoformat() for t in unique if (found := _read(t, spelling)) is not None}
    return pa.chunked_array(
        [pa.array([iso.get(t, t) if t is not None else None for t in column.to_pylist()], pa.string())]
    )


def _read(text: str, spelling: str) -> datetime | None:
    try:
        return utc(datetime.strptime(text.strip(), spelling))
    except ValueError:
        return None
