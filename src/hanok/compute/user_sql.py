"""One SELECT that a person wrote, over tables that are handed in: bounded in memory, time and rows."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from hanok.compute.duck import Relation, closed
from hanok.core.clock import wall_seconds
from hanok.core.errors import Cancelled, Invalid, TooLarge

BATCH_ROWS = 10_000
LOOK_S = 0.05
_QUERY = re.compile(
    r"(?:\s|\(|--[^\n]*(?:\n|$)|/\*(?:[^*]|\*(?!/))*\*/)*(?:SELECT|WITH|FROM)(?=[\s(*\"']|--|/\*)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one query: `memory` as DuckDB writes it ("512MB", "2GB")."""

    memory: str
    timeout_s: float
    rows_max: int

    @property
    def megabytes(self) -> int:
        return int(self.memory[:-2]) * {"MB": 1, "GB": 1000}[self.memory[-2:]]


def is_query(text: str) -> bool:
    """Whether a text is meant as a SELECT: it begins with SELECT, WITH or FROM, behind comments and brackets."""
    return _QUERY.match(text) is not None


def select_only(
    query: str, relations: Mapping[str, Relation], limits: Limits, gone: Callable[[], bool] = lambda: False
) -> pa.Table:
    """Its answer. Raises Invalid for anything but one SELECT, for wrong SQL, and when time runs out; TooLarge for an
    answer of too many rows or work beyond the memory; Cancelled when `gone` says that nobody waits any more."""
    settings = {"memory_limit": limits.memory, "threads": "2", "temp_directory": ""}
    try:
        with closed(relations, settings) as connection:
            statements = connection.extract_statements(query)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise Invalid("one SELECT is taken, nothing else; it may begin with WITH")
            with _ended(connection, limits.timeout_s, gone):
                return _rows(connection, statements[0], limits.rows_max)
    except duckdb.InterruptException:
        if gone():
            raise Cancelled("the query was stopped: its caller hung up") from None
        raise stopped(limits) from None
    except duckdb.OutOfMemoryException:
        raise too_large(limits) from None
    except duckdb.Error as error:
        raise Invalid(f"the SQL cannot be run: {str(error).strip()[:500]}") from None


def stopped(limits: Limits) -> Invalid:
    return Invalid(f"the query was stopped after {limits.timeout_s:g} s; ask for less, or give it more time")


def too_large(limits: Limits) -> TooLarge:
    return TooLarge(f"the query needs more than {limits.memory}; filter or aggregate earlier in it")


@contextmanager
def _ended(connection: duckdb.DuckDBPyConnection, timeout_s: float, gone: Callable[[], bool]) -> Iterator[None]:
    """Interrupt what the block runs when its time is over or nobody waits for it."""
    over, until = threading.Event(), wall_seconds() + timeout_s

    def watch() -> None:
        while not over.wait(min(LOOK_S, max(0.0, until - wall_seconds()))):
            if wall_seconds() >= until or gone():
                connection.interrupt()
                over.wait(LOOK_S)

    watcher = threading.Thread(target=watch, name="hanok-sql-time", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _rows(connection: duckdb.DuckDBPyConnection, statement: duckdb.Statement, rows_max: int) -> pa.Table:
    reader = connection.sql(statement.query).to_arrow_reader(BATCH_ROWS)
    batches, count = [], 0
    for batch in reader:
        count += batch.num_rows
        if count > rows_max:
            raise TooLarge(f"the answer has more than {rows_max} rows; add LIMIT, or ask with a larger limit")
        batches.append(batch)
    return pa.Table.from_batches(batches, reader.schema)
