"""Verbs that give runs as tables."""

from __future__ import annotations

from collections.abc import Sequence

from hanok.core.access import Access
from hanok.core.json import JsonObject
from hanok.engine.arguments import Count
from hanok.engine.run_tables import RunTables
from hanok.engine.table_formats import rows
from hanok.engine.verbs.registry import verb


@verb("run.export", Access.READ, "heavy")
def export_runs(
    tables: RunTables,
    *,
    experiments: Sequence[str] = (),
    filter: str = "",
    order_by: Sequence[str] = (),
    limit: Count = 0,
    history: bool = False,
) -> Sequence[JsonObject]:
    """Runs with all metrics, params and tags as rows, or every point of them with `history`."""
    make = tables.history if history else tables.runs
    return rows(make(experiments=experiments, filter=filter, order_by=order_by, limit=limit))


@verb("sql", Access.READ, "heavy")
def sql(tables: RunTables, *, query: str, limit: Count = 10_000, timeout_s: float = 30.0) -> Sequence[JsonObject]:
    """One SELECT over experiments, runs, params, tags, metrics and history. `timeout_s` is 60 at most, and the query
    ends when its caller hangs up."""
    return rows(tables.sql(query, timeout_s=timeout_s, rows_max=limit))
