"""Verbs that give runs as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hanok.core.access import Access
from hanok.engine.run_tables import history_table, runs_table, sql_table
from hanok.engine.table_formats import rows
from hanok.engine.verbs.registry import verb


@verb("run.export", Access.READ)
def export_runs(
    app: Any,
    actor: str,
    *,
    experiments: Sequence[str] = (),
    filter: str = "",
    order_by: Sequence[str] = (),
    limit: int = 0,
    history: bool = False,
) -> list[dict[str, Any]]:
    """Runs with all metrics, params and tags as rows, or every point of them with `history`."""
    make = history_table if history else runs_table
    return rows(make(app, experiments=experiments, filter=filter, order_by=order_by, limit=limit))


@verb("sql", Access.READ)
def sql(app: Any, actor: str, *, query: str, limit: int = 10_000, timeout_s: float = 30.0) -> list[dict[str, Any]]:
    """One SELECT over experiments, runs, params, tags, metrics and history."""
    return rows(sql_table(app, query, timeout_s=min(timeout_s, 300.0), rows_max=limit))
