"""ONNX files, checked before native code sees them: nothing outside the file, known operators, trees that end.

Field numbers are those of onnx.proto (ModelProto.graph 7, GraphProto.node 1 and initializer 5, NodeProto.attribute 5,
AttributeProto.t 5, g 6, floats 7, ints 8, TensorProto.external_data 13 and data_location 14).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from hanok.core.errors import Corrupt, Unsafe

BYTES_MAX = 1 << 30
DEPTH_MAX = 16
_DOMAINS = {b"", b"ai.onnx", b"ai.onnx.ml", b"com.microsoft"}
_VARINT, _I64, _LENGTH, _I32 = 0, 1, 2, 5
_TREES = {b"TreeEnsembleClassifier", b"TreeEnsembleRegressor"}
_SAME_WIDTH = {b"Identity", b"Cast", b"Scaler", b"Imputer", b"Normalizer", b"Binarizer", b"Sub", b"Div", b"Mul", b"Add"}


@dataclass(slots=True)
class _Node:
    kind: bytes = b""
    inputs: list[bytes] = field(default_factory=list)
    outputs: list[bytes] = field(default_factory=list)
    ints: dict[bytes, list[int]] = field(default_factory=dict)
    strings: dict[bytes, list[bytes]] = field(default_factory=dict)


def check(content: bytes, width: int | None = None) -> None:
    """Raises Unsafe for a file that reaches beyond itself, Corrupt for one that is damaged or whose trees do not end,
    or look at columns beyond `width`, the columns of its one matrix."""
    if len(content) > BYTES_MAX:
        raise Unsafe(f"this ONNX file has {len(content)} bytes; at most {BYTES_MAX} are loaded")
    graphs = [value for number, value in _fields(content) if number == 7 and isinstance(value, bytes)]
    if not graphs:
        raise Corrupt("this file is no ONNX model: it has no graph")
    for number, value in _fields(content):
        if number in (20, 25) and isinstance(value, bytes):
            raise Unsafe("this ONNX file has functions or training steps of its own; export it for inference")
    for graph in graphs:
        _check_graph(graph, width, DEPTH_MAX)


def _check_graph(graph: bytes, width: int | None, depth: int) -> None:
    if depth == 0:
        raise Unsafe("this ONNX file nests graphs too deep")
    nodes, inputs = list[_Node](), list[bytes]()
    for number, value in _fields(graph):
        if not isinstance(value, bytes):
            continue
        if number == 1:
            nodes.append(_node(value, depth))
        elif number == 5:
            _check_tensor(value)
        elif number == 15:
            for part, tensor in _fields(value):
                if part in (1, 2) and isinstance(tensor, bytes):
                    _check_tensor(tensor)
        elif number == 11:
            inputs.append(next((v for n, v in _fields(value) if n == 1 and isinstance(v, bytes)), b""))
    widths: dict[bytes, int] = {inputs[0]: width} if width is not None and len(inputs) == 1 else {}
    for node in nodes:
        if node.kind in _SAME_WIDTH and node.inputs and node.inputs[0] in widths:
            widths |= dict.fromkeys(node.outputs, widths[node.inputs[0]])
        if node.kind in _TREES:
            _check_trees(node, widths.get(node.inputs[0] if node.inputs else b""))


def _node(content: bytes, depth: int) -> _Node:
    node = _Node()
    for number, value in _fields(content):
        if not isinstance(value, bytes):
            continue
        if number == 1:
            node.inputs.append(value)
        elif number == 2:
            node.outputs.append(value)
        elif number == 4:
            node.kind = value
        elif number == 7 and value not in _DOMAINS:
            domain = value[:60].decode(errors="replace")
            raise Unsafe(f"this ONNX file needs operators of {domain!r}, which are not loaded")
        elif number == 5:
            _attribute(node, value, depth)
    return node


def _attribute(node: _Node, content: bytes, depth: int) -> None:
    name, ints, strings = b"", list[int](), list[bytes]()
    for number, value in _fields(content):
        if number == 1 and isinstance(value, bytes):
            name = value
        elif number == 8:
            ints += [_signed(value)] if isinstance(value, int) else map(_signed, _packed(value))
        elif number == 9 and isinstance(value, bytes):
            strings.append(value)
        elif number in (5, 10) and isinstance(value, bytes):
            _check_tensor(value)
        elif number in (6, 11) and isinstance(value, bytes):
            _check_graph(value, None, depth - 1)
    if name in node.ints or name in node.strings:
        raise Corrupt("this ONNX file says an attribute twice")
    node.ints[name], node.strings[name] = ints, strings


def _check_tensor(content: bytes) -> None:
    for number, value in _fields(content):
        if number == 13 or (number == 14 and value != 0):
            raise Unsafe("this ONNX file keeps its numbers in other files, which are not read: save it as one file")


def _check_trees(node: _Node, width: int | None) -> None:
    trees, places = node.ints.get(b"nodes_treeids", []), node.ints.get(b"nodes_nodeids", [])
    features, modes = node.ints.get(b"nodes_featureids", []), node.strings.get(b"nodes_modes", [])
    yes, no = node.ints.get(b"nodes_truenodeids", []), node.ints.get(b"nodes_falsenodeids", [])
    if len({len(trees), len(places), len(features), len(modes), len(yes), len(no)}) != 1:
        raise Corrupt("the trees of this ONNX file have lists of different lengths")
    known = {key: i for i, key in enumerate(zip(trees, places, strict=True))}
    if len(known) != len(trees):
        raise Corrupt("the trees of this ONNX file have two nodes of one number")
    reached: set[int] = set()
    for i, tree in enumerate(trees):
        if modes[i] == b"LEAF":
            continue
        if features[i] < 0 or (width is not None and features[i] >= width):
            raise Corrupt(f"a tree of this ONNX file splits on feature {features[i]}; there are {width}")
        for child in (known.get((tree, yes[i]), -1), known.get((tree, no[i]), -1)):
            if child < 0 or child in reached or child == i:
                raise Corrupt("a tree of this ONNX file has a node that is not there, or that two nodes lead to")
            reached.add(child)
    roots: dict[int, int] = defaultdict(int)
    for i, tree in enumerate(trees):
        roots[tree] += i not in reached
    if any(count != 1 for count in roots.values()):  # with one parent a node, and one root a tree, there is no circle
        raise Corrupt("a tree of this ONNX file has no one root")
    for ids, nodes in ((b"class_treeids", b"class_nodeids"), (b"target_treeids", b"target_nodeids")):
        leaves = list(zip(node.ints.get(ids, []), node.ints.get(nodes, []), strict=False))
        if len(node.ints.get(ids, [])) != len(node.ints.get(nodes, [])) or any(leaf not in known for leaf in leaves):
            raise Corrupt("a tree of this ONNX file gives values to leaves that are not there")


# -- protobuf's wire format ------------------------------------------------------------------------------------------


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    place, end = 0, len(content)
    while place < end:
        tag, place = _varint(content, place)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, place = _varint(content, place)
            yield number, value
            continue
        if kind == _LENGTH:
            size, place = _varint(content, place)
        elif kind in (_I64, _I32):
            size = 8 if kind == _I64 else 4
        else:
            raise Corrupt("this file is no ONNX model: it cannot be read")
        if size > end - place:
            raise Corrupt("this ONNX file is cut off")
        yield number, content[place : place + size]
        place += size


def _varint(content: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if place >= len(content) or shift > 63:
            raise Corrupt("this ONNX file is cut off, or is none")
        byte = content[place]
        value |= (byte & 0x7F) << shift
        place += 1
        if not byte & 0x80:
            return value, place
        shift += 7


def _packed(content: bytes) -> Iterator[int]:
    place = 0
    while place < len(content):
        value, place = _varint(content, place)
        yield value


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
