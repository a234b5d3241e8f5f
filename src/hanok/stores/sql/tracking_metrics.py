"""Metric points and their latest values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, text

from hanok.core.errors import RunDeleted, RunNotFound
from hanok.core.tracking import ACTIVE, Metric, PointRow
from hanok.stores.sql.rows import driver, marker

CHUNK = 500
KNOWN_MAX = 100_000
# Hot: driver SQL without SQLAlchemy, which costs more than the statements themselves. One row shape for both tables.
Row = tuple[int, int, int, int, float, int]
_COLUMNS = "(run, key, step, timestamp_ms, value, nan)"
_SIX = {
    "sqlite": "VALUES (?, ?, ?, ?, ?, ?)",
    "postgresql": "SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::float8[], "
    "%s::int[])",
}
_POINT = f"INSERT INTO metric_point {_COLUMNS} {{six}} ON CONFLICT DO NOTHING"
_LATEST = (
    f"INSERT INTO metric_latest {_COLUMNS} {{six}} ON CONFLICT (run, key) DO UPDATE SET "
    "step = excluded.step, timestamp_ms = excluded.timestamp_ms, value = excluded.value, nan = excluded.nan "
    "WHERE (excluded.step, excluded.timestamp_ms, excluded.value) > "
    "(metric_latest.step, metric_latest.timestamp_ms, metric_latest.value)"
)
_KEYS = text("SELECT name, key FROM metric_key WHERE name IN :names").bindparams(bindparam("names", expanding=True))
_ADD_KEY = text("INSERT INTO metric_key (name) VALUES (:name) ON CONFLICT (name) DO NOTHING")
_LATEST_OF = text(
    "SELECT r.id, k.name, l.value, l.timestamp_ms, l.step, l.nan FROM run r JOIN metric_latest l ON l.run = r.key "
    "JOIN metric_key k ON k.key = l.key WHERE r.id IN :ids ORDER BY k.name"
).bindparams(bindparam("ids", expanding=True))
# index: primary key of metric_point, so a page costs what it returns
_HISTORY = (
    "SELECT step, timestamp_ms, CASE WHEN nan = 1 THEN NULL ELSE value END FROM metric_point "
    "WHERE run = {0} AND key = {0} {after} ORDER BY step, timestamp_ms, metric_point.value, nan LIMIT {0}"
)
_AFTER = "AND (step, timestamp_ms, value, nan) > ({0}, {0}, {0}, {0})"


def chunks(items: Sequence[str]) -> Iterable[list[str]]:
    """`items` in pieces that fit one IN list."""
    for start in range(0, len(items), CHUNK):
        yield list(items[start : start + CHUNK])


def run_key(connection: Connection, run_id: str) -> int:
    """The integer key of a run. Raises RunNotFound."""
    key = connection.execute(text("SELECT key FROM run WHERE id = :id"), {"id": run_id}).scalar()
    if key is None:
        raise RunNotFound(f"there is no run with id {run_id[:80]!r}; list them: hanok run list", run=run_id)
    return int(key)


def active_run_key(connection: Connection, run_id: str) -> int:
    """The integer key of a run that may be written to. Raises RunNotFound, RunDeleted."""
    query = f"SELECT key, lifecycle FROM run WHERE id = {marker(connection)}"
    row = driver(connection).execute(query, (run_id,)).fetchone()
    if row is None:
        raise RunNotFound(f"there is no run with id {run_id[:80]!r}; list them: hanok run list", run=run_id)
    if row[1] != ACTIVE:
        raise RunDeleted(f"run {run_id} is deleted and takes nothing more; restore it first", run=run_id)
    return int(row[0])


def history_rows(
    connection: Connection, run_id: str, key: str, *, after: Metric | None, limit: int | None
) -> list[PointRow]:
    """Step, timestamp and value (None for NaN) of the points after `after`, in order. Raises RunNotFound."""
    run = run_key(connection, run_id)
    number = connection.execute(text("SELECT key FROM metric_key WHERE name = :name"), {"name": key}).scalar()
    if number is None:
        return []
    mark = marker(connection)
    values: list[Any] = [run, number]
    if after is not None:
        nan = math.isnan(after.value)
        values += [after.step, after.timestamp_ms, 0.0 if nan else after.value, int(nan)]
    statement = _HISTORY.format(mark, after="" if after is None else _AFTER.format(mark))
    rows: list[PointRow] = (
        driver(connection).execute(statement, (*values, 2**62 if limit is None else limit)).fetchall()
    )
    return rows


class SqlMetrics:
    def __init__(self, connection: Connection) -> None:
        self._c = connection
        self._known_keys: dict[str, int] = {}  # keys never change; whoever undoes work throws this object away

    def append(self, run_id: str, points: Sequence[Metric]) -> None:
        run = active_run_key(self._c, run_id)
        if not points:
            return
        keys = self._keys({p.key for p in points})
        rows: list[Row] = [
            (run, keys[key], step, timestamp_ms, value, 0)
            if value == value
            else (run, keys[key], step, timestamp_ms, 0.0, 1)
            for key, value, timestamp_ms, step in points
        ]
        newest: dict[int, Row] = {}
        for row in rows:
            known = newest.get(row[1])
            if known is None or row[2:5] > known[2:5]:
                newest[row[1]] = row
        self._insert(_POINT, rows)
        self._insert(_LATEST, list(newest.values()))

    def history(self, run_id: str, key: str, *, after: Metric | None = None, limit: int | None = None) -> list[Metric]:
        rows = history_rows(self._c, run_id, key, after=after, limit=limit)
        return [Metric(key, math.nan if value is None else value, at, step) for step, at, value in rows]

    def latest(self, run_ids: Sequence[str]) -> dict[str, tuple[Metric, ...]]:
        found: dict[str, list[Metric]] = {run_id: [] for run_id in run_ids}
        for ids in chunks(run_ids):
            for run_id, name, value, timestamp_ms, step, nan in self._c.execute(_LATEST_OF, {"ids": ids}):
                found[run_id].append(Metric(name, math.nan if nan else value, timestamp_ms, step))
        return {run_id: tuple(points) for run_id, points in found.items()}

    def delete(self, run_id: str, key: str) -> None:
        run = active_run_key(self._c, run_id)
        for table in ("metric_point", "metric_latest"):
            self._c.execute(
                text(f"DELETE FROM {table} WHERE run = :run AND key = (SELECT key FROM metric_key WHERE name = :name)"),
                {"run": run, "name": key},
            )

    def _insert(self, statement: str, rows: Sequence[Row]) -> None:
        dialect = self._c.dialect.name
        statement = statement.format(six=_SIX[dialect])
        if dialect == "sqlite":
            driver(self._c).executemany(statement, rows)
        else:  # one statement with six arrays: a statement for each row would be a message for each row
            driver(self._c).execute(statement, [list(column) for column in zip(*rows, strict=True)])

    def _keys(self, names: set[str]) -> dict[str, int]:
        known = self._known_keys
        if names <= known.keys():
            return known
        if len(known) > KNOWN_MAX:
            known.clear()
        known |= self._known(names)
        missing = sorted(names - known.keys())
        if missing:
            self._c.execute(_ADD_KEY, [{"name": name} for name in missing])
            known |= self._known(missing)
        return known

    def _known(self, names: Iterable[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for piece in chunks(sorted(names)):
            found.update((row[0], row[1]) for row in self._c.execute(_KEYS, {"names": piece}))
        return found
