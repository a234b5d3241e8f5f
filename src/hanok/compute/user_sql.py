"""One SELECT that a person wrote, over tables that are handed in: bounded in memory, time and rows."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import duckdb
import pyarrow as pa

from hanok.compute.duck import closed
from hanok.core.errors import Invalid, TooLarge

BATCH_ROWS = 10_000


def select_only(
    query: str, relations: Mapping[str, pa.Table], *, memory: str, timeout_s: float, rows_max: int
) -> pa.Table:
    """Its answer. Raises Invalid for anything but one SELECT, for wrong SQL, and when time runs out; TooLarge for an
    answer of more than `rows_max` rows or work beyond `memory`."""
    settings = {"memory_limit": memory, "threads": "2", "temp_directory": ""}
    try:
        with closed(relations, settings) as connection:
            statements = connection.extract_statements(query)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise Invalid("one SELECT is taken, nothing else; it may begin with WITH")
            alarm = threading.Timer(timeout_s, connection.interrupt)
            alarm.start()
            try:
                return _rows(connection, statements[0], rows_max)
            finally:
                alarm.cancel()
    except duckdb.InterruptException:
        raise Invalid(f"the query was stopped after {timeout_s:g} s; ask for less, or give it more time") from None
    except duckdb.OutOfMemoryException:
        raise TooLarge(f"the query needs more than {memory}; filter or aggregate earlier in it") from None
    except duckdb.Error as error:
        raise Invalid(f"the SQL cannot be run: {str(error).strip()[:500]}") from None


def _rows(connection: duckdb.DuckDBPyConnection, statement: duckdb.Statement, rows_max: int) -> pa.Table:
    reader = connection.sql(statement.query).to_arrow_reader(BATCH_ROWS)
    batches, count = [], 0
    for batch in reader:
        count += batch.num_rows
        if count > rows_max:
            raise TooLarge(f"the answer has more than {rows_max} rows; add LIMIT, or ask with a larger limit")
        batches.append(batch)
    return pa.Table.from_batches(batches, reader.schema)
