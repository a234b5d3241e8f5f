"""The search grammar: text to a Filter, and order_by terms to Orders.

    filter     = [ any ]
    any        = all { "OR" all }
    all        = one { "AND" one }
    one        = "NOT" one | "(" any ")" | key comparison
    key        = [ entity "." ] name            names may stand in `backticks` or "double quotes"
    comparison = ("=" | "!=" | ">" | ">=" | "<" | "<=" | [I]LIKE) value | [NOT] IN "(" value, ... ")" | IS [NOT] NULL

MLflow has no OR, no NOT before a comparison and no parentheses: they are an extension, and a plain filter means what
it does there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, get_args

from hanok.core.errors import Invalid
from hanok.core.tracking import EVERYTHING, All, AnyOf, Comparison, Filter, Not, Operator, Order, Subject

FILTER_MAX, DEPTH_MAX = 100_000, 50

_ENTITIES: dict[str, Subject] = {
    **dict.fromkeys(("metric", "metrics"), "metric"),
    **dict.fromkeys(("parameter", "parameters", "param", "params"), "param"),
    **dict.fromkeys(("tag", "tags"), "tag"),
    **dict.fromkeys(("attribute", "attributes", "attr", "run"), "attribute"),
    **dict.fromkeys(("dataset", "datasets"), "dataset"),
}
_ALIASES = {"created": "start_time", "run name": "run_name", "runname": "run_name", "run id": "run_id"}
_NUMERIC = frozenset(
    (
        *("start_time", "end_time", "creation_time", "last_update_time", "timestamp"),
        *("creation_timestamp", "last_updated_timestamp", "version", "version_number"),
    )
)


class Grammar(NamedTuple):
    """What one kind of thing is searched by: words before the dot, other words for attributes, numeric attributes."""

    entities: Mapping[str, Subject]
    aliases: Mapping[str, str]
    numeric: frozenset[str]


RUNS = Grammar(_ENTITIES, _ALIASES, _NUMERIC)
TRACES = Grammar(
    {
        **dict.fromkeys(("attribute", "attributes", "attr", "trace"), "attribute"),
        **dict.fromkeys(("tag", "tags"), "tag"),
        **dict.fromkeys(("metadata", "request_metadata"), "metadata"),
        "span": "span",
        "feedback": "feedback",
        "expectation": "expectation",
        "assessment": "assessment",
    },
    {},
    frozenset(("timestamp", "timestamp_ms", "execution_time", "execution_time_ms", "end_time", "end_time_ms")),
)
DATASETS = Grammar(
    {"attribute": "attribute", "tag": "tag", "tags": "tag"}, {}, frozenset(("created_time", "last_update_time"))
)
_DATASET_KEYS = ("name", "digest", "context")
_EQUALITY = ("=", "!=")
_COMPARING = (*_EQUALITY, ">", ">=", "<", "<=")
_OPERATORS = get_args(Operator)

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^']|'')*'|"[^"]*")
    | (?P<operator>>=|<=|!=|=|>|<)
    | (?P<punctuation>[(),])
    | (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))
    | (?P<word>(?:[\w./:@$-]|`[^`]*`|(?<=\.)"[^"]*")+)
    )""",
    re.VERBOSE,
)


class _Token(NamedTuple):
    kind: str
    text: str


def parse_filter(text: str, grammar: Grammar = RUNS) -> Filter:
    """Raises Invalid, saying which part cannot be read."""
    if not text.strip():
        return EVERYTHING
    if len(text) > FILTER_MAX:
        raise Invalid(f"the filter has {len(text)} characters; at most {FILTER_MAX} are read")
    return _Parser(text, grammar).whole()


def parse_order(terms: Sequence[str], grammar: Grammar = RUNS) -> list[Order]:
    """["metrics.loss DESC", "start_time"]. Raises Invalid."""
    return [_order(term, grammar) for term in terms]


def _order(term: str, grammar: Grammar) -> Order:
    words = term.strip().rsplit(None, 1)
    ascending = True
    if len(words) == 2 and words[1].upper() in ("ASC", "DESC"):
        ascending = words[1].upper() == "ASC"
        term = words[0]
    tokens = _tokens(term)
    spaced = " ".join(token.text for token in tokens).lower()
    if spaced in grammar.aliases:
        return Order("attribute", grammar.aliases[spaced], ascending)
    if len(tokens) != 1 or tokens[0].kind not in ("word", "text"):
        raise Invalid(f"Invalid order_by clause {term[:200]!r}: one key and ASC or DESC, like 'metrics.loss DESC'")
    subject, key = _key(tokens[0].text, grammar)
    return Order(subject, key, ascending)


def _tokens(text: str) -> list[_Token]:
    tokens, place = [], 0
    text = text.rstrip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None or match.end() == place:
            raise Invalid(f"Invalid filter: cannot read {text[place : place + 60].strip()!r}")
        tokens.append(_Token(match.lastgroup or "", match[match.lastgroup or 0]))
        place = match.end()
    return tokens


def _key(text: str, grammar: Grammar) -> tuple[Subject, str]:
    head, dot, rest = text.partition(".")
    subject = grammar.entities.get(head.strip('`"').lower()) if dot else "attribute"
    name = rest if dot else head
    if subject is None:
        known = ", ".join(dict.fromkeys(grammar.entities.values()))
        raise Invalid(f"Invalid entity type {head[:60]!r} in {text[:120]!r}; there are: {known}")
    if len(name) > 1 and name[0] == name[-1] and name[0] in '`"':
        name = name[1:-1]
    if not name:
        raise Invalid(f"Invalid filter: {text[:120]!r} names no key")
    if subject == "attribute":
        name = grammar.aliases.get(name.lower(), name)
    if subject == "dataset" and name not in _DATASET_KEYS:
        raise Invalid(f"Invalid dataset key {name[:60]!r}; there are: {', '.join(_DATASET_KEYS)}")
    return subject, name


class _Parser:
    def __init__(self, text: str, grammar: Grammar) -> None:
        self._text, self._tokens, self._at, self._depth, self._grammar = text, _tokens(text), 0, 0, grammar

    def whole(self) -> Filter:
        found = self._any()
        if self._at < len(self._tokens):
            raise self._unreadable("AND, OR or the end")
        return found

    def _any(self) -> Filter:
        parts = [self._all()]
        while self._takes("OR"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _all(self) -> Filter:
        parts = [self._one()]
        while self._takes("AND"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _one(self) -> Filter:
        negated = self._takes("NOT")
        if not negated and not self._takes("("):
            return self._comparison()
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise Invalid(f"Invalid filter: more than {DEPTH_MAX} parentheses or NOT inside each other")
        found: Filter = Not(self._one()) if negated else self._any()
        if not negated and not self._takes(")"):
            raise self._unreadable("')'")
        self._depth -= 1
        return found

    def _comparison(self) -> Comparison:
        token = self._next("a key such as metrics.loss")
        if token.kind not in ("word", "text") or token.text.startswith("'"):
            raise Invalid(f"Invalid filter: {token.text[:60]!r} is not a key such as metrics.loss")
        subject, key = _key(token.text, self._grammar)
        operator = self._operator()
        if operator in ("IS NULL", "IS NOT NULL"):
            return Comparison(subject, key, operator)
        if operator in ("IN", "NOT IN"):
            return Comparison(subject, key, operator, self._list())
        wanted = self._next("a value")
        if subject == "metric" or (subject == "attribute" and key in self._grammar.numeric):
            return Comparison(subject, key, operator, _number(subject, key, operator, wanted))
        return Comparison(subject, key, operator, _text(subject, key, operator, wanted))

    def _operator(self) -> Operator:
        token = self._next("a comparison")
        text = token.text.upper()
        if text == "NOT" and self._takes("IN"):
            text = "NOT IN"
        if text == "IS":
            text = "IS NOT NULL" if self._takes("NOT") else "IS NULL"
            if not self._takes("NULL"):
                raise self._unreadable("NULL")
        for known in _OPERATORS:
            if text == known:
                return known
        raise Invalid(f"Invalid comparator {token.text[:40]!r} in the filter; there are: {', '.join(_OPERATORS)}")

    def _list(self) -> tuple[str, ...]:
        if not self._takes("("):
            raise self._unreadable("a list such as ('a', 'b')")
        values = [_unquoted(self._next("a quoted value"))]
        while self._takes(","):
            values.append(_unquoted(self._next("a quoted value")))
        if not self._takes(")"):
            raise self._unreadable("')'")
        return tuple(values)

    def _takes(self, text: str) -> bool:
        here = self._at < len(self._tokens) and self._tokens[self._at].text.upper() == text
        self._at += here
        return here

    def _next(self, wanted: str) -> _Token:
        if self._at >= len(self._tokens):
            raise self._unreadable(wanted)
        self._at += 1
        return self._tokens[self._at - 1]

    def _unreadable(self, wanted: str) -> Invalid:
        found = self._tokens[self._at].text if self._at < len(self._tokens) else "the end"
        return Invalid(f"Invalid filter {self._text[:200]!r}: {wanted} is expected, not {found[:60]!r}")


def _text(subject: Subject, key: str, operator: Operator, token: _Token) -> str:
    allowed = (*_EQUALITY, "LIKE", "ILIKE")
    if operator not in allowed and not (subject == "attribute" and operator in _COMPARING):
        raise Invalid(f"Invalid comparator {operator!r} for the {subject} {key!r}; there are: {', '.join(allowed)}")
    return _unquoted(token)


def _number(subject: Subject, key: str, operator: Operator, token: _Token) -> float:
    if operator not in _COMPARING:
        raise Invalid(f"Invalid comparator {operator!r} for the {subject} {key!r}, which is a number")
    text = token.text.strip("'\"") if subject == "attribute" else token.text
    try:
        value = float(text)
    except ValueError:
        raise Invalid(f"Expected numeric value type for {subject} {key!r}, found {token.text[:60]!r}") from None
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _unquoted(token: _Token) -> str:
    if token.kind != "text":
        raise Invalid(f"Expected a quoted string value, found {token.text[:60]!r}; write it in single quotes")
    inner = token.text[1:-1]
    return inner.replace("''", "'") if token.text[0] == "'" else inner
