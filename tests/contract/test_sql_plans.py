"""What SQLite does for the hot queries: counted steps and query plans."""

import sqlite3
from datetime import UTC, datetime, timedelta

from hanok.core.traces import TraceQuery
from hanok.core.tracking import All, Comparison, Metric, Order, Run, RunQuery
from hanok.stores.sql import SqlMetadata
from hanok.stores.sql.rows import driver

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def a_run(run_id, *, experiment="0", minutes=0, **more):
    started = NOW + timedelta(minutes=minutes)
    return Run(run_id, experiment, run_id, started, f"mlflow-artifacts:/{experiment}/{run_id}/artifacts", **more)


def test_the_search_for_a_metric_goes_through_primary_keys(tmp_path):
    SqlMetadata.at(tmp_path / "h.db").close()
    plan = sqlite3.connect(tmp_path / "h.db").execute(
        "EXPLAIN QUERY PLAN SELECT 1 FROM run WHERE run.experiment IN (1) AND run.lifecycle IN ('active') AND EXISTS "
        "(SELECT 1 FROM metric_latest f WHERE f.run = run.key AND f.key = (SELECT key FROM metric_key WHERE name = 'm')"
        " AND f.value > 1)"
    )
    steps = [row[3] for row in plan]
    assert not [step for step in steps if step.startswith("SCAN")], steps


def _steps(metadata, work):
    """How many instructions SQLite's machine runs for a write: what it costs, whatever else the computer does."""
    counted = [0]

    def one(r):
        connection = driver(r.metrics._c)
        connection.set_progress_handler(lambda: counted.__setitem__(0, counted[0] + 1), 1)
        try:
            work(r)
        finally:
            connection.set_progress_handler(None, 1)

    metadata.write(one)
    return counted[0]


def test_a_retried_batch_costs_the_same_however_long_the_history_is(tmp_path):
    metadata = SqlMetadata.at(tmp_path / "h.db")
    metadata.write(lambda r: r.runs.add(a_run("a" * 32)))
    batch = [Metric("m", float(i), i, i) for i in range(1000)]
    metadata.write(lambda r: r.metrics.append("a" * 32, batch))
    short = _steps(metadata, lambda r: r.metrics.append("a" * 32, batch))
    for start in range(1000, 100_000, 1000):
        more = [Metric("m", float(i), i, i) for i in range(start, start + 1000)]
        metadata.write(lambda r: r.metrics.append("a" * 32, more))
    long = _steps(metadata, lambda r: r.metrics.append("a" * 32, batch))
    assert len(metadata.read(lambda r: r.metrics.history("a" * 32, "m"))) == 100_000
    assert long <= 1.05 * short
    metadata.close()


def test_a_page_of_runs_and_a_history_are_indexed_reads(tmp_path):
    metadata = SqlMetadata.at(tmp_path / "h.db")
    said = []

    def work(r):
        driver(r.runs._c).set_trace_callback(said.append)
        r.runs.add(a_run("a" * 32, tags={"t": "1"}))
        r.metrics.append("a" * 32, [Metric("m", 1.0, 1)])
        wanted = All((Comparison("metric", "m", ">", 0.0), Comparison("tag", "t", "=", "1")))
        r.run_listings.page(RunQuery(["0"], filter=wanted, order=[Order("metric", "m")]))
        r.run_listings.history("a" * 32, "m", after=Metric("m", 0.0, 0), limit=10)
        driver(r.runs._c).set_trace_callback(None)

    metadata.write(work)
    metadata.close()
    selects = [statement for statement in said if statement.startswith("SELECT")]
    assert len(selects) > 8
    connection = sqlite3.connect(tmp_path / "h.db")
    for statement in selects:
        plan = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + statement)]
        assert not [step for step in plan if step.startswith("SCAN") and "json_each" not in step], (statement, plan)
    connection.close()


def test_a_search_goes_through_the_index_of_experiment_and_start(tmp_path):
    from sqlalchemy import create_engine, text

    from hanok.stores.sql import SqlMetadata
    from hanok.stores.sql.traces_search import statement

    SqlMetadata.at(tmp_path / "x.db").close()
    sql, values = statement("trace.id", TraceQuery(["0"], Comparison("tag", "env", "=", "prod")), "sqlite")
    with create_engine(f"sqlite:///{tmp_path / 'x.db'}").connect() as connection:
        plan = " ".join(row[3] for row in connection.execute(text(f"EXPLAIN QUERY PLAN {sql}"), values))
    assert "trace_experiment_started" in plan and "SCAN p" not in plan
