"""A schema as readable YAML, without loss: the same fields under the same names, features by their name first.

feature:
  - name: age
    type: INT
    presence: {min_fraction: 1.0}
    int_domain: {min: 0, max: 120}
"""

from __future__ import annotations

import base64
from typing import Any, NoReturn

from hanok.core.errors import Unreadable
from hanok.wire.tfdv.binary import to_bytes
from hanok.wire.tfdv.messages import RANGES, Field, Message, enum_named, is_message, kind_named, single
from hanok.wire.tfdv.text import unpacked


def to_yaml(message: Message) -> str:
    """A message as YAML. What has no place in YAML (unknown fields) is kept as `_unknown`, in base 64."""
    import yaml

    class Dumper(yaml.SafeDumper):  # type: ignore[misc]
        """Text that holds a line break of any kind is quoted and escaped: plain styles would fold it."""

    def text(dumper: Any, value: str) -> Any:
        strange = value != value.strip() or not value.isprintable()
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"' if strange else None)

    Dumper.add_representer(str, text)
    written = yaml.dump(
        _plain(message), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None
    )
    return str(written)


def from_yaml(kind: str, text: str, *, name: str = "") -> Message:
    """Read a message. Raises Unreadable with the line."""
    import yaml

    reader = _Reader(name or kind)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reader.fail_at(mark.line + 1 if mark else 1, f"this is no YAML: {error.problem}")
    return Message(kind) if root is None else reader.message(kind, root)


def _plain(message: Message) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if message.kind.name == "Any" and (inner := unpacked(message)) is not None:
        return {"type_url": message["type_url"], "message": _plain(inner)}
    fields = list(message.fields())
    fields.sort(key=lambda f: (f[0].name not in ("name", "type"), f[0].name != "name"))
    for field, value in fields:
        values = [_one(v) for v in (value if field.repeated else [value])]
        body[field.name] = values if field.repeated else values[0]
    if message.unknown:
        body["_unknown"] = base64.b64encode(message.unknown).decode()
    return body


def _one(value: Any) -> Any:
    if isinstance(value, Message):
        return _plain(value)
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


class _Reader:
    def __init__(self, name: str) -> None:
        self._name = name

    def fail_at(self, line: int, what: str) -> NoReturn:
        raise Unreadable(f"{self._name}, line {line}: {what}", line=line)

    def _fail(self, node: Any, what: str) -> NoReturn:
        self.fail_at(node.start_mark.line + 1, what)

    def message(self, kind: str, node: Any) -> Message:
        if node.id != "mapping":
            self._fail(node, f"{kind} is a mapping of its fields")
        made = Message(kind)
        for key, value in node.value:
            name = str(key.value)
            if name == "_unknown":
                made.unknown = self._bytes(value)
            elif kind == "Any" and name == "message":
                inner = self._any_kind(node)
                if raw := to_bytes(self.message(inner, value)):
                    made.set("value", raw)
            else:
                self._field(made, name, key, value)
        return made

    def _any_kind(self, node: Any) -> str:
        url = next((str(v.value) for k, v in node.value if k.value == "type_url"), "")
        try:
            return kind_named(url.rpartition(".")[2]).name
        except KeyError:
            self._fail(node, f"the type {url!r} is not known")

    def _field(self, made: Message, name: str, key: Any, value: Any) -> None:
        field = made.kind.fields.get(name)
        if field is None:
            known = ", ".join(sorted(made.kind.fields)[:8])
            self._fail(key, f"{made.kind.name} has no field {name!r}; it has {known} ...")
        if made.has(name):
            self._fail(key, f"{name!r} is given twice")
        if field.oneof and (other := made.which(field.oneof)):
            self._fail(key, f"{name!r} and {other!r} exclude each other ({field.oneof})")
        if not field.repeated:
            made.set(name, self._value(field, value))
        elif value.id != "sequence":
            self._fail(value, f"{name!r} is a list")
        else:
            made.set(name, [self._value(field, v) for v in value.value])

    def _value(self, field: Field, node: Any) -> Any:
        if is_message(field):
            return self.message(field.type, node)
        if node.id != "scalar":
            self._fail(node, f"{field.name!r} is one value")
        if field.type == "bytes":
            return self._bytes(node)
        if field.type == "string":
            return str(node.value)
        enum = enum_named(field.type)
        if enum is not None:
            if node.value not in enum:
                self._fail(node, f"{field.name!r} is one of {', '.join(enum)}; found {node.value!r}")
            return str(node.value)
        return self._number(field, node)

    def _number(self, field: Field, node: Any) -> Any:
        text = str(node.value)
        if field.type == "bool":
            if text.lower() not in ("true", "false"):
                self._fail(node, f"{field.name!r} is true or false; found {text!r}")
            return text.lower() == "true"
        try:
            if field.type in ("double", "float"):
                value = float({".inf": "inf", "-.inf": "-inf", ".nan": "nan"}.get(text.lower(), text))
                return single(value) if field.type == "float" else value
            number = int(text)
        except ValueError:
            self._fail(node, f"{field.name!r} is a number; found {text!r}")
        low, high = RANGES[field.type]
        if not low <= number <= high:
            self._fail(node, f"{field.name!r} = {number} does not fit {field.type}")
        return number

    def _bytes(self, node: Any) -> bytes:
        try:
            return base64.b64decode(str(node.value), validate=True)
        except ValueError:
            self._fail(node, "expected base 64")
