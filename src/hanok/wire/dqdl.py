"""DQDL, the data quality definition language, read into checks and written from them.

Rules = [
    IsComplete "id",
    RowCount between 100 and 1000,
    (ColumnValues "plan" in ["free", "pro"] with threshold > 0.9) or (IsUnique "id"),
    Mean "price" > 5 where "country = 'KR'"
]
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NoReturn

from hanok.core.checks import METHODS, Assertion, Check, Combined, Constraint, Rule, assertion, constraint
from hanok.core.errors import Invalid, Unreadable

TOKEN = re.compile(
    r"""(?P<skip>\s+|\#[^\n]*)|(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
    r"""|(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)|(?P<word>[A-Za-z_][A-Za-z0-9_.]*)"""
    r"""|(?P<mark>==|!=|>=|<=|[=<>\[\](),+-])"""
)
# A rule's name, the check method it stands for, and that method's parameters in the order of the rule.
RULES = {
    "RowCount": ("hasSize", ()),
    "ColumnCount": ("hasColumnCount", ()),
    "ZerosCount": ("hasZerosCount", ("column",)),
    "Completeness": ("hasCompleteness", ("column",)),
    "IsComplete": ("isComplete", ("column",)),
    "Uniqueness": ("hasUniqueness", ("columns",)),
    "IsUnique": ("isUnique", ("column",)),
    "Distinctness": ("hasDistinctness", ("columns",)),
    "ColumnCorrelation": ("hasCorrelation", ("first", "second")),
    "MutualInformation": ("hasMutualInformation", ("first", "second")),
    "DistinctValuesCount": ("hasNumberOfDistinctValues", ("columns",)),
    "Entropy": ("hasEntropy", ("column",)),
    "Mean": ("hasMean", ("column",)),
    "Minimum": ("hasMin", ("column",)),
    "Maximum": ("hasMax", ("column",)),
    "Range": ("hasRange", ("column",)),
    "InterquartileRange": ("hasInterquartileRange", ("column",)),
    "StandardDeviation": ("hasStandardDeviation", ("column",)),
    "Variance": ("hasVariance", ("column",)),
    "Skewness": ("hasSkewness", ("column",)),
    "Kurtosis": ("hasKurtosis", ("column",)),
    "Sum": ("hasSum", ("column",)),
    "UniqueValueRatio": ("hasUniqueValueRatio", ("columns",)),
    "CustomSql": ("customSql", ("expression",)),
    "IsPrimaryKey": ("isPrimaryKey", ("columns",)),
    "ColumnExists": ("hasColumn", ("column",)),
    "DuplicateRowCount": ("hasDuplicateRowCount", ("columns",)),
    "ColumnNamesMatchPattern": ("haveNamesLike", ("pattern",)),
    "DataFreshness": ("isFresh", ("column",)),
    "RowCountMatch": ("hasRowCountMatch", ("reference",)),
    "SchemaMatch": ("hasSchemaMatch", ("reference",)),
    "DatasetMatch": ("doesDatasetMatch", ("reference", "columns")),
}
SPECIAL = ("ColumnValues", "ColumnLength", "ColumnDataType", "AggregateMatch", "ReferentialIntegrity")
HOURS = {"hours": 1.0, "hour": 1.0, "days": 24.0, "day": 24.0, "minutes": 1 / 60, "minute": 1 / 60}
KEYWORDS = {
    "NULL": "{0} IS NULL",
    "EMPTY": "{0}::VARCHAR = ''",
    "WHITESPACES_ONLY": "regexp_full_match({0}::VARCHAR, '\\s+')",
}
TYPES = {"INTEGER": "Integral", "LONG": "Integral", "DOUBLE": "Fractional", "FLOAT": "Fractional",
         "BOOLEAN": "Boolean", "STRING": "String"}  # fmt: skip


def parse_rules(text: str, *, name: str = "rules") -> Check:
    """Read DQDL. Raises Unreadable with line and column."""
    return _Reader(text, name).check()


class _Reader:
    def __init__(self, text: str, name: str) -> None:
        self._text, self._name = text, name
        self._tokens: list[tuple[str, str, int]] = []
        at = 0
        while at < len(text):
            match = TOKEN.match(text, at)
            if match is None:
                self._fail(at, f"{text[at]!r} does not belong here")
            if match.lastgroup != "skip":
                self._tokens.append((match.lastgroup or "", match.group(), at))
            at = match.end()
        self._tokens.append(("end", "", len(text)))
        self._i = 0

    def check(self) -> Check:
        if self._word("Rules"):
            self._need("=")
        self._need("[")
        rules: list[Rule] = []
        while not self._mark("]"):
            rules.append(self._either())
            if not self._mark(","):
                self._need("]")
                break
        if self._tokens[self._i][0] != "end":
            self._fail(self._tokens[self._i][2], "nothing may follow the closing bracket")
        return Check(self._name, "error", tuple(rules))

    # -- tokens ----------------------------------------------------------------------------------------------

    def _fail(self, at: int, what: str) -> NoReturn:
        line = self._text.count("\n", 0, at) + 1
        column = at - (self._text.rfind("\n", 0, at) + 1) + 1
        raise Unreadable(f"{self._name}, line {line}, column {column}: {what}", line=line, column=column)

    def _next(self) -> tuple[str, str, int]:
        token = self._tokens[self._i]
        self._i = min(self._i + 1, len(self._tokens) - 1)
        return token

    def _is(self, kind: str, text: str) -> bool:
        have, found, _ = self._tokens[self._i]
        return have == kind and found.lower() == text.lower()

    def _mark(self, mark: str) -> bool:
        return self._is("mark", mark) and bool(self._next())

    def _word(self, word: str) -> bool:
        return self._is("word", word) and bool(self._next())

    def _need(self, mark: str) -> None:
        if not self._mark(mark):
            _, found, at = self._tokens[self._i]
            self._fail(at, f"expected {mark!r}" + (f", found {found!r}" if found else " before the end"))

    def _string(self) -> str:
        kind, text, at = self._next()
        if kind != "string":
            self._fail(at, f"expected text in quotes, found {text!r}")
        return re.sub(r"\\(.)", lambda m: m[1] if m[1] in "\"'\\" else m[0], text[1:-1])

    # -- grammar ---------------------------------------------------------------------------------------------

    def _either(self) -> Rule:
        parts, op = [self._one()], ""
        while self._is("word", "and") or self._is("word", "or"):
            _, word, at = self._next()
            if op and word.lower() != op:
                self._fail(at, "and and or are mixed: put one of them in parentheses")
            op = word.lower()
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else Combined("and" if op == "and" else "or", tuple(parts))

    def _one(self) -> Rule:
        if self._mark("("):
            inner = self._either()
            self._need(")")
            return inner
        kind, name, at = self._next()
        if kind != "word" or (name not in RULES and name not in SPECIAL):
            known = ", ".join(sorted([*RULES, *SPECIAL]))
            self._fail(at, f"there is no rule {name!r}; there are {known}")
        words = []
        while self._tokens[self._i][0] == "string":
            words.append(self._string())
        try:
            return self._special(name, words) if name in SPECIAL else self._plain(name, words)
        except Unreadable:
            raise
        except Invalid as error:
            self._fail(at, f"{name}: {error.message}")

    def _plain(self, name: str, words: Sequence[str]) -> Constraint:
        method, parameters = RULES[name]
        given: dict[str, Any] = {}
        left = list(words)
        for parameter in parameters:
            if parameter == "columns":
                given["columns"], left = tuple(left), []
            elif left:
                given[parameter] = left.pop(0)
        if left:
            raise Invalid(f"it takes {len(parameters)} names, {len(words)} were given")
        must = self._condition()
        if must is not None:
            given["assertion"] = must
        return constraint(method, where=self._where(), **given)

    def _special(self, name: str, words: list[str]) -> Constraint:
        if not words:
            raise Invalid("it needs a name in quotes")
        if name == "ColumnValues":
            return self._values(words[0])
        if name == "ColumnLength":
            must = self._condition() or self._missing()
            return self._compliance(must.sql(f'length("{words[0]}")'))
        if name == "ColumnDataType":
            self._need("=")
            wanted = self._string().upper()
            if wanted not in TYPES:
                raise Invalid(f"a type is one of {', '.join(TYPES)}, not {wanted!r}")
            given = self._threshold()
            return constraint("hasDataType", words[0], TYPES[wanted], *given, where=self._where())
        must = self._condition() or Assertion("==", (1.0,))
        if name == "ReferentialIntegrity":
            table, _, column = words[1].partition(".") if len(words) > 1 else ("", "", "")
            if not table:
                raise Invalid('it needs a column and a reference, like "id" "users.id"')
            made = constraint("hasReferentialIntegrity", (words[0],), table, must, where=self._where())
            if column and column != words[0]:
                from dataclasses import replace

                options = tuple(sorted([*made.metric.options, ("keys", column)]))
                made = replace(made, metric=replace(made.metric, options=options))
            return made
        if len(words) < 2:
            raise Invalid('it needs two aggregates, like "sum(price)" "other.sum(price)"')
        reference, _, other = words[1].partition(".")
        return constraint("hasAggregateMatch", words[0], reference, other, must)

    def _values(self, column: str) -> Constraint:
        quoted = '"' + column.replace('"', '""') + '"'
        negated = self._word("not")
        if self._word("in"):
            inside = self._inside(quoted)
        elif self._word("matches"):
            inside = f"regexp_matches({quoted}, {_literal(self._string())})"
        elif self._word("between"):
            low = self._operand()
            if not self._word("and"):
                self._fail(self._tokens[self._i][2], "expected 'and'")
            inside = f"({quoted} BETWEEN {low} AND {self._operand()})"
        else:
            inside = self._compared(quoted)
        return self._compliance(f"NOT {inside}" if negated else inside)

    def _compared(self, quoted: str) -> str:
        """`= "free"`, `!= NULL`, `> (now() - 3 days)` as SQL about a column."""
        mark = next((m for m in ("==", "!=", ">=", "<=", "=", ">", "<") if self._mark(m)), None) or self._missing()
        if (keyword := self._keyword(quoted)) is not None:
            if mark not in ("=", "==", "!="):
                self._fail(self._tokens[self._i - 1][2], f"{mark} needs a value; this keyword takes = and !=")
            return f"(NOT coalesce({keyword}, FALSE))" if mark == "!=" else f"({keyword})"
        return f"({quoted} {'=' if mark == '==' else mark} {self._operand()})"

    def _inside(self, quoted: str) -> str:
        """`["free", NULL]` as SQL about a column."""
        self._need("[")
        values, tests = [], []
        while not self._mark("]"):
            if (keyword := self._keyword(quoted)) is not None:
                tests.append(f"coalesce({keyword}, FALSE)")
            else:
                values.append(self._listed())
            if not self._mark(","):
                self._need("]")
                break
        if values:
            inside = f"{quoted} IN ({', '.join(map(_literal, values))})"
            tests.insert(0, f"coalesce({inside}, FALSE)" if tests else inside)
        return f"({' OR '.join(tests)})" if tests else self._empty()

    def _keyword(self, quoted: str) -> str | None:
        """One of AWS's words for what a cell lacks, as SQL; None where there is none."""
        for word, sql in KEYWORDS.items():
            if self._word(word):
                return sql.format(quoted)
        return None

    def _operand(self) -> str:
        """A number, a text or date in quotes, or an instant like `(now() - 3 days)`, as SQL."""
        if self._mark("("):
            inner = self._operand()
            self._need(")")
            return inner
        if self._tokens[self._i][0] == "string":
            return _literal(self._string())
        if not self._word("now"):
            return repr(self._number())
        self._need("(")
        self._need(")")
        minus = self._mark("-")
        kind, text, _ = self._tokens[self._i]
        if not minus and not self._mark("+") and not (kind == "number" and text[0] in "+-"):
            return "now()"
        hours = self._number() * (-1 if minus else 1)
        return f"(now() + INTERVAL '{hours * 3600:.0f} seconds')"

    def _compliance(self, predicate: str) -> Constraint:
        given = self._threshold()
        return constraint("satisfies", predicate, *given, where=self._where())

    def _missing(self) -> NoReturn:
        raise Invalid("it needs a condition, like > 5")

    def _list(self) -> list[str | float]:
        self._need("[")
        values: list[str | float] = []
        while not self._mark("]"):
            values.append(self._listed())
            if not self._mark(","):
                self._need("]")
                break
        return values or self._empty()

    def _listed(self) -> str | float:
        kind, text, at = self._tokens[self._i]
        if kind == "string":
            return self._string()
        if kind != "number":
            self._fail(at, f"a list holds numbers and texts in quotes; found {text!r}")
        self._next()
        return float(text) if "." in text or "e" in text.lower() else int(text)

    def _empty(self) -> NoReturn:
        raise Invalid("the list is empty")

    def _condition(self) -> Assertion | None:
        for mark in ("==", "!=", ">=", "<=", "=", ">", "<"):
            if self._mark(mark):
                return assertion(f"{mark} {self._number()!r}")
        negation = "not " if self._word("not") else ""
        if self._word("between"):
            low = self._number()
            if not self._word("and"):
                self._fail(self._tokens[self._i][2], "expected 'and'")
            return assertion(f"{negation}between {low!r} and {self._number()!r}")
        if self._word("in"):
            numbers = [float(x) for x in self._list()]
            return assertion(f"{negation}in {numbers}")
        return None

    def _number(self) -> float:
        kind, text, at = self._next()
        if kind != "number":
            self._fail(at, f"expected a number, found {text!r}")
        unit = self._tokens[self._i]
        if unit[0] == "word" and unit[1].lower() in HOURS:
            self._next()
            return float(text) * HOURS[unit[1].lower()]
        return float(text)

    def _threshold(self) -> list[Assertion]:
        if not self._word("with"):
            return []
        if not self._word("threshold"):
            self._fail(self._tokens[self._i][2], "expected 'threshold'")
        must = self._condition()
        return [must if must is not None else self._missing()]

    def _where(self) -> str:
        return self._string() if self._word("where") else ""


def write_rules(checks: Sequence[Check]) -> str:
    """The rules of checks as DQDL. Raises Invalid for a rule that DQDL has no word for."""
    rules = [_written(rule) for check in checks for rule in check.rules]
    return "Rules = [\n" + ",\n".join(f"    {rule}" for rule in rules) + "\n]\n"


def _written(rule: Rule) -> str:
    if isinstance(rule, Combined):
        return f" {rule.op} ".join(f"({_written(r)})" for r in rule.rules)
    if callable(rule.must):
        raise Invalid(f"{rule.text}: an assertion that is a Python function has no text")
    where = f" where {_quoted(rule.metric.where)}" if rule.metric.where else ""
    must = "" if rule.must.text == "== 1" else f" {rule.must.text.replace('==', '=')}"
    given = dict(rule.arguments)
    for name, (method, parameters) in RULES.items():
        if method == rule.method and name != "DataFreshness":
            words = [w for p in parameters for w in _words(given.get(p, ()))]
            asserted = method.startswith("has") and "assertion" in METHODS[method].parameters
            always = f" {rule.must.text.replace('==', '=')}" if asserted else must
            return f"{name}{''.join(' ' + _quoted(w) for w in words)}{always}{where}"
    if rule.method == "areUnique":
        return f"Uniqueness {' '.join(map(_quoted, rule.metric.columns))} {rule.must.text.replace('==', '=')}{where}"
    if rule.method == "hasDataType":
        wanted = next((k for k, v in TYPES.items() if v == given["type"]), None)
        if wanted is not None:
            threshold = f" with threshold{must}" if must else ""
            return f"ColumnDataType {_quoted(given['column'])} = {_quoted(wanted)}{threshold}{where}"
    if rule.metric.name == "PatternMatch":
        threshold = f" with threshold{must}" if must else ""
        pattern = _quoted(rule.metric.option("pattern"))
        return f"ColumnValues {_quoted(rule.metric.columns[0])} matches {pattern}{threshold}{where}"
    if rule.metric.name == "Compliance":
        condition = f"NOT coalesce(({rule.metric.option('predicate')}), FALSE)"
        if rule.metric.where:
            condition = f"({rule.metric.where}) AND {condition}"
        if not must:
            return f"CustomSql {_quoted(f'select count(*) from data where {condition}')} = 0"
    raise Invalid(f"{rule.text}: DQDL has no rule for {rule.method}; keep it in YAML or Python")


def _words(value: Any) -> Sequence[str]:
    return (value,) if isinstance(value, str) else tuple(value)


def _quoted(text: str) -> str:
    return '"' + str(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _literal(value: str | float) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)
