"""python -m bench.validation.speed [rows]: CPU seconds beside Parquet decoding and a plain DuckDB aggregate.

20 mixed columns: 8 floats, 1 zero-inflated, 5 integers, 4 texts (10, 100, 1,000 values, and identifiers), a boolean and
a time; 1 % nulls in half of them. Each figure is of a process of its own, with its peak memory.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet as pq

from bench.tools import row

ROWS = 1_000_000
GROUP = 1 << 20


def table(n, seed):
    rng = np.random.default_rng(seed)
    columns = {}
    for i in range(8):
        values = rng.normal(size=n) * 10**i
        columns[f"f{i}"] = pa.array(values, mask=rng.random(n) < 0.01) if i % 2 else pa.array(values)
    columns["zeros"] = pa.array(np.where(rng.random(n) < 0.9, 0.0, rng.exponential(size=n)))
    for i, top in enumerate((10, 100, 10_000, 1_000_000, 1 << 40)):
        columns[f"i{i}"] = pa.array(rng.integers(0, top, n), mask=rng.random(n) < 0.01)
    for k in (10, 100, 1000):
        columns[f"c{k}"] = pa.array([f"value {j}" for j in range(k)]).take(pa.array(rng.integers(0, k, n)))
    columns["id"] = pa.array(rng.integers(0, 1 << 40, n)).cast(pa.string())
    columns["flag"] = pa.array(rng.random(n) < 0.2)
    columns["at"] = pa.array(rng.integers(1.6e15, 1.7e15, n), pa.timestamp("us"))
    return pa.table(columns)


def written(path, n):
    with pq.ParquetWriter(path, table(1, 0).schema) as out:
        for seed, at in enumerate(range(0, n, GROUP)):
            out.write_table(table(min(GROUP, n - at), seed))
    return path


def decode(path):
    for batch in pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20).iter_batches(1 << 17):
        del batch


def duckdb_aggregate(path):
    import duckdb

    schema = pq.read_schema(path)
    parts = ["count(*)"]
    for field in schema:
        c = f'"{field.name}"'
        parts += [f"count({c})", f"approx_count_distinct({c})", f"min({c})", f"max({c})"]
        if pa.types.is_floating(field.type) or pa.types.is_integer(field.type):
            parts += [f"avg({c})", f"stddev({c})", f"count(*) FILTER (WHERE {c} = 0)",
                      f"approx_quantile({c}, [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99])"]  # fmt: skip
        if pa.types.is_string(field.type):
            parts += [f"approx_top_k({c}, 20)", f"min(length({c}))", f"max(length({c}))", f"avg(length({c}))"]
    duckdb.sql(f"SELECT {', '.join(parts)} FROM '{path}'").fetchall()


def statistics(path):
    from hanok.compute.duck import ParquetFiles
    from hanok.compute.statistics import measure as measure_relation

    measure_relation(ParquetFiles.of(path))


def suite():
    """45 rules, of which some fail for single rows."""
    from hanok.core.checks import Check

    check = Check("bench").has_size("> 1000")
    for i in range(8):
        check = (
            check.has_completeness(f"f{i}", ">= 0.9")
            .has_min(f"f{i}", "<= 0")
            .has_max(f"f{i}", "> 0")
            .has_mean(f"f{i}", "< 1e9")
        )
    check = check.is_non_negative("zeros").is_non_negative("i0").is_non_negative("i1").is_complete("i1")
    check = check.has_pattern("c10", "^value").has_min_length("c100", ">= 7").has_max_length("c1000", "<= 9")
    check = (
        check.is_contained_in("c10", [f"value {i}" for i in range(9)])
        .satisfies("i0 < 9")
        .has_standard_deviation("f0", "> 0")
    )
    return check.is_complete("id").is_complete("flag")


def one_select(path):
    import duckdb

    parts = ["count(*)"]
    for i in range(8):
        parts += [f"count(f{i})", f"min(f{i})", f"max(f{i})", f"avg(f{i})"]
    parts += [f"count(*) FILTER (WHERE {c} >= 0 OR {c} IS NULL)" for c in ("zeros", "i0", "i1")]
    parts += ["count(i1)", "count(*) FILTER (WHERE regexp_matches(c10, '^value'))", "min(length(c100))"]
    values = ", ".join(f"'value {i}'" for i in range(9))
    parts += ["max(length(c1000))", f"count(*) FILTER (WHERE c10 IN ({values}))", "count(*) FILTER (WHERE i0 < 9)"]
    parts += ["stddev_pop(f0)", "count(id)", "count(flag)"]
    duckdb.sql(f"SELECT {', '.join(parts)} FROM '{path}'").fetchall()


def checks(path):
    from hanok.compute.duck import ParquetFiles
    from hanok.parts.validation.suites import run

    result = run(ParquetFiles.of(path), [suite()], rows=5)
    assert sum(o.status == "Failure" for o in result.outcomes) >= 3, result.status


def drift(path):
    from hanok.compute.alarms import judge
    from hanok.compute.profiling import compare_tables

    rows = pq.read_table(path)
    half = rows.num_rows // 2
    judge(compare_tables(rows.slice(0, half), rows.slice(half)))


MEASURES = {f.__name__: f for f in (decode, duckdb_aggregate, statistics, one_select, checks, drift)}


def measured(name, path):
    """(CPU seconds, peak MB) of a process that does one thing, less one that only imports it."""
    found = []
    for what in ("nothing", name):
        done = subprocess.run(
            [sys.executable, "-m", "bench.validation.speed", what, str(path)],
            capture_output=True,
            text=True,
            check=True,
        )
        cpu, peak = done.stdout.split()[-2:]
        found.append((float(cpu), float(peak)))
    return found[1][0] - found[0][0], found[1][1]


def merging():
    """CPU milliseconds to merge 365 daily states of 20 columns as they were stored, and to read them from bytes."""
    from hanok.compute.encoding import read, written
    from hanok.compute.states import TableState

    rows = table(365 * 1000, 7)
    days = [TableState.of(b) for b in rows.to_batches(max_chunksize=1000)]
    raw = [written(d) for d in days]
    reads, merges = [], []
    for _ in range(5):
        started = time.process_time()
        states = [read(one) for one in raw]
        ready = time.process_time()
        TableState.merged(states)
        reads.append(ready - started)
        merges.append(time.process_time() - ready)
    return 1000 * min(merges), 1000 * min(reads), sum(map(len, raw)) / len(raw)


def serving(batch_rows):
    """CPU microseconds a row to keep the statistics of 20 served columns."""
    from hanok.compute.serving_statistics import ServingStatistics

    batches = table(200_000, 9).to_batches(max_chunksize=batch_rows)
    kept = ServingStatistics()
    started = time.process_time()
    for batch in batches:
        kept.add(batch)
    kept.state()
    return (time.process_time() - started) / 200_000 * 1e6


def measure(n=ROWS):
    rows = []
    with tempfile.TemporaryDirectory(prefix="hanok-bench-") as folder:
        path = written(Path(folder) / "rows.parquet", n)
        spent = {}
        for name in ("decode", "duckdb_aggregate", "statistics", "one_select", "checks"):
            spent[name], peak = measured(name, path)
            rows.append(row(f"{name}, {n:,} x 20", spent[name], "CPU s", f"{peak:.0f} MB"))
        rows.append(row("statistics / DuckDB aggregate", spent["statistics"] / spent["duckdb_aggregate"], "x"))
        rows.append(row("45 checks and broken rows / one select", spent["checks"] / spent["one_select"], "x"))
        twice = written(Path(folder) / "twice.parquet", 2_000_000)
        seconds, peak = measured("drift", twice)
        rows.append(row("drift of 20 columns, 1M against 1M", seconds, "CPU s", f"{peak:.0f} MB"))
    merge, read, size = merging()
    rows.append(
        row("merge of 365 states x 20 columns", merge, "ms", f"{read:.0f} ms to read them, {size / 1000:.0f} kB each")
    )
    for size in (64, 1000):
        rows.append(row(f"serving statistics, batches of {size}", serving(size), "us a row"))
    return rows


if __name__ == "__main__":
    if len(sys.argv) == 3:
        import hanok.compute.profiling
        import hanok.parts.validation.suites  # noqa: F401

        MEASURES.get(sys.argv[1], lambda path: None)(sys.argv[2])
        usage = resource.getrusage(resource.RUSAGE_SELF)
        print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000)
    else:
        for line in measure(int(sys.argv[1]) if len(sys.argv) == 2 else ROWS):
            print(f"  {line['what']:<48} {line['value']:>8}  {line['unit']:<9} {line['note']}", flush=True)
