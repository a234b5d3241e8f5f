"""Bodies of /v2 and /invocations, valid and mutated, from a seed; and a plain reading of them, written from the
protocols' documents alone, to compare with. None of the server's code is used here."""

import copy
import json
import math
import random
from dataclasses import dataclass, field

NUMERIC = {
    "BOOL": (0, 1), "UINT8": (0, 255), "UINT16": (0, 2**16 - 1), "UINT32": (0, 2**32 - 1), "UINT64": (0, 2**64 - 1),
    "INT8": (-128, 127), "INT16": (-(2**15), 2**15 - 1), "INT32": (-(2**31), 2**31 - 1), "INT64": (-(2**63), 2**63 - 1),
    "FP16": (-65504.0, 65504.0), "FP32": (-3.4028234663852886e38, 3.4028234663852886e38), "FP64": (-1.8e308, 1.8e308),
}  # fmt: skip
FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")
ROWS_MAX = 100_000


@dataclass
class Model:
    """What its metadata says, and its key."""

    name: str
    inputs: dict[str, str]
    key: str = "id"


class Pairs(list):
    """An object as pairs, so that a name can stand twice."""


class Raw(str):
    """JSON text as it is."""


def dumped(value, ascii_only=True):
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict | Pairs):
        pairs = value.items() if isinstance(value, dict) else value
        members = (f"{json.dumps(k, ensure_ascii=ascii_only)}:{dumped(v, ascii_only)}" for k, v in pairs)
        return "{" + ",".join(members) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(dumped(v, ascii_only) for v in value) + "]"
    return json.dumps(value, ensure_ascii=ascii_only)


# -- the generator ---------------------------------------------------------------------------------------------------

ODD = [
    None, True, False, 0, 1, 2, -1, 1.5, -0.0, 300, 2**31, 2**53, 2**53 + 1, 2**60, 2**63, 10**400, 1e39, 1.7e308,
    1e-320, "", "5", "a", "A", "ü:\"\\", "😀", "\x00", [], [1], [[1]], {}, {"a": 1}, Raw("1e400"), Raw("NaN"),
    Raw("-Infinity"), Raw('"\\ud800"'), Raw('"\\u003a"'), Raw("01"), Raw("5.0"), Raw("5e0"), Raw("tru"),
    Raw("1" + "0" * 4400),
]  # fmt: skip
NAMES = ["", "Price", "price ", "x", "y", "z", "units", "note", "ü", "a:b", "input-0", "__proto__"]
WORDS = ["good", "bad", "late", "order", "box", "red", "the", "12:30", "ÜBER", "don't", "_x_"]


@dataclass
class Generator:
    """Requests as (path, body, model). The same seed gives the same requests."""

    models: list
    seed: int
    _random: random.Random = field(init=False)

    def __post_init__(self):
        self._random = random.Random(self.seed)

    def one(self):
        r = self._random
        model = r.choice(self.models)
        oip = r.random() < 0.5
        body = self._infer(model) if oip else self._invocation(model)
        for _ in range(r.choice((0, 0, 1, 1, 2, 3))):
            body = self._mutated(body)
        raw = dumped(body, ascii_only=r.random() < 0.7).encode("utf-8", "surrogatepass")
        if r.random() < 0.25:
            raw = self._scratched(raw)
        path = f"/v2/models/{model.name}/infer" if oip else f"/invocations?model={model.name}"
        return path, raw, model

    def _odd(self):
        return copy.deepcopy(self._random.choice(ODD))  # what is mutated later may not be shared

    def _value(self, datatype):
        r = self._random
        if r.random() < 0.05:
            return None
        if datatype == "BOOL":
            return r.random() < 0.5
        if datatype == "INT64":
            return r.randint(-20, 120)
        if datatype == "BYTES":
            return r.choice("abcdé") if r.random() < 0.5 else " ".join(r.choices(WORDS, k=r.randint(0, 8)))
        return round(r.gauss(0, 3), r.randint(0, 17))

    def _columns(self, model):
        rows = self._random.choice((1, 1, 1, 2, 3, 7))
        return rows, {n: [self._value(t) for _ in range(rows)] for n, t in model.inputs.items()}

    def _infer(self, model):
        r = self._random
        rows, columns = self._columns(model)
        if "BYTES" not in model.inputs.values() and r.random() < 0.5:
            cells = [[columns[n][i] for n in columns] for i in range(rows)]
            cells = [[int(v) if isinstance(v, bool) else v for v in row] for row in cells]
            data = cells if r.random() < 0.5 else [v for row in cells for v in row]
            inputs = [{"name": "input-0", "shape": [rows, len(columns)], "datatype": "FP64", "data": data}]
        else:
            inputs = []
            for name, cells in columns.items():
                flat = r.random() < 0.8
                inputs.append({
                    "name": name,
                    "shape": [rows] if flat else [rows, 1],
                    "datatype": model.inputs[name],
                    "data": cells if flat or r.random() < 0.5 else [[v] for v in cells],
                })  # fmt: skip
            r.shuffle(inputs)
        body = {"inputs": inputs}
        if r.random() < 0.3:
            body["id"] = r.choice(["7", "", None, "ü", "a:b"])
        if r.random() < 0.3:
            names = ["predict", "label"]
            body["outputs"] = r.choice([None, [], [{"name": r.choice(names)}], [{"name": n} for n in names]])
        if rows == 1 and r.random() < 0.4:
            body["parameters"] = r.choice(
                [None, {}, {"entity": {model.key: f"e{r.randint(0, 50)}"}}, {"a": {"b": [1]}}]
            )
        return body

    def _invocation(self, model):
        r = self._random
        _, columns = self._columns(model)
        if r.random() < 0.2:
            columns["extra"] = [self._odd() for _ in next(iter(columns.values()))]
        names = list(columns)
        r.shuffle(names)
        records = [dict(zip(names, row, strict=True)) for row in zip(*(columns[n] for n in names), strict=True)]
        rows = [list(row.values()) for row in records]
        form = r.choice((*FORMATS, "columns", "positions", "scalars"))
        if form == "dataframe_split":
            content = {"columns": names, "data": rows}
            if r.random() < 0.3:
                content["index"] = list(range(len(rows)))
            body = {form: content}
        elif form == "columns":
            body = {r.choice(("inputs", "instances")): {n: columns[n] for n in names}}
        elif form == "positions":
            ordered = [[columns[n][i] for n in model.inputs] for i in range(len(rows))]
            body = {r.choice(("inputs", "instances")): ordered}
        elif form == "scalars":
            body = {"inputs": records[0]}
        else:
            body = {form: records}
        if r.random() < 0.1:
            body["params"] = r.choice([None, {}, {"a": 1}])
        return body

    def _mutated(self, body):
        """One change somewhere in the tree."""
        r = self._random
        places = []

        def walk(value, put):
            places.append((value, put))
            if isinstance(value, dict):
                for key, child in value.items():
                    walk(child, lambda new, value=value, key=key: value.__setitem__(key, new))
            elif isinstance(value, list) and not isinstance(value, Pairs):
                for index, child in enumerate(value):
                    walk(child, lambda new, value=value, index=index: value.__setitem__(index, new))

        top = [json.loads(dumped(body))] if not _has_raw(body) else [body]
        walk(top[0], lambda new: top.__setitem__(0, new))
        value, put = r.choice(places)
        if isinstance(value, dict) and value:
            key = r.choice(list(value))
            kind = r.randrange(5)
            if kind == 0:
                del value[key]
            elif kind == 1:
                value[r.choice((key.upper(), key + " ", r.choice(NAMES)))] = value.pop(key)
            elif kind == 2:
                value[r.choice(NAMES)] = self._odd()
            elif kind == 3:
                put(Pairs([*value.items(), (key, r.choice((copy.deepcopy(value[key]), self._odd())))]))
            else:
                put(self._odd())
        elif isinstance(value, list) and value and not isinstance(value, Pairs):
            kind = r.randrange(5)
            index = r.randrange(len(value))
            if kind == 0:
                del value[index]
            elif kind == 1:
                value.insert(index, value[index])
            elif kind == 2:
                value[index] = self._odd()
            elif kind == 3:
                value[index] = [value[index]]
            else:
                put(self._odd())
        elif isinstance(value, str) and r.random() < 0.5:
            put(r.choice((*NUMERIC, "BYTES", "FP99", *NAMES)))
        else:
            put(self._odd())
        return top[0]

    def _scratched(self, raw):
        r = self._random
        body = bytearray(raw)
        for _ in range(r.choice((1, 1, 2, 5))):
            at = r.randrange(len(body) + 1)
            kind = r.randrange(4)
            if kind == 0 and at < len(body):
                body[at] = r.randrange(256)
            elif kind == 1:
                del body[at : at + r.choice((1, 1, 5))]
            elif kind == 2:
                body[at:at] = r.choice(
                    (b",", b"]", b"0", b"\xff", b'"', b" ", b"[" * 2000, b"\xef\xbb\xbf", b"-", b"e9")
                )
            else:
                body[at:at] = body[at : at + r.choice((1, 10))]
        return bytes(body) if r.random() < 0.95 else r.choice((b"", b"null", b"7", b"[]", b"\xef\xbb\xbf{}", b'"a"'))


def _has_raw(value):
    if isinstance(value, dict):
        return any(map(_has_raw, value.values()))
    return isinstance(value, Raw | Pairs) or (isinstance(value, list) and any(map(_has_raw, value)))


# -- the plain reading -----------------------------------------------------------------------------------------------


class Refused(Exception):
    """The request is not what the protocol allows."""


def need(condition, why=""):
    if not condition:
        raise Refused(why)


def parsed(raw):
    """JSON by RFC 8259, with each name once in an object. Raises Refused."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("not UTF-8") from None
    text = text.removeprefix("\ufeff")

    def once(pairs):
        need(len({k for k, _ in pairs}) == len(pairs), "a name stands twice")
        return dict(pairs)

    def constant(name):
        raise Refused(name)

    try:
        found = json.loads(text, object_pairs_hook=once, parse_constant=constant)
    except (ValueError, RecursionError):
        raise Refused("not JSON") from None
    return _whole_letters(found)


def _whole_letters(value, depth=0):
    need(depth < 900, "too deep")
    if isinstance(value, str):
        need(not any(0xD800 <= ord(c) < 0xE000 for c in value), "half a surrogate pair")
    elif isinstance(value, dict):
        for key, child in value.items():
            _whole_letters(key, depth + 1)
            _whole_letters(child, depth + 1)
    elif isinstance(value, list):
        for child in value:
            _whole_letters(child, depth + 1)
    return value


def number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)


def cell(value, datatype):
    """A value as an input of the model has it; None where it is missing."""
    if value is None:
        return None
    if datatype == "BYTES":
        need(isinstance(value, str), "text")
        return value
    need(isinstance(value, int | float), "a number")
    need(isinstance(value, int) or math.isfinite(value), "finite")
    need(abs(value) <= 1.7976931348623157e308, "in range")
    if datatype == "BOOL":
        need(value in (0, 1), "true or false")
        return bool(value)
    if datatype == "INT64":
        need(value == int(value) and -(2**63) <= value < 2**63, "whole")
        need(int(float(value)) == int(value), "exact")
        need(not isinstance(value, float) or abs(value) <= 2**53, "a float names no such integer")
        return int(value)
    return float(value)


def element(value, datatype):
    """A value of a tensor, by the table of datatypes."""
    if value is None:
        return
    if datatype == "BYTES":
        need(isinstance(value, str), "BYTES")
    elif datatype == "BOOL":
        need(isinstance(value, int | float) and value in (0, 1), "BOOL")
    else:
        low, high = NUMERIC[datatype]
        need(number(value) and low <= value <= high, datatype)
        if not datatype.startswith("FP"):
            need(value == int(value), datatype)
        else:
            need(isinstance(value, int) or math.isfinite(value), datatype)


def infer(raw, model):
    """(rows by name, entity) of an inference request of the Open Inference Protocol."""
    body = parsed(raw)
    need(isinstance(body, dict))
    need(isinstance(body.get("id"), str | None) and len(body.get("id") or "") <= 1024)
    parameters, outputs, inputs = body.get("parameters"), body.get("outputs"), body.get("inputs")
    need(isinstance(parameters, dict | None))
    need(isinstance(outputs, list | None))
    asked = []
    for output in outputs or ():
        need(isinstance(output, dict) and isinstance(output.get("name"), str))
        _parameters(output)
        asked.append(output["name"])
    need(set(asked) <= {"predict", "label"} and len(set(asked)) == len(asked))
    need(isinstance(inputs, list) and inputs)
    for tensor in inputs:
        need(isinstance(tensor, dict))
        need(isinstance(tensor.get("name"), str) and isinstance(tensor.get("datatype"), str))
        need(isinstance(tensor.get("shape"), list) and all(type(n) is int for n in tensor["shape"]))
        need(isinstance(tensor.get("data"), list))
        need(tensor["datatype"] in NUMERIC or tensor["datatype"] == "BYTES")
        _parameters(tensor)
    names, first = list(model.inputs), inputs[0]
    matrix = (
        len(inputs) == 1
        and len(first["shape"]) == 2
        and (first["name"] not in names or (first["shape"][1] == len(names) > 1))
    )
    if matrix:
        need("BYTES" not in model.inputs.values() and first["datatype"] != "BYTES")
        rows, flat = _elements(first, len(names))
        columns = {n: flat[i :: len(names)] for i, n in enumerate(names)}
    else:
        columns, counts = {}, set()
        for tensor in inputs:
            need(tensor["name"] not in columns)
            rows, flat = _elements(tensor, 1)
            counts.add(rows)
            columns[tensor["name"]] = flat
            need(tensor["name"] in names)
            need((model.inputs[tensor["name"]] == "BYTES") == (tensor["datatype"] == "BYTES"))
        need(len(counts) == 1 and set(columns) == set(names))
    entity = (parameters or {}).get("entity")
    if entity:
        need(isinstance(entity, dict) and rows == 1 and list(entity) == [model.key])
        key = entity[model.key]  # of text: whole numbers are read as their digits, a float while it names one integer
        need(isinstance(key, str) or number(key))
        need(not isinstance(key, float) or (key.is_integer() and abs(key) < 2**53))
    else:
        need(entity is None or entity == {})
    return {n: [cell(v, model.inputs[n]) for v in columns[n]] for n in names}, entity


def _parameters(holder):
    found = holder.get("parameters")
    need(isinstance(found, dict | None))
    need(all(isinstance(v, str | int | float | None) for v in (found or {}).values()))


def _elements(tensor, width):
    """Values in row-major order: flat, or nested as the shape says."""
    shape, data = tensor["shape"], tensor["data"]
    need(len(shape) in (1, 2) and all(n >= 0 for n in shape))
    need(shape[1] == width if len(shape) == 2 else width == 1)
    need(shape[0] <= ROWS_MAX)
    if data and isinstance(data[0], list):
        need(len(shape) == 2 and len(data) == shape[0])
        need(all(isinstance(row, list) and len(row) == shape[1] for row in data))
        data = [v for row in data for v in row]
    need(len(data) == shape[0] * width)
    for value in data:
        element(value, tensor["datatype"])
    return shape[0], data


def invocation(raw, model):
    """Rows by name of one of MLflow's scoring formats."""
    body = parsed(raw)
    need(isinstance(body, dict))
    present = [f for f in FORMATS if f in body]
    need(len(present) == 1 and isinstance(body.get("params"), dict | None))
    form, content, names = present[0], body[present[0]], list(model.inputs)
    if form == "dataframe_split":
        need(isinstance(content, dict) and {"columns", "data"} <= set(content) <= {"columns", "data", "index"})
        heads, rows, index = content["columns"], content["data"], content.get("index")
        need(isinstance(heads, list) and isinstance(rows, list) and all(isinstance(h, str) for h in heads))
        need(len(set(heads)) == len(heads))
        need(index is None or (isinstance(index, list) and len(index) == len(rows)))
    elif isinstance(content, dict):
        need(form != "dataframe_records")
        lists = [isinstance(v, list) for v in content.values()]
        need(all(lists) or not any(lists))
        columns = {k: v if isinstance(v, list) else [v] for k, v in content.items()}
        need(len({len(v) for v in columns.values()}) == 1)
        heads, rows = list(columns), list(zip(*columns.values(), strict=True))
    else:
        need(isinstance(content, list) and content)
        if isinstance(content[0], dict):
            need(all(isinstance(row, dict) and set(row) == set(content[0]) for row in content))
            heads = list(content[0])
            rows = [[row[h] for h in heads] for row in content]
        else:
            need(form != "dataframe_records")
            heads, rows = names, content
            if len(names) == 1 and not isinstance(content[0], list):
                rows = [[v] for v in content]
    need(all(isinstance(row, list | tuple) and len(row) == len(heads) for row in rows))
    need(set(names) <= set(heads))
    return {n: [cell(row[heads.index(n)], model.inputs[n]) for row in rows] for n in names}, None
