"""From what a training script has at hand to what a run keeps."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

from hanok.core.errors import Invalid
from hanok.core.tracking import CONTEXT_TAG, Dataset, DatasetInput, dataset_id


def number(key: str, value: Any) -> float:
    """A float of a number, a NumPy scalar, or a tensor with one value. Raises Invalid."""
    try:
        return float(value.item() if hasattr(value, "item") else value)
    except (TypeError, ValueError, RuntimeError):
        raise Invalid(f"metric {key!r} is {str(value)[:80]!r}, which is no number; text belongs in params") from None


def content_of(value: Any, name: str) -> bytes:
    """Bytes, text, a Matplotlib figure (PNG, or as the name ends), an image with `save`, an Arrow table (Parquet), or
    anything JSON. Raises Invalid."""
    suffix = Path(name).suffix.lower()
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, str):
        return value.encode()
    sink = io.BytesIO()
    if hasattr(value, "savefig"):
        value.savefig(sink, format=suffix[1:] or "png")
        return sink.getvalue()
    if hasattr(value, "save") and hasattr(value, "mode"):
        value.save(sink, format=suffix[1:].upper().replace("JPG", "JPEG") or "PNG")
        return sink.getvalue()
    if hasattr(value, "__arrow_c_stream__") or hasattr(value, "schema"):
        from pyarrow import parquet as pq

        pq.write_table(table_of(value), sink)
        return sink.getvalue()
    try:
        return json.dumps(value, indent=2, default=str).encode()
    except (TypeError, ValueError) as error:
        raise Invalid(f"artifact {name!r} is a {type(value).__name__}, which cannot be kept: {error}") from None


def table_of(data: Any) -> Any:
    """An Arrow table of an Arrow table, a pandas or Polars frame, or a matrix (columns x0, x1, ...)."""
    import pyarrow as pa

    if isinstance(data, pa.Table):
        return data
    if hasattr(data, "__arrow_c_stream__"):
        return pa.table(data)
    if hasattr(data, "columns"):
        return pa.Table.from_pandas(data, preserve_index=False)
    import numpy as np

    matrix = np.asarray(data)
    if matrix.ndim == 1:
        matrix = matrix.reshape(-1, 1)
    if matrix.ndim != 2:
        raise Invalid(f"a table has two dimensions, this has {matrix.ndim}")
    return pa.table({f"x{i}": matrix[:, i] for i in range(matrix.shape[1])})


def described(data: Any, name: str, context: str) -> DatasetInput:
    """A dataset by the digest of its content: a file's bytes, or a table's columns."""
    tags = {CONTEXT_TAG: context} if context else {}
    if isinstance(data, str | Path):
        path = Path(data)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:36]
        profile = json.dumps({"size_bytes": path.stat().st_size})
        source = json.dumps({"uri": str(path)})
        called = name or path.name
        made = Dataset(dataset_id(called, digest, source), called, digest, "local", source, "", profile)
        return DatasetInput(made, tags)
    table = table_of(data)
    digest = _digest(table)
    schema = json.dumps({"mlflow_colspec": [{"name": f.name, "type": str(f.type)} for f in table.schema]})
    profile = json.dumps({"num_rows": table.num_rows, "num_elements": table.num_rows * table.num_columns})
    called = name or "dataset"
    made = Dataset(dataset_id(called, digest, "{}"), called, digest, "code", "{}", schema[:1_000_000], profile)
    return DatasetInput(made, tags)


def _digest(table: Any) -> str:
    """Of names, types and values, however the table lies in memory."""
    import pyarrow as pa

    hashed = hashlib.sha256()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema.remove_metadata()) as stream:
        stream.write_table(table.replace_schema_metadata(None).combine_chunks(), max_chunksize=65_536)
    hashed.update(sink.getvalue())
    return hashed.hexdigest()[:36]
