"""An Arrow table as bytes in the formats that people ask for."""

from __future__ import annotations

import io
import math
from typing import Any

import orjson
import pyarrow as pa

from hanok.core.errors import Invalid

ARROW_STREAM = "application/vnd.apache.arrow.stream"
MEDIA_TYPES = {
    "json": "application/json",
    "csv": "text/csv",
    "arrow": ARROW_STREAM,
    "parquet": "application/vnd.apache.parquet",
}


def accepted(header: str) -> str:
    """The format that an Accept header asks for; JSON when it names none of ours."""
    wanted = {part.split(";")[0].strip().lower() for part in header.split(",")}
    return next((name for name, media in MEDIA_TYPES.items() if media in wanted), "json")


def encoded(table: pa.Table, form: str) -> bytes:
    """Raises Invalid for an unknown format."""
    sink = io.BytesIO()
    if form == "csv":
        from pyarrow import csv

        csv.write_csv(table, sink)
    elif form == "parquet":
        from pyarrow import parquet as pq

        pq.write_table(table, sink)
    elif form == "arrow":
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
    elif form == "json":
        return orjson.dumps(rows(table), default=str)
    else:
        raise Invalid(f"format {form[:40]!r} is not one of {', '.join(MEDIA_TYPES)}")
    return sink.getvalue()


def rows(table: pa.Table) -> list[dict[str, Any]]:
    """Rows for JSON: instants as text, NaN and infinities as text, which JSON has no number for."""
    return [{name: _plain(value) for name, value in row.items()} for row in table.to_pylist()]


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return value.isoformat() if hasattr(value, "isoformat") else value
