"""Open Inference Protocol v2 over JSON, and with tensors as bytes behind it.

A request names one tensor for each input of the signature, or gives one numeric matrix (rows, inputs) in the
signature's order. The reply's outputs are `predict` (the score, or a row of probabilities) and, for classes, `label`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import msgspec
import orjson
from msgspec import UNSET, UnsetType

from hanok.core.errors import SignatureMismatch
from hanok.core.json import Json, JsonObject
from hanok.core.serving import Signature
from hanok.wire.inference import binary, strict
from hanok.wire.inference.cells import ROWS_MAX, Cell, Columns, Given, bounded, declared, fit, is_plainly, names

PLATFORM = "hanok"
ID_MAX = 1024

__all__ = ["ROWS_MAX", "Infer", "decode", "encode", "error", "model_metadata", "output_names"]


class _Tensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: list[Cell] | UnsetType = UNSET
    parameters: dict[str, Cell] | UnsetType | None = UNSET


class _Output(msgspec.Struct):
    name: str
    parameters: dict[str, Cell] | UnsetType | None = UNSET


class _Body(msgspec.Struct):
    """The members that a tensor takes no part in."""

    id: str | UnsetType | None = UNSET
    outputs: list[_Output] | UnsetType | None = UNSET
    parameters: dict[str, object] | UnsetType | None = UNSET


class _Request(_Body, kw_only=True):
    inputs: list[_Tensor]


class _NestedTensor(_Tensor, kw_only=True):
    data: list[object] | UnsetType = UNSET  # type: ignore[assignment]


class _NestedRequest(_Body, kw_only=True):
    inputs: list[_NestedTensor]


@dataclass(frozen=True, slots=True)
class Infer:
    """A decoded request: columns by input name, the id to echo, and the outputs asked for (None: all)."""

    columns: Columns
    rows: int
    id: str
    outputs: tuple[str, ...] | None
    entity: dict[str, Cell]
    binary: frozenset[str] = frozenset()  # the outputs that are asked for as bytes
    explain: bool = False


_CONFIG = {"BYTES": "STRING"}
_decoder = msgspec.json.Decoder(_Request)


def decode(body: bytes, arms: Sequence[Signature], header: str = "") -> Infer:
    """Read a request for the models behind a name; a matrix is in the order of the first. `header` is
    Inference-Header-Content-Length of a body with tensors as bytes. Raises SignatureMismatch that names the tensor and
    what is wrong with it, TooLarge."""
    json, behind = binary.split(body, header) if header else (body, b"")
    request = _request(strict.without_mark(json))
    if not request.inputs:
        raise SignatureMismatch("inputs is empty")
    if header:
        _fill(request.inputs, behind)
    wanted = _outputs(request, arms)
    rows, given = _given(request.inputs, arms)
    return Infer(
        fit(given, arms, ignore_extra=False),
        rows,
        _id(request),
        wanted,
        _entity(request, rows),
        _as_bytes(request, wanted or output_names(arms[0])),
        (request.parameters or {}).get("explain") is True,
    )


def _fill(tensors: Sequence[_Tensor], behind: bytes) -> None:
    """Give the tensors that lie behind the JSON their data, in their order."""
    place = 0
    for tensor in tensors:
        size = (tensor.parameters or {}).get("binary_data_size") if isinstance(tensor.parameters, dict) else None
        if size is None:
            continue
        if tensor.data is not UNSET:
            raise SignatureMismatch(f"input {tensor.name[:200]!r} has data, and binary_data_size too: send one of them")
        if type(size) is not int or not 0 <= size <= len(behind) - place:
            raise SignatureMismatch(
                f"input {tensor.name[:200]!r} has the binary_data_size {str(size)[:40]}; {len(behind) - place} bytes "
                "are left behind the JSON"
            )
        if not binary.known(tensor.datatype):
            declared(tensor.name, tensor.datatype, ())
        if not 1 <= len(tensor.shape) <= 2 or min(tensor.shape) < 0:
            raise SignatureMismatch(f"input {tensor.name[:200]!r} has the shape {_shape(tensor)}")
        bounded(tensor.shape[0], tensor.shape[1] if len(tensor.shape) == 2 else 1)
        count = tensor.shape[0] * (tensor.shape[1] if len(tensor.shape) == 2 else 1)
        tensor.data = binary.cells(tensor.name, tensor.datatype, behind[place : place + size], count)
        place += size
    if place != len(behind):
        raise SignatureMismatch(f"{len(behind) - place} bytes behind the JSON belong to no input")


def _as_bytes(request: _Body, names: Sequence[str]) -> frozenset[str]:
    """The outputs that are wanted as bytes: each says so for itself, or the request for all of them."""
    every = (request.parameters or {}).get("binary_data_output") is True
    said = {o.name: (o.parameters or {}).get("binary_data") for o in request.outputs or ()}
    return frozenset(n for n in names if said.get(n, every) is True or (said.get(n) is None and every))


# -- reading ---------------------------------------------------------------------------------------------------------


def _request(body: bytes) -> _Request | _NestedRequest:
    """As it is nearly always sent, else slowly with everything checked."""
    try:
        request = _decoder.decode(body)
        members = _members(request)
        if strict.surely_once(body, members) or strict.surely_once(body, members + _colons(request)):
            return request
    except msgspec.ValidationError:
        pass  # nested data, or something wrong that is to be named
    except RecursionError:
        raise strict.not_json("it is nested too deep") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise strict.not_json(error) from None
    try:
        return msgspec.convert(strict.read(body), _NestedRequest)
    except msgspec.ValidationError as error:
        raise SignatureMismatch(f"not an inference request: {error}") from None


def _members(request: _Request) -> int:
    """How many members the request was read from."""
    inputs = request.inputs
    count = 1 + 3 * len(inputs) + sum((t.data is not UNSET) + (t.parameters is not UNSET) for t in inputs)
    for tensor in inputs:
        if tensor.parameters:
            count += strict.members(tensor.parameters)
    count += (request.id is not UNSET) + (request.parameters is not UNSET) + (request.outputs is not UNSET)
    if request.parameters:
        count += strict.members(request.parameters)  # type: ignore[arg-type]
    for output in request.outputs or ():
        count += 1 + (output.parameters is not UNSET) + strict.members(output.parameters or {})
    return count


def _colons(request: _Request) -> int:
    """How many colons stand in the texts that `_members` does not look into."""
    texts: list[object] = [request.id or ""]
    texts += (t.name for t in request.inputs)
    texts += (t.datatype for t in request.inputs)
    texts += (o.name for o in request.outputs or ())
    return strict.colons(texts) + sum(strict.colons(t.data or ()) for t in request.inputs if t.datatype == "BYTES")


def _given(tensors: Sequence[_Tensor], arms: Sequence[Signature]) -> tuple[int, Given]:
    """The number of rows, and the columns by name."""
    if len(tensors) == 1:
        only, signature = tensors[0], arms[0]
        width = len(signature.inputs)
        known = {c.name for s in arms for c in s.inputs}
        if len(only.shape) == 2 and (only.name not in known or only.shape[1] == width > 1):
            return _matrix(only, signature)
        if only.name not in known:
            raise SignatureMismatch(
                f"the model has no input {only.name[:200]!r}; it takes {names(signature)}, or one tensor of shape "
                f"[rows, {width}] with all of them"
            )
    shape = tensors[0].shape
    rows = _rows(tensors[0], 1)
    bounded(rows, len(tensors))
    given: dict[str, Sequence[Json]] = {}
    alone = shape == [1]
    for tensor in tensors:
        name, data = tensor.name, tensor.data
        if name in given:
            raise SignatureMismatch(f"input {name[:200]!r} stands twice in inputs")
        if tensor.shape != shape and _rows(tensor, 1) != rows:
            raise SignatureMismatch(
                f"input {name[:200]!r} has {tensor.shape[0]} rows and {tensors[0].name[:200]!r} has {rows}"
            )
        if alone and type(data) is list and len(data) == 1 and is_plainly(tensor.datatype, data[0]):
            given[name] = data
            continue
        cells = _flat(tensor)
        declared(name, tensor.datatype, cells)
        given[name] = cells
    return rows, Given(given, {t.name: t.datatype for t in tensors})


def _matrix(tensor: _Tensor, signature: Signature) -> tuple[int, Given]:
    width = len(signature.inputs)
    rows = _rows(tensor, width)
    bounded(rows, width)
    if tensor.datatype == "BYTES":
        raise SignatureMismatch(f"input {tensor.name!r} is BYTES; one matrix for all inputs is numeric")
    if text := [c.name for c in signature.inputs if c.datatype == "BYTES"]:
        raise SignatureMismatch(f"input {text[0]!r} is text, so send one tensor for each input, by name")
    cells = _flat(tensor)
    declared(tensor.name, tensor.datatype, cells)
    return rows, Given({c.name: cells[i::width] for i, c in enumerate(signature.inputs)})


def _rows(tensor: _Tensor, width: int) -> int:
    shape = tensor.shape
    if len(shape) == 1 == width and shape[0] >= 0:
        return shape[0]
    if len(shape) == 2 and shape[1] == width and shape[0] >= 0:
        return shape[0]
    wanted = "[rows] or [rows, 1]" if width == 1 else f"[rows, {width}]"
    raise SignatureMismatch(f"input {tensor.name[:200]!r} has the shape {_shape(tensor)}; it must be {wanted}")


def _shape(tensor: _Tensor) -> str:
    return str([n if abs(n) < 10**18 else "..." for n in tensor.shape[:8]])


def _flat(tensor: _Tensor) -> Sequence[Json]:
    """The values row by row. Data may be nested as the shape says."""
    name, shape = tensor.name, tensor.shape
    data: Sequence[Json] | UnsetType = tensor.data
    if isinstance(data, UnsetType):
        sized = isinstance(tensor.parameters, dict) and "binary_data_size" in tensor.parameters
        said = "; its binary_data_size needs the header Inference-Header-Content-Length" if sized else ""
        raise SignatureMismatch(f"input {name!r} has no data{said}")
    count = shape[0] * shape[1] if len(shape) == 2 else shape[0]
    if data and isinstance(data[0], list):
        rows: Sequence[Json] = data
        if len(shape) != 2 or len(rows) != shape[0]:
            raise SignatureMismatch(f"input {name!r} has nested data that does not fit the shape {_shape(tensor)}")
        for index, row in enumerate(rows):
            if not isinstance(row, list) or len(row) != shape[1]:
                held = len(row) if isinstance(row, list) else 1
                raise SignatureMismatch(
                    f"row {index} of input {name!r} has {held} values for the shape {_shape(tensor)}"
                )
        return list(chain.from_iterable(rows))  # type: ignore[arg-type]
    if len(data) != count:
        raise SignatureMismatch(f"input {name!r} has {len(data)} values for the shape {_shape(tensor)}")
    return data


# -- the rest of the request -----------------------------------------------------------------------------------------


def _id(request: _Body) -> str:
    found = request.id or ""
    if len(found) > ID_MAX:
        raise SignatureMismatch(f"the id has {len(found)} characters; at most {ID_MAX}")
    return found


def _outputs(request: _Body, arms: Sequence[Signature]) -> tuple[str, ...] | None:
    """None for all of them."""
    if not request.outputs:
        return None
    if any((o.parameters or {}).get("classification") for o in request.outputs):
        raise SignatureMismatch("the classification extension is not spoken: ask for the output 'label'")
    wanted = tuple(o.name for o in request.outputs)
    known = {n for s in arms for n in output_names(s)}
    if unknown := [n for n in wanted if n not in known]:
        raise SignatureMismatch(
            f"the model has no output {unknown[0][:200]!r}; it gives {', '.join(output_names(arms[0]))}"
        )
    if len(set(wanted)) < len(wanted):
        raise SignatureMismatch("an output is asked for twice")
    return wanted


def _entity(request: _Body, rows: int) -> dict[str, Cell]:
    found = (request.parameters or {}).get("entity")
    if found is None or found == {}:
        return {}
    if not isinstance(found, dict):
        raise SignatureMismatch('parameters.entity is an object of key columns, like {"flight": "UA1545"}')
    if rows != 1:
        raise SignatureMismatch(
            f"parameters.entity says whose row it is, and there are {rows} rows: send one request for each entity, or "
            "predict in bulk with 'hanok predict MODEL --from ... --to ...'"
        )
    for name, value in found.items():
        if not isinstance(value, str | int | float):
            raise SignatureMismatch(f"key {name[:200]!r} of parameters.entity is one text, number or true/false")
    return found


# -- answering -------------------------------------------------------------------------------------------------------


def output_names(signature: Signature) -> tuple[str, ...]:
    return ("predict",) if signature.task == "regression" else ("predict", "label")


def encode(
    name: str,
    signature: Signature,
    wanted: Sequence[str] | None,
    request_id: str,
    version: int,
    scores: Sequence[Json],
    labels: Sequence[str | None],
    ids: Sequence[str],
    as_bytes: frozenset[str] = frozenset(),
    explanations: Sequence[Json] | None = None,
) -> tuple[bytes, int | None]:
    """The reply, and the length of its JSON when outputs follow as bytes. `parameters.prediction_ids` leads from each
    row to its log record."""
    outputs: list[JsonObject] = []
    rows, behind = len(ids), list[bytes]()
    for output in wanted or output_names(signature):
        if output == "predict":
            wide = signature.task == "multiclass"
            data = list(chain.from_iterable(scores)) if wide else list(scores)  # type: ignore[arg-type]
            shape = [rows, len(signature.classes)] if wide else [rows]
            told: JsonObject = {"name": "predict", "shape": shape, "datatype": "FP64"}
            content = binary.numbers(data) if output in as_bytes else None  # type: ignore[arg-type]
        else:
            told, data = {"name": "label", "shape": [rows], "datatype": "BYTES"}, list(labels)
            content = binary.texts(labels) if output in as_bytes else None
        if content is None:
            outputs.append({**told, "data": data})
        else:
            outputs.append({**told, "parameters": {"binary_data_size": len(content)}})
            behind.append(content)
    body: dict[str, Json] = {
        "model_name": name,
        "model_version": str(version),
        "outputs": outputs,
        "parameters": {"prediction_ids": list(ids)}
        | ({} if explanations is None else {"explanations": list(explanations)}),
    }
    if request_id:
        body["id"] = request_id
    json = orjson.dumps(body)
    return (json + b"".join(behind), len(json)) if behind else (json, None)


_Described = tuple[str, str, list[int]]


def _inputs_of(signature: Signature) -> list[_Described]:
    return [(c.name, c.datatype, [-1]) for c in signature.inputs]


def _outputs_of(signature: Signature) -> list[_Described]:
    """Names, datatypes and shapes."""
    score = [-1, len(signature.classes)] if signature.task == "multiclass" else [-1]
    return [(n, "BYTES", [-1]) if n == "label" else (n, "FP64", score) for n in output_names(signature)]


def _described(name: str, datatype: str, shape: list[int]) -> JsonObject:
    return {"name": name, "datatype": datatype, "shape": shape}


def _configured(name: str, datatype: str, shape: list[int]) -> JsonObject:
    return {"name": name, "data_type": f"TYPE_{_CONFIG.get(datatype, datatype)}", "dims": shape[1:] or [1]}


def model_metadata(name: str, versions: Sequence[int], signature: Signature) -> JsonObject:
    return {
        "name": name,
        "versions": [str(v) for v in versions],
        "platform": PLATFORM,
        "inputs": [_described(*t) for t in _inputs_of(signature)],
        "outputs": [_described(*t) for t in _outputs_of(signature)],
    }


def model_config(name: str, signature: Signature) -> JsonObject:
    """What of Triton's model configuration is known of any model."""
    return {
        "name": name,
        "platform": PLATFORM,
        "max_batch_size": ROWS_MAX,
        "input": [_configured(*t) for t in _inputs_of(signature)],
        "output": [_configured(*t) for t in _outputs_of(signature)],
    }


def error(message: str) -> bytes:
    return orjson.dumps({"error": message})
