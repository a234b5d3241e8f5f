"""Runs as Arrow tables: one row for each run or each point, and SQL over all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import pyarrow as pa
from pyarrow import compute as pc

from hanok.compute.user_sql import Limits
from hanok.core.errors import Invalid, TooLarge
from hanok.core.tracking import Run, RunQuery
from hanok.engine.executors.inline import Executing
from hanok.engine.finding import experiment_of
from hanok.parts.access import GuardedMetadata
from hanok.parts.tracking.service import Tracking
from hanok.stores.ports import Repositories
from hanok.stores.ports_upkeep import TABLES
from hanok.wire.mlflow.search import parse_filter, parse_order

PAGE = 1000
SQL_ROWS_MAX, SQL_POINTS_MAX = 1_000_000, 20_000_000
SQL_MEMORY, SQL_SECONDS_MAX = "512MB", 60.0
_AT = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class RunTables:
    """Made of an App by `parts.find`."""

    tracking: Tracking
    metadata: GuardedMetadata
    executing: Executing

    def runs(
        self,
        *,
        experiments: Sequence[str] = (),
        filter: str = "",
        order_by: Sequence[str] = (),
        limit: int = 0,
    ) -> pa.Table:
        """A row for each run that matches (all without `limit`): what it is, then metrics.*, params.* and tags.*."""
        runs = list(self._found(experiments, filter, order_by, limit))
        known = self.tracking.experiments.search(lifecycles=("active", "deleted"), limit=10**6)
        names = {e.id: e.name for e in known.items}
        columns: dict[str, pa.Array] = {
            "run_id": pa.array([r.id for r in runs], pa.string()),
            "experiment": pa.array([names.get(r.experiment_id) for r in runs], pa.string()),
            "name": pa.array([r.name for r in runs], pa.string()),
            "status": pa.array([r.status for r in runs], pa.string()),
            "user": pa.array([r.user for r in runs], pa.string()),
            "started": pa.array([r.started for r in runs], _AT),
            "ended": pa.array([r.ended for r in runs], _AT),
        }
        latest = [r.latest for r in runs]
        for key in sorted({key for values in latest for key in values}):
            columns[f"metrics.{key}"] = pa.array([values.get(key) for values in latest], pa.float64())
        for kind in ("params", "tags"):
            held = [getattr(r, kind) for r in runs]
            for key in sorted({key for values in held for key in values}):
                columns[f"{kind}.{key}"] = pa.array([values.get(key) for values in held], pa.string())
        return pa.table(columns)

    def history(
        self,
        *,
        experiments: Sequence[str] = (),
        filter: str = "",
        order_by: Sequence[str] = (),
        limit: int = 0,
    ) -> pa.Table:
        """A row for each point of the runs that match: run_id, key, value, step, timestamp."""
        runs = list(self._found(experiments, filter, order_by, limit))
        within = sorted({r.experiment_id for r in runs})
        points = self.metadata.read(lambda r: r.run_tables.table("history", within))
        return points.filter(pc.is_in(points.column("run_id"), pa.array([r.id for r in runs], pa.string())))

    def sql(self, query: str, *, timeout_s: float = 30.0, rows_max: int = SQL_ROWS_MAX) -> pa.Table:
        """The answer of one SELECT over the tables of TABLES. It reads nothing else, and takes no
        longer than SQL_SECONDS_MAX. Raises Invalid, TooLarge."""
        words = {word.lower() for word in re.findall(r"\w+", query)}
        named = [name for name in TABLES if name in words]
        relations = {name: self.metadata.read(partial(_table, name)) for name in named}
        points = relations["history"].num_rows if "history" in relations else 0
        if points > SQL_POINTS_MAX:
            raise TooLarge(
                f"there are {points} points, SQL takes {SQL_POINTS_MAX}: export them to Parquet instead, and query the "
                "file: hanok run export --history --format parquet"
            )
        limits = Limits(SQL_MEMORY, min(timeout_s, SQL_SECONDS_MAX), rows_max)
        return self.executing.queries.select(query, relations, limits)

    def _found(self, experiments: Sequence[str], filter: str, order_by: Sequence[str], limit: int) -> Iterator[Run]:
        if limit < 0:
            raise Invalid(f"limit is {limit}; it must be 0 (all) or more")
        ids = [experiment_of(self.tracking, e).id for e in experiments]
        if not ids:
            ids = [e.id for e in self.tracking.experiments.search(limit=10**6).items]
        query = RunQuery(ids, parse_filter(filter), parse_order(order_by), limit=PAGE)
        return islice(self._pages(query), limit or None)

    def _pages(self, query: RunQuery) -> Iterator[Run]:
        offset: int | None = 0
        while offset is not None:
            page = self.tracking.runs.search(replace(query, offset=offset))
            yield from page.items
            offset = page.next_offset


def _table(name: str, repositories: Repositories) -> pa.Table:
    return repositories.run_tables.table(name)
