"""MLflow's scoring formats: exactly one of dataframe_split, dataframe_records, instances, inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from hanok.core.errors import SignatureMismatch
from hanok.core.serving import Signature

FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")


def decode(body: bytes, signature: Signature) -> dict[str, Sequence[Any]]:
    """Columns by input name. Raises SignatureMismatch."""
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise SignatureMismatch(f"the body is not JSON: {error}") from None
    given = [f for f in FORMATS if isinstance(request, dict) and f in request]
    if len(given) != 1:
        raise SignatureMismatch(f"the body has {len(given)} of {', '.join(FORMATS)}; it needs exactly one")
    content = request[given[0]]
    if given[0] == "dataframe_split":
        if not isinstance(content, dict) or not {"columns", "data"} <= set(content):
            raise SignatureMismatch("dataframe_split is an object with columns and data")
        return _from_rows(content["columns"], content["data"])
    if isinstance(content, dict):
        columns: dict[str, Sequence[Any]] = {str(k): v if isinstance(v, list) else [v] for k, v in content.items()}
        if len({len(v) for v in columns.values()}) > 1:
            raise SignatureMismatch("the columns have different lengths")
        return columns
    if not isinstance(content, list):
        raise SignatureMismatch(f"{given[0]} is a list of rows")
    if content and isinstance(content[0], dict):
        names = [c.name for c in signature.inputs]
        return {n: [row.get(n) if isinstance(row, dict) else None for row in content] for n in names}
    return _from_rows([c.name for c in signature.inputs], content)


def _from_rows(names: Any, rows: Any) -> dict[str, Sequence[Any]]:
    if not isinstance(rows, list) or not isinstance(names, list):
        raise SignatureMismatch("columns and data are lists")
    for row in rows:
        if not isinstance(row, list) or len(row) != len(names):
            raise SignatureMismatch(
                f"a row has {len(row) if isinstance(row, list) else 1} values for {len(names)} columns"
            )
    return {str(n): [row[i] for row in rows] for i, n in enumerate(names)}


def encode(predictions: Sequence[Any], ids: Sequence[str]) -> bytes:
    return orjson.dumps({"predictions": list(predictions), "prediction_ids": list(ids)})


def error(code: str, message: str) -> bytes:
    return orjson.dumps({"error_code": code, "message": message})


def checked(columns: Mapping[str, Sequence[Any]], signature: Signature) -> Mapping[str, Sequence[Any]]:
    """The columns the model takes; MLflow ignores further ones."""
    names = [c.name for c in signature.inputs]
    if missing := [n for n in names if n not in columns]:
        raise SignatureMismatch(f"column {missing[0]!r} is missing; the model takes {', '.join(names)}")
    return {n: columns[n] for n in names}
