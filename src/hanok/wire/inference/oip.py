"""Open Inference Protocol v2 over JSON.

A request names one tensor for each input of the signature, or gives one numeric matrix (rows, inputs) in the
signature's order. The reply's outputs are `predict` (the score, or a row of probabilities) and, for classes, `label`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import orjson

from hanok.core.errors import SignatureMismatch, TooLarge
from hanok.core.serving import Signature

NUMERIC = {"FP16", "FP32", "FP64", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "BOOL"}
ROWS_MAX = 100_000
PLATFORM = "hanok"


class _Tensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class _Output(msgspec.Struct):
    name: str


class _Request(msgspec.Struct):
    inputs: list[_Tensor]
    id: str = ""
    outputs: list[_Output] | None = None
    parameters: dict[str, Any] = {}


class Infer(msgspec.Struct, frozen=True):
    """A decoded request: columns by input name, the id to echo, and the outputs asked for (None: all)."""

    columns: dict[str, Sequence[Any]]
    id: str
    outputs: tuple[str, ...] | None
    entity: dict[str, Any]


_decoder = msgspec.json.Decoder(_Request)


def decode(body: bytes, signature: Signature) -> Infer:
    """Raises SignatureMismatch that names the tensor and what is wrong with it."""
    try:
        request = _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise SignatureMismatch(f"not an inference request: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SignatureMismatch(f"the body is not JSON: {error}") from None
    if not request.inputs:
        raise SignatureMismatch("inputs is empty")
    known = [c.name for c in signature.inputs]
    only = request.inputs[0]
    if (len(request.inputs) == 1 and only.name not in known) or (
        len(only.shape) == 2 and only.shape[1] == len(known) > 1
    ):
        columns = _matrix(only, signature)
    else:
        columns = {t.name: _column(t, signature) for t in request.inputs}
        if missing := [n for n in known if n not in columns]:
            raise SignatureMismatch(f"input {missing[0]!r} is missing; the model takes {', '.join(known)}")
        if extra := [n for n in columns if n not in known]:
            raise SignatureMismatch(f"the model has no input {extra[0]!r}; it takes {', '.join(known)}")
    outputs = None if request.outputs is None else tuple(o.name for o in request.outputs)
    if outputs and (unknown := [o for o in outputs if o not in output_names(signature)]):
        raise SignatureMismatch(
            f"the model has no output {unknown[0]!r}; it gives {', '.join(output_names(signature))}"
        )
    entity = request.parameters.get("entity", {})
    if not isinstance(entity, dict):
        raise SignatureMismatch('parameters.entity is an object of key columns, like {"flight": "UA1545"}')
    return Infer(columns, request.id, outputs, entity)


def _matrix(tensor: _Tensor, signature: Signature) -> dict[str, Sequence[Any]]:
    width = len(signature.inputs)
    rows = _rows(tensor, width)
    if tensor.datatype not in NUMERIC:
        raise SignatureMismatch(f"input {tensor.name!r} is {tensor.datatype}; one matrix for all inputs is numeric")
    if text := [c.name for c in signature.inputs if c.datatype == "BYTES"]:
        raise SignatureMismatch(f"input {text[0]!r} is text, so send one tensor for each input, by name")
    flat = [_number(v, tensor.name) for v in _flattened(tensor)]
    if len(flat) != rows * width:
        raise SignatureMismatch(f"input {tensor.name!r} has {len(flat)} values for the shape {tensor.shape}")
    return {c.name: flat[i::width] for i, c in enumerate(signature.inputs)}


def _column(tensor: _Tensor, signature: Signature) -> Sequence[Any]:
    column = next((c for c in signature.inputs if c.name == tensor.name), None)
    rows = _rows(tensor, 1)
    flat = _flattened(tensor)
    if len(flat) != rows:
        raise SignatureMismatch(f"input {tensor.name!r} has {len(flat)} values for the shape {tensor.shape}")
    if column is None:
        return flat
    if column.datatype == "BYTES":
        if tensor.datatype != "BYTES":
            raise SignatureMismatch(f"input {tensor.name!r} is text: its datatype is BYTES, not {tensor.datatype}")
        return flat
    if tensor.datatype not in NUMERIC:
        raise SignatureMismatch(f"input {tensor.name!r} is {column.datatype}; {tensor.datatype} does not fit")
    return [None if v is None else _number(v, tensor.name) for v in flat]


def _rows(tensor: _Tensor, width: int) -> int:
    shape = tensor.shape
    if not shape or any(not isinstance(n, int) or n < 0 for n in shape):
        raise SignatureMismatch(f"input {tensor.name!r} has the shape {shape}; it is [rows] or [rows, {width}]")
    if len(shape) > 2 or (len(shape) == 2 and shape[1] != width) or (len(shape) == 1 and width != 1):
        raise SignatureMismatch(f"input {tensor.name!r} has the shape {shape}; it must be [rows, {width}]")
    if shape[0] > ROWS_MAX:
        raise TooLarge(f"{shape[0]} rows in one request; at most {ROWS_MAX}. Use batch prediction for more")
    return shape[0]


def _flattened(tensor: _Tensor) -> list[Any]:
    if tensor.data and isinstance(tensor.data[0], list):
        return [v for row in tensor.data for v in (row if isinstance(row, list) else [row])]
    return tensor.data


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool | int | float):
        number = float(value)
        if math.isfinite(number):
            return number
    raise SignatureMismatch(f"input {name!r} holds {value!r}, which is no finite number; send null for a missing value")


def output_names(signature: Signature) -> tuple[str, ...]:
    return ("predict",) if signature.task == "regression" else ("predict", "label")


def encode(
    name: str,
    signature: Signature,
    request: Infer,
    version: int,
    scores: Sequence[Any],
    labels: Sequence[str | None],
    ids: Sequence[str],
) -> bytes:
    """The reply; `parameters.prediction_ids` leads from each row to its log record."""
    outputs: list[dict[str, Any]] = []
    rows = len(ids)
    for wanted in request.outputs or output_names(signature):
        if wanted == "predict":
            wide = signature.task == "multiclass"
            data = [v for row in scores for v in row] if wide else list(scores)
            shape = [rows, len(signature.classes)] if wide else [rows]
            outputs.append({"name": "predict", "shape": shape, "datatype": "FP64", "data": data})
        else:
            outputs.append({"name": "label", "shape": [rows], "datatype": "BYTES", "data": list(labels)})
    body: dict[str, Any] = {
        "model_name": name,
        "model_version": str(version),
        "outputs": outputs,
        "parameters": {"prediction_ids": list(ids)},
    }
    if request.id:
        body["id"] = request.id
    return orjson.dumps(body)


def model_metadata(name: str, versions: Sequence[int], signature: Signature) -> dict[str, Any]:
    return {
        "name": name,
        "versions": [str(v) for v in versions],
        "platform": PLATFORM,
        "inputs": [{"name": c.name, "datatype": c.datatype, "shape": [-1]} for c in signature.inputs],
        "outputs": [
            {
                "name": output,
                "datatype": "BYTES" if output == "label" else "FP64",
                "shape": [-1, len(signature.classes)]
                if output == "predict" and signature.task == "multiclass"
                else [-1],
            }
            for output in output_names(signature)
        ],
    }


def error(message: str) -> bytes:
    return orjson.dumps({"error": message})
