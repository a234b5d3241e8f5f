"""Key columns of label tables and of the log as the one spelling of core/keys.py, in SQL.

What has a type of its own is spelled by SQL. Texts are compared as they stand. What is spelled otherwise then (an old
log, a label table that holds text, 1e-05, a decimal 1.50) is found once, in the rows that came since the last look, and
read by the codec.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pyarrow as pa

from hanok.compute.duck import arrow, connect, literal, quoted
from hanok.core.errors import BadKey
from hanok.core.keys import EXACT_FLOATS, KeyType, canonical
from hanok.core.tables import SEQUENCE
from hanok.stores.ports import Tables

CANONICAL = {
    KeyType.INTEGER: r"0|-?[1-9][0-9]*",
    KeyType.NUMBER: r"0|-?[1-9][0-9]*|-?(0|[1-9][0-9]*)\.[0-9]*[1-9]",
    KeyType.BOOLEAN: "true|false",
    KeyType.DATE: r"[0-9]{4}-[0-9]{2}-[0-9]{2}",
    KeyType.INSTANT: r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{6})?\+00:00",
}

SPELLED_IN_MANY_WAYS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_floating, pa.types.is_decimal)


@dataclass
class _Odd:
    """Texts of a column that are spelled otherwise, as far as the table was looked at."""

    upto: int = 0
    spelled: dict[str, str] = field(default_factory=dict)


class Spellings:
    """What was found of each column of each table; looks at each row once in a process."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._odd: dict[tuple[str, str, KeyType], _Odd] = {}
        self._lock = threading.Lock()

    def odd(self, table: str, column: str, type_: pa.DataType, kind: KeyType, upto: int) -> pa.Table | None:
        """(raw, spelled) of what `spelled` gives below row `upto` that is not the one spelling; None where all is."""
        if kind not in CANONICAL or not any(is_(type_) for is_ in SPELLED_IN_MANY_WAYS):
            return None
        with self._lock:
            known = self._odd.setdefault((table, column, kind), _Odd())
            if known.upto < upto:
                known.spelled |= self._look(table, column, type_, kind, known.upto, upto)
                known.upto = upto
            if not known.spelled:
                return None
            raw = list(known.spelled)
            return pa.table({"raw": pa.array(raw, pa.string()), "spelled": [known.spelled[r] for r in raw]})

    def _look(self, table: str, column: str, type_: pa.DataType, kind: KeyType, low: int, high: int) -> dict[str, str]:
        name = spelled(quoted(column), type_, kind)
        with connect({"rows": self._tables.scan(table, upto=high, first=low)}) as duck:
            found = arrow(
                duck,
                f"SELECT DISTINCT {name} AS raw FROM rows WHERE {SEQUENCE} >= {int(low)} AND {name} IS NOT NULL "
                f"AND NOT regexp_full_match({name}, {literal(CANONICAL[kind])})",
            )
        made = {}
        for raw in found.column("raw").to_pylist():
            try:
                made[raw] = canonical(kind, raw, name=column)
            except BadKey:  # names no entity of this type: it matches nothing but itself
                continue
        return made


def spelled(name: str, column: pa.DataType, kind: KeyType) -> str:
    """SQL for a column's values in the one spelling of `kind`, but for those that are `odd`; null where a value is
    none. Text stays as it is."""
    if pa.types.is_string(column) or pa.types.is_large_string(column):
        return name
    if pa.types.is_integer(column):
        return f"CAST({name} AS VARCHAR)" if kind in (KeyType.INTEGER, KeyType.NUMBER, KeyType.TEXT) else "NULL"
    if pa.types.is_boolean(column):
        return f"CAST({name} AS VARCHAR)" if kind is KeyType.BOOLEAN else "NULL"
    if pa.types.is_floating(column):
        exact = f"{name} = trunc({name}) AND abs({name}) < {EXACT_FLOATS}"
        whole = f"CASE WHEN {exact} THEN CAST(CAST({name} AS BIGINT) AS VARCHAR)"
        shortest = f"CASE WHEN isfinite({name}) THEN CAST(CAST({name} AS DOUBLE) AS VARCHAR) END"
        other = shortest if kind is KeyType.NUMBER else "NULL"
        return f"{whole} ELSE {other} END" if kind in (KeyType.INTEGER, KeyType.NUMBER, KeyType.TEXT) else "NULL"
    if pa.types.is_timestamp(column) or pa.types.is_date(column):
        return _spelled_time(name, kind)
    return f"CAST({name} AS VARCHAR)"


def _spelled_time(name: str, kind: KeyType) -> str:
    utc = f"(CAST({name} AS TIMESTAMPTZ) AT TIME ZONE 'UTC')"
    if kind is KeyType.DATE:
        return f"CASE WHEN {utc} = date_trunc('day', {utc}) THEN strftime({utc}, '%Y-%m-%d') END"
    if kind is not KeyType.INSTANT:
        return "NULL"
    return (
        f"strftime({utc}, '%Y-%m-%dT%H:%M:%S') || "
        f"CASE WHEN epoch_us({utc}) % 1000000 = 0 THEN '' ELSE strftime({utc}, '.%f') END || '+00:00'"
    )
