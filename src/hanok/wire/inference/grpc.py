"""inference.GRPCInferenceService: its messages, read and written field by field.

A request of gRPC says what one of REST with tensors as bytes says, so it becomes such a request, and its reply comes of
such a reply: both protocols have one meaning.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import numpy as np
import orjson

from hanok.core.errors import SignatureMismatch
from hanok.core.json import Json, JsonObject
from hanok.wire.protobuf import FIXED64, LENGTH, VARINT, WireField, take_varint, varint, wire_fields

SERVICE = "inference.GRPCInferenceService"
_NUMBERS = {  # field of InferTensorContents: what it holds
    1: "<i8", 2: "<i8", 3: "<i8", 4: "<u8", 5: "<u8", 6: "<f4", 7: "<f8",
}  # fmt: skip
_DTYPES = {"BOOL": "|u1", "FP32": "<f4", "FP64": "<f8"} | {
    f"{sign}INT{bits}": f"<{'u' if sign else 'i'}{bits // 8}" for sign in ("", "U") for bits in (8, 16, 32, 64)
}


# -- reading -------------------------------------------------------------------------------------------------------


def named(data: bytes) -> tuple[str, str]:
    """The name and version that a ModelReadyRequest or ModelMetadataRequest asks for."""
    found = {f.number: f for f in wire_fields("request", memoryview(data))}
    return _text(found.get(1)), _text(found.get(2))


def repository_model(data: bytes) -> str:
    """The model that a RepositoryModelLoadRequest or ...UnloadRequest names."""
    return next((_text(f) for f in wire_fields("request", memoryview(data)) if f.number == 2), "")


def only_ready(data: bytes) -> bool:
    """Of a RepositoryIndexRequest."""
    return any(f.number == 2 and bool(f.raw) for f in wire_fields("request", memoryview(data)))


def infer_request(data: bytes) -> tuple[str, str, bytes, int]:
    """(model, version, body, length of its JSON) of a ModelInferRequest, as REST has it. Raises Unreadable,
    SignatureMismatch."""
    model = version = ""
    body: dict[str, Json] = {}
    parameters: dict[str, Json] = {"binary_data_output": True}
    tensors: list[dict[str, Json]] = []
    contents: list[bytes | None] = []
    outputs: list[Json] = []
    raw: list[bytes] = []
    for field in wire_fields("ModelInferRequest", memoryview(data)):
        if field.number == 1:
            model = _text(field)
        elif field.number == 2:
            version = _text(field)
        elif field.number == 3:
            body["id"] = _text(field)
        elif field.number == 4:
            parameters.update(_parameter(field))
        elif field.number == 5:
            tensor, content = _tensor(field)
            tensors.append(tensor)
            contents.append(content)
        elif field.number == 6:
            outputs.append(_output(field))
        elif field.number == 7:
            raw.append(bytes(_message(field)))
    behind = _behind(tensors, contents, raw)
    if isinstance(entity := parameters.get("entity"), str):  # there are no objects among gRPC's parameters
        try:
            parameters["entity"] = orjson.loads(entity)
        except orjson.JSONDecodeError:
            raise SignatureMismatch('parameters.entity is JSON text, like {"flight": "UA1545"}') from None
    body["inputs"], body["parameters"] = list[Json](tensors), parameters
    if outputs:
        body["outputs"] = outputs
    json = orjson.dumps(body)
    return model, version, json + b"".join(behind), len(json)


def _behind(tensors: Sequence[dict[str, Json]], contents: Sequence[bytes | None], raw: Sequence[bytes]) -> list[bytes]:
    """The bytes of each tensor, of one of the two forms."""
    if raw and len(raw) != len(tensors):
        raise SignatureMismatch(f"raw_input_contents has {len(raw)} entries and there are {len(tensors)} inputs")
    if raw and any(c is not None for c in contents):
        raise SignatureMismatch("inputs have contents and raw_input_contents too: send one of them")
    found = list(raw) or [c or b"" for c in contents]
    for tensor, content in zip(tensors, found, strict=True):
        tensor["parameters"] = {"binary_data_size": len(content)}
    return found


def _tensor(field: WireField) -> tuple[dict[str, Json], bytes | None]:
    name = datatype = ""
    shape: list[Json] = []
    content: WireField | None = None
    for inner in wire_fields("InferInputTensor", _message(field)):
        if inner.number == 1:
            name = _text(inner)
        elif inner.number == 2:
            datatype = _text(inner)
        elif inner.number == 3:
            shape += [_signed(v) for v in _varints(inner)]
        elif inner.number == 5:
            content = inner
    tensor: dict[str, Json] = {"name": name, "datatype": datatype, "shape": shape}
    return tensor, None if content is None else _contents(name, datatype, content)


def _contents(name: str, datatype: str, field: WireField) -> bytes:
    """InferTensorContents as the bytes of a tensor of its datatype."""
    texts: list[bytes] = []
    values: list[int | float] = []
    for inner in wire_fields("InferTensorContents", _message(field)):
        if inner.number == 8:
            text = bytes(_message(inner))
            texts.append(struct.pack("<I", len(text)) + text)
        elif inner.number in _NUMBERS:
            values += _values(inner)
    if datatype == "BYTES":
        return b"".join(texts)
    if datatype not in _DTYPES:
        raise SignatureMismatch(f"input {name[:200]!r} is {datatype[:40]!r}, which goes into raw_input_contents alone")
    dtype = np.dtype(_DTYPES[datatype])
    try:
        made = np.array(values, dtype)
    except (OverflowError, ValueError):
        made = np.array([], dtype)
    if len(made) != len(values) or (dtype.kind in "iu" and made.tolist() != [int(v) for v in values]):
        raise SignatureMismatch(f"input {name[:200]!r} holds a value that is no {datatype}")
    return made.tobytes()


def _values(field: WireField) -> list[int | float]:
    dtype = _NUMBERS[field.number]
    if dtype in ("<f4", "<f8"):
        found: list[int | float] = np.frombuffer(bytes(field.raw), dtype).tolist()
        return found
    whole = _varints(field)
    return [_signed(v) for v in whole] if dtype == "<i8" else list(whole)


def _varints(field: WireField) -> list[int]:
    """A repeated number, packed or not."""
    if field.wire == VARINT:
        return [int(field.raw)]
    found, at = [], 0
    data = _message(field)
    while at < len(data):
        value, at = take_varint(data, at)
        found.append(value)
    return found


def _signed(value: int) -> int:
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


def _parameter(field: WireField) -> dict[str, Json]:
    """An entry of a map of InferParameter."""
    found = {f.number: f for f in wire_fields("parameter", _message(field))}
    value: Json = None
    for inner in wire_fields("InferParameter", _message(found[2])) if 2 in found else ():
        if inner.number == 1:
            value = bool(inner.raw)
        elif inner.number == 2:
            value = _signed(int(inner.raw))
        elif inner.number == 3:
            value = _text(inner)
        elif inner.number == 4 and inner.wire == FIXED64:
            value = float(struct.unpack("<d", bytes(inner.raw))[0])
        elif inner.number == 5:
            value = int(inner.raw)
    name = _text(found.get(1))
    return {name: value}


def _output(field: WireField) -> Json:
    name, parameters = "", dict[str, Json]()
    for inner in wire_fields("InferRequestedOutputTensor", _message(field)):
        if inner.number == 1:
            name = _text(inner)
        elif inner.number == 2:
            parameters |= _parameter(inner)
    return {"name": name, "parameters": parameters}


def _message(field: WireField) -> memoryview:
    if field.wire != LENGTH:
        raise SignatureMismatch(f"field {field.number} of the message is of another type than it must be")
    found: memoryview = field.raw
    return found


def _text(field: WireField | None) -> str:
    if field is None:
        return ""
    try:
        return bytes(_message(field)).decode()
    except UnicodeDecodeError:
        raise SignatureMismatch(f"field {field.number} of the message is not UTF-8 text") from None


# -- writing -------------------------------------------------------------------------------------------------------


def flag(value: bool) -> bytes:
    """ServerLiveResponse, ServerReadyResponse, ModelReadyResponse."""
    return b"\x08\x01" if value else b""


def server_metadata(said: JsonObject) -> bytes:
    return _string(1, said["name"]) + _string(2, said["version"]) + _strings(3, said["extensions"])


def model_metadata(said: JsonObject) -> bytes:
    found = _string(1, said["name"]) + _strings(2, said["versions"]) + _string(3, said["platform"])
    for number, tensors in ((4, said["inputs"]), (5, said["outputs"])):
        for tensor in _objects(tensors):
            inner = _string(1, tensor["name"]) + _string(2, tensor["datatype"]) + _shape(tensor["shape"])
            found += _bytes(number, inner)
    return found


def repository_index(said: Json) -> bytes:
    return b"".join(
        _bytes(1, b"".join(_string(n, row[k]) for n, k in enumerate(("name", "version", "state", "reason"), 1)))
        for row in _objects(said)
    )


def infer_response(body: bytes, header: int) -> bytes:
    """ModelInferResponse of a reply with tensors as bytes, whose JSON has the length `header`."""
    said, at = orjson.loads(body[:header]), header
    found = _string(1, said["model_name"]) + _string(2, said["model_version"]) + _string(3, said.get("id", ""))
    for name, value in said["parameters"].items():
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
        found += _bytes(4, _string(1, name) + _bytes(2, _string(3, text)))
    raw = b""
    for output in said["outputs"]:
        size = output["parameters"]["binary_data_size"]
        found += _bytes(5, _string(1, output["name"]) + _string(2, output["datatype"]) + _shape(output["shape"]))
        raw += _bytes(6, body[at : at + size])
        at += size
    return found + raw


def stream_response(response: bytes = b"", error: str = "") -> bytes:
    """ModelStreamInferResponse: a response, or why there is none."""
    return _string(1, error) if error else _bytes(2, response)


def _bytes(number: int, content: bytes) -> bytes:
    return varint(number << 3 | LENGTH) + varint(len(content)) + content


def _string(number: int, text: Json) -> bytes:
    return _bytes(number, str(text).encode()) if text else b""


def _strings(number: int, texts: Json) -> bytes:
    assert isinstance(texts, Sequence)
    return b"".join(_bytes(number, str(text).encode()) for text in texts)


def _shape(shape: Json) -> bytes:
    assert isinstance(shape, Sequence)
    return _bytes(3, b"".join(varint(int(str(size)) & (1 << 64) - 1) for size in shape))


def _objects(rows: Json) -> list[Mapping[str, Json]]:
    assert isinstance(rows, Sequence)
    return [row for row in rows if isinstance(row, Mapping)]
