"""Protocol buffers' text format, read and written: `schema.pbtxt` and statistics as text."""

from __future__ import annotations

import math
import re
from typing import Any, NoReturn

from hanok.core.errors import Unreadable
from hanok.wire.tfdv.binary import from_bytes, to_bytes
from hanok.wire.tfdv.messages import PACKAGE, RANGES, Field, Message, enum_named, is_message, kind_named, single

DEPTH_MAX = 100
TOKEN = re.compile(
    r"""(?P<skip>[ \t\r\f\v]+|\#[^\n]*)|(?P<line>\n)|(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
    r"""|(?P<number>\.?[0-9][A-Za-z0-9_.]*(?:(?<=[eE])[+-][0-9]+[fF]?)?)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"""
    r"""|(?P<mark>[{}<>\[\]:,;/.\-])"""
)
ESCAPE = re.compile(r"\\([0-7]{1,3}|[xX][0-9a-fA-F]{1,2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.S)
SIMPLE = {"n": b"\n", "r": b"\r", "t": b"\t", "a": b"\a", "b": b"\b", "f": b"\f", "v": b"\v"}
SAME = {"\\": b"\\", "'": b"'", '"': b'"', "?": b"?"}


def from_text(kind: str, text: str, *, name: str = "") -> Message:
    """Read a message. Raises Unreadable with line and column; `name` says which file or argument it was."""
    return _Reader(text, name or kind).message(kind)


def to_text(message: Message) -> str:
    """A message in text format, one field a line, two spaces for each level."""
    lines: list[str] = []
    _write(message, "", lines)
    return "\n".join(lines) + ("\n" if lines else "")


class _Reader:
    def __init__(self, text: str, name: str) -> None:
        self._text, self._name = text, name
        self._tokens = self._scan()
        self._i = 0

    def message(self, kind: str) -> Message:
        made = Message(kind)
        self._fields(made, "", 0)
        return made

    # -- tokens ----------------------------------------------------------------------------------------------

    def _scan(self) -> list[tuple[str, str, int]]:
        tokens, at = [], 0
        while at < len(self._text):
            match = TOKEN.match(self._text, at)
            if match is None:
                self._fail(at, f"{self._text[at]!r} does not belong here")
            if match.lastgroup not in ("skip", "line"):
                tokens.append((match.lastgroup or "", match.group(), at))
            at = match.end()
        tokens.append(("end", "", len(self._text)))
        return tokens

    def _fail(self, at: int, what: str) -> NoReturn:
        line = self._text.count("\n", 0, at) + 1
        column = at - (self._text.rfind("\n", 0, at) + 1) + 1
        raise Unreadable(f"{self._name}, line {line}, column {column}: {what}", line=line, column=column)

    def _next(self) -> tuple[str, str, int]:
        token = self._tokens[self._i]
        self._i = min(self._i + 1, len(self._tokens) - 1)
        return token

    def _peek(self) -> str:
        kind, text, _ = self._tokens[self._i]
        return text if kind == "mark" else kind

    def _take(self, mark: str) -> bool:
        if self._peek() == mark:
            self._next()
            return True
        return False

    def _expect(self, mark: str) -> None:
        if not self._take(mark):
            _, text, at = self._tokens[self._i]
            self._fail(at, f"expected {mark!r}" + (f", found {text!r}" if text else " before the end"))

    # -- grammar ---------------------------------------------------------------------------------------------

    def _fields(self, into: Message, end: str, depth: int) -> None:
        if depth > DEPTH_MAX:
            self._fail(self._tokens[self._i][2], f"nested deeper than {DEPTH_MAX} levels")
        while self._peek() != (end or "end"):
            if self._peek() == "[" and into.kind.name == "Any":
                self._any(into, depth)
            else:
                self._field(into, depth)
            if not self._take(","):
                self._take(";")
        if end:
            self._expect(end)

    def _field(self, into: Message, depth: int) -> None:
        kind, name, at = self._next()
        field = into.kind.fields.get(name)
        if kind == "end":
            self._fail(at, "the text ends inside a message; a closing brace is missing")
        if kind != "name" or field is None:
            known = ", ".join(sorted(into.kind.fields)[:8])
            self._fail(at, f"{into.kind.name} has no field {name!r}; it has {known} ...")
        colon = self._take(":")
        if not colon and not is_message(field):
            self._fail(self._tokens[self._i][2], f"expected ':' after {name!r}")
        if self._take("["):
            if not field.repeated:
                self._fail(at, f"{name!r} holds one value, not a list")
            while not self._take("]"):
                self._put(into, field, at, depth)
                if not self._take(","):
                    self._expect("]")
                    break
        else:
            self._put(into, field, at, depth)

    def _put(self, into: Message, field: Field, at: int, depth: int) -> None:
        if is_message(field):
            inner = Message(field.type)
            if self._take("<"):
                self._fields(inner, ">", depth + 1)
            else:
                self._expect("{")
                self._fields(inner, "}", depth + 1)
            value: Any = inner
        else:
            value = self._value(field)
        if field.repeated:
            into.set(field.name, [*into[field.name], value])
        elif into.has(field.name):
            self._fail(at, f"{field.name!r} is given twice")
        elif field.oneof and (other := into.which(field.oneof)):
            self._fail(at, f"{field.name!r} and {other!r} exclude each other ({field.oneof})")
        else:
            into.set(field.name, value)

    def _any(self, into: Message, depth: int) -> None:
        _, _, at = self._next()
        url = ""
        while not self._take("]"):
            kind, text, at_part = self._next()
            if kind == "end":
                self._fail(at_part, "expected ']'")
            url += text
        inner_name = url.rpartition("/")[2].removeprefix(PACKAGE)
        try:
            inner = Message(inner_name)
        except KeyError:
            self._fail(at, f"the type {url!r} is not known; write it as type_url and value")
        self._take(":")
        self._expect("{")
        self._fields(inner, "}", depth + 1)
        into.set("type_url", url)
        if raw := to_bytes(inner):  # an empty value is proto3's default, which the wire does not have
            into.set("value", raw)

    # -- scalars ---------------------------------------------------------------------------------------------

    def _value(self, field: Field) -> Any:
        minus = self._take("-")
        kind, text, at = self._next()
        if field.type in ("string", "bytes"):
            return self._string(field, kind, text, at, minus)
        enum = enum_named(field.type)
        if enum is not None:
            if kind == "name" and text in enum:
                return text
            number = text if kind == "number" and text.isdigit() else ""
            found = next((n for n, v in enum.items() if str(v) == number), None)
            if found is None or minus:
                self._fail(at, f"{field.name!r} is one of {', '.join(enum)}; found {text!r}")
            return found
        if field.type == "bool":
            if text in ("true", "True", "t", "1"):
                return True
            if text in ("false", "False", "f", "0"):
                return False
            self._fail(at, f"{field.name!r} is true or false; found {text!r}")
        if field.type in ("double", "float"):
            return self._float(field, kind, text, at, minus)
        try:
            value = int(text, 8) if re.fullmatch("0[0-7]+", text) else int(text, 0)
        except ValueError:
            self._fail(at, f"{field.name!r} is a whole number; found {text!r}")
        value = -value if minus else value
        low, high = RANGES[field.type]
        if not low <= value <= high:
            self._fail(at, f"{field.name!r} = {value} does not fit {field.type}")
        return value

    def _float(self, field: Field, kind: str, text: str, at: int, minus: bool) -> float:
        lowered = text.lower()
        plain = lowered[:-1] if lowered.endswith("f") and not lowered.startswith(("0x", "inf")) else lowered
        if kind == "name" and lowered not in ("inf", "infinity", "nan"):
            self._fail(at, f"{field.name!r} is a number; found {text!r}")
        try:
            value = float(int(lowered, 16)) if lowered.startswith("0x") else float(plain)
        except ValueError:
            self._fail(at, f"{field.name!r} is a number; found {text!r}")
        value = -value if minus else value
        return single(value) if field.type == "float" else value

    def _string(self, field: Field, kind: str, text: str, at: int, minus: bool) -> str | bytes:
        if kind != "string" or minus:
            self._fail(at, f"{field.name!r} is text in quotes; found {text!r}")
        raw = self._unescaped(text, at)
        while self._tokens[self._i][0] == "string":
            _, more, more_at = self._next()
            raw += self._unescaped(more, more_at)
        if field.type == "bytes":
            return raw
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            self._fail(at, f"{field.name!r} is not valid UTF-8 ({error.reason} at byte {error.start})")

    def _unescaped(self, text: str, at: int) -> bytes:
        parts, end = [], 1
        for match in ESCAPE.finditer(text, 1, len(text) - 1):
            parts.append(text[end : match.start()].encode())
            end, code = match.end(), match[1]
            if code[0] in "01234567":
                parts.append(bytes([int(code, 8) & 255]))
            elif code[0] in "xX" and len(code) > 1:
                parts.append(bytes([int(code[1:], 16)]))
            elif code[0] in "uU" and len(code) > 1:
                try:
                    parts.append(chr(int(code[1:], 16)).encode())
                except (ValueError, UnicodeEncodeError):
                    self._fail(at, f"\\{code} is no character")
            elif code in SIMPLE or code in SAME:
                parts.append(SIMPLE.get(code) or SAME[code])
            else:
                self._fail(at, f"\\{code} is no escape")
        parts.append(text[end:-1].encode())
        return b"".join(parts)


def _write(message: Message, indent: str, lines: list[str]) -> None:
    if message.kind.name == "Any" and (inner := unpacked(message)) is not None:
        lines.append(f"{indent}[{message['type_url']}] {{")
        _write(inner, indent + "  ", lines)
        lines.append(indent + "}")
        return
    for field, value in message.fields():
        for one in value if field.repeated else [value]:
            if isinstance(one, Message):
                lines.append(f"{indent}{field.name} {{")
                _write(one, indent + "  ", lines)
                lines.append(indent + "}")
            else:
                lines.append(f"{indent}{field.name}: {_scalar(field, one)}")


def unpacked(any_: Message) -> Message | None:
    """The message inside an Any, when its kind is one of ours and its bytes read back the same."""
    prefix, _, name = any_["type_url"].rpartition("/")
    try:
        kind_named(name.removeprefix(PACKAGE))
        if not prefix or not name.startswith(PACKAGE):
            return None
        inner = from_bytes(name.removeprefix(PACKAGE), any_["value"])
    except (KeyError, Unreadable):
        return None
    return inner if not inner.unknown and to_bytes(inner) == any_["value"] else None


def _scalar(field: Field, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            return "nan" if value != value else "inf" if value > 0 else "-inf"
        return _shortest(value) if field.type == "float" else repr(value)
    if enum_named(field.type) is not None:
        return str(value)
    raw = value if isinstance(value, bytes) else value.encode()
    return '"' + "".join(_escaped(byte) for byte in raw) + '"'


def _escaped(byte: int) -> str:
    if byte in (34, 92):
        return "\\" + chr(byte)
    return chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}"


def _shortest(value: float) -> str:
    """The fewest digits that read back as the same 32-bit float."""
    for digits in range(6, 10):
        text = f"{value:.{digits}g}"
        if single(float(text)) == value:
            return text
    return repr(value)
