"""Checks on data as one syntax tree: metrics (Deequ's analyzers), assertions on them, constraints, checks.

Fluent Python builds it here; YAML and DQDL are read into it by `wire`. The names of analyzers and of check methods are
Deequ's; in Python a method is also called in snake case (`is_complete`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from hanok.core.errors import Invalid

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
COMPARISON = re.compile(rf"(==|=|!=|>=|<=|>|<)\s*({NUMBER})$")
BETWEEN = re.compile(rf"(not\s+)?between\s+({NUMBER})\s+and\s+({NUMBER})$", re.I)
CONTAINED = re.compile(rf"(not\s+)?in\s*[\[(]\s*({NUMBER}(?:\s*,\s*{NUMBER})*)\s*[\])]$", re.I)
SLACK = 1e-12


@dataclass(frozen=True, slots=True)
class Assertion:
    """What a metric's value must be: `op` is a comparison, `between` (ends included) or `in`; `not_` turns it round."""

    op: str
    bounds: tuple[float, ...]
    not_: bool = False

    def holds(self, value: float) -> bool:
        return self._holds(value) != self.not_

    def _holds(self, value: float) -> bool:
        a = self.bounds[0]
        match self.op:
            case "==":
                return abs(value - a) <= SLACK * max(1.0, abs(a))
            case "!=":
                return abs(value - a) > SLACK * max(1.0, abs(a))
            case ">":
                return value > a
            case ">=":
                return value >= a - SLACK * max(1.0, abs(a))
            case "<":
                return value < a
            case "<=":
                return value <= a + SLACK * max(1.0, abs(a))
            case "between":
                return a <= value <= self.bounds[1]
        return value in self.bounds

    @property
    def text(self) -> str:
        numbers = [f"{b:.12g}" for b in self.bounds]
        negation = "not " if self.not_ else ""
        if self.op == "between":
            return f"{negation}between {numbers[0]} and {numbers[1]}"
        return f"{negation}in [{', '.join(numbers)}]" if self.op == "in" else f"{self.op} {numbers[0]}"

    def sql(self, expression: str) -> str:
        """The assertion about each row's value, for row-level results."""
        numbers = [repr(b) for b in self.bounds]
        if self.op == "between":
            inner = f"({expression} BETWEEN {numbers[0]} AND {numbers[1]})"
        elif self.op == "in":
            inner = f"({expression} IN ({', '.join(numbers)}))"
        else:
            inner = f"({expression} {'=' if self.op == '==' else self.op} {numbers[0]})"
        return f"(NOT {inner})" if self.not_ else inner


def assertion(text: str | float | Assertion) -> Assertion:
    """Read ">= 0.9", "between 1 and 5", "in [1, 2]" or a number (equal to it). Raises Invalid."""
    if isinstance(text, Assertion):
        return text
    if isinstance(text, int | float):
        return Assertion("==", (float(text),))
    cleaned = text.strip()
    if match := COMPARISON.match(cleaned):
        return Assertion("==" if match[1] == "=" else match[1], (float(match[2]),))
    if match := BETWEEN.match(cleaned):
        low, high = float(match[2]), float(match[3])
        if low > high:
            raise Invalid(f"{text!r}: nothing lies between {low:g} and {high:g}; the smaller bound comes first")
        return Assertion("between", (low, high), bool(match[1]))
    if match := CONTAINED.match(cleaned):
        return Assertion("in", tuple(float(x) for x in match[2].split(",")), bool(match[1]))
    raise Invalid(f"{text!r} is no assertion; write >= 0.9, == 1, between 1 and 5, or in [1, 2]")


@dataclass(frozen=True, slots=True)
class Metric:
    """An analyzer applied: `options` are its further arguments, sorted by name; `where` filters rows (SQL)."""

    name: str
    columns: tuple[str, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()
    where: str = ""

    def option(self, name: str, default: Any = None) -> Any:
        return dict(self.options).get(name, default)

    @property
    def text(self) -> str:
        inside = ", ".join([*self.columns, *(f"{k}={v}" for k, v in self.options if not callable(v))])
        return f"{self.name}({inside})" + (f" where {self.where}" if self.where else "")


def metric(name: str, *columns: str, where: str = "", **options: Any) -> Metric:
    if name not in ANALYZERS:
        raise Invalid(f"there is no analyzer {name!r}; there are {', '.join(sorted(ANALYZERS))}")
    frozen = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    return Metric(name, columns, tuple(sorted(frozen.items())), where)


@dataclass(frozen=True, slots=True)
class Constraint:
    """A metric and what it must be. `must` may be a function of Python's; text faces then cannot write it.

    `arguments` are those of the method, for writing the constraint out again.
    """

    method: str
    metric: Metric
    must: Assertion | Callable[[Any], bool]
    arguments: tuple[tuple[str, Any], ...] = ()

    def holds(self, value: Any) -> bool:
        return bool(self.must(value)) if callable(self.must) else self.must.holds(float(value))

    @property
    def text(self) -> str:
        """Like `hasMean(price) between 5 and 50 where country = 'KR'`; an assertion of 1 that is meant goes unsaid."""
        given = [v for k, v in self.arguments if k != "assertion" and not callable(v)]
        shown = ", ".join(", ".join(map(str, v)) if isinstance(v, tuple) else str(v) for v in given)
        must = self.must.text if isinstance(self.must, Assertion) else "as asserted"
        if METHODS[self.method].default == must:
            must = ""
        return f"{self.method}({shown}) {must}".strip() + (f" where {self.metric.where}" if self.metric.where else "")


@dataclass(frozen=True, slots=True)
class Combined:
    """Rules joined by `and` or by `or`."""

    op: Literal["and", "or"]
    rules: tuple[Rule, ...]

    @property
    def text(self) -> str:
        return f" {self.op} ".join(f"({r.text})" for r in self.rules)


Rule = Constraint | Combined


@dataclass(frozen=True, slots=True)
class Method:
    """A check method: its analyzer, the parameters in their order, the assertion when none is given."""

    analyzer: str
    parameters: tuple[str, ...]
    default: str = ""


def _m(analyzer: str, parameters: str = "", default: str = "") -> Method:
    return Method(analyzer, tuple(parameters.split()), default)


ANALYZERS = frozenset(
    [
        "ApproxCountDistinct",
        "ApproxQuantile",
        "ApproxQuantiles",
        "ColumnCount",
        "ColumnExists",
        "Completeness",
        "Compliance",
        "Correlation",
        "CountDistinct",
        "CustomAggregator",
        "CustomSql",
        "DataType",
        "DatasetMatch",
        "Distinctness",
        "DuplicateRowCount",
        "Entropy",
        "ExactQuantile",
        "Histogram",
        "HistogramBinned",
        "InterquartileRange",
        "KLLSketch",
        "Kurtosis",
        "MaxLength",
        "Maximum",
        "Mean",
        "MinLength",
        "Minimum",
        "MutualInformation",
        "PatternMatch",
        "Range",
        "RatioOfSums",
        "Size",
        "Skewness",
        "StandardDeviation",
        "Sum",
        "UniqueValueRatio",
        "Uniqueness",
        "Variance",
        "ZerosCount",
        "DataSynchronization",
        "ReferentialIntegrity",
        "RowCountMatch",
        "SchemaMatch",
        "AggregateMatch",
        "ColumnNamesMatchPattern",
        "DataFreshness",
    ]
)
ONE = "== 1"
METHODS: Mapping[str, Method] = {
    "hasSize": _m("Size", "assertion"),
    "hasColumnCount": _m("ColumnCount", "assertion"),
    "hasZerosCount": _m("ZerosCount", "column assertion"),
    "hasDuplicateRowCount": _m("DuplicateRowCount", "columns assertion"),
    "isComplete": _m("Completeness", "column", ONE),
    "hasCompleteness": _m("Completeness", "column assertion"),
    "hasColumn": _m("ColumnExists", "column", ONE),
    "areComplete": _m("Compliance", "columns", ONE),
    "haveCompleteness": _m("Compliance", "columns assertion"),
    "areAnyComplete": _m("Compliance", "columns", ONE),
    "haveAnyCompleteness": _m("Compliance", "columns assertion"),
    "isUnique": _m("Uniqueness", "column", ONE),
    "areUnique": _m("Uniqueness", "columns", ONE),
    "customSql": _m("CustomSql", "expression assertion"),
    "isPrimaryKey": _m("Uniqueness", "columns", ONE),
    "hasUniqueness": _m("Uniqueness", "columns assertion"),
    "hasDistinctness": _m("Distinctness", "columns assertion"),
    "hasUniqueValueRatio": _m("UniqueValueRatio", "columns assertion"),
    "doesDatasetMatch": _m("DatasetMatch", "reference columns assertion", ONE),
    "hasNumberOfDistinctValues": _m("Histogram", "columns assertion"),
    "hasHistogramValues": _m("Histogram", "column assertion"),
    "hasHistogramBinnedValues": _m("HistogramBinned", "column bins assertion"),
    "hasHistogramBinnedBins": _m("HistogramBinned", "column bins assertion"),
    "kllSketchSatisfies": _m("KLLSketch", "column assertion"),
    "hasEntropy": _m("Entropy", "column assertion"),
    "hasMutualInformation": _m("MutualInformation", "first second assertion"),
    "hasApproxQuantile": _m("ApproxQuantile", "column quantile assertion"),
    "hasExactQuantile": _m("ExactQuantile", "column quantile assertion"),
    "hasMinLength": _m("MinLength", "column assertion"),
    "hasMaxLength": _m("MaxLength", "column assertion"),
    "hasMin": _m("Minimum", "column assertion"),
    "hasMax": _m("Maximum", "column assertion"),
    "hasRange": _m("Range", "column assertion"),
    "hasInterquartileRange": _m("InterquartileRange", "column assertion"),
    "hasMean": _m("Mean", "column assertion"),
    "hasSum": _m("Sum", "column assertion"),
    "hasStandardDeviation": _m("StandardDeviation", "column assertion"),
    "hasVariance": _m("Variance", "column assertion"),
    "hasSkewness": _m("Skewness", "column assertion"),
    "hasKurtosis": _m("Kurtosis", "column assertion"),
    "hasApproxCountDistinct": _m("ApproxCountDistinct", "column assertion"),
    "hasCorrelation": _m("Correlation", "first second assertion"),
    "satisfies": _m("Compliance", "predicate assertion", ONE),
    "hasPattern": _m("PatternMatch", "column pattern assertion", ONE),
    "containsCreditCardNumber": _m("PatternMatch", "column assertion", ONE),
    "containsEmail": _m("PatternMatch", "column assertion", ONE),
    "containsURL": _m("PatternMatch", "column assertion", ONE),
    "containsSocialSecurityNumber": _m("PatternMatch", "column assertion", ONE),
    "hasDataType": _m("DataType", "column type assertion", ONE),
    "isNonNegative": _m("Compliance", "column assertion", ONE),
    "isPositive": _m("Compliance", "column assertion", ONE),
    "isLessThan": _m("Compliance", "first second assertion", ONE),
    "isLessThanOrEqualTo": _m("Compliance", "first second assertion", ONE),
    "isGreaterThan": _m("Compliance", "first second assertion", ONE),
    "isGreaterThanOrEqualTo": _m("Compliance", "first second assertion", ONE),
    "isContainedIn": _m("Compliance", "column values assertion lower upper include_lower include_upper", ONE),
    # Between data sets, and what DQDL has beyond Deequ's methods.
    "hasReferentialIntegrity": _m("ReferentialIntegrity", "columns reference assertion", ONE),
    "hasRowCountMatch": _m("RowCountMatch", "reference assertion", ONE),
    "hasSchemaMatch": _m("SchemaMatch", "reference assertion", ONE),
    "hasDataSynchronization": _m("DataSynchronization", "reference columns assertion", ONE),
    "hasAggregateMatch": _m("AggregateMatch", "expression reference other assertion", ONE),
    "haveNamesLike": _m("ColumnNamesMatchPattern", "pattern", ONE),
    "isFresh": _m("DataFreshness", "column assertion"),
}
SNAKE = {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower(): name for name in METHODS}
AREA = r"(?:00[1-9]|0[1-9]\d|[1-578]\d{2}|6(?:[0-57-9]\d|6[0-57-9]))"
GROUP, SERIAL = r"(?:0[1-9]|[1-9]\d)", r"(?:0{3}[1-9]|0{2}[1-9]\d|0[1-9]\d{2}|[1-9]\d{3})"
FOURS = r"(?:4\d{3}|5[1-5]\d{2}|2(?:22[1-9]|2[3-9]\d|[3-6]\d{2}|7[01]\d|720)|6011|65\d{2})"
PATTERNS = {  # each is found anywhere in the text; one separator holds throughout a number
    "containsEmail": (  # a local part, a domain, and a top level of two letters or more
        r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"
    ),
    "containsURL": r"(?:https?|ftp)://[^\s/$.?#][^\s]*",
    "containsSocialSecurityNumber": (  # area 001-899 but 666, group 01-99, serial 0001-9999
        r"\b(?:" + "|".join(AREA + sep + GROUP + sep + SERIAL for sep in ("", "-", " ")) + r")\b"
    ),
    "containsCreditCardNumber": (  # Visa, Mastercard and Discover in fours; American Express as 4-6-5
        r"\b(?:"
        + "|".join(rf"{FOURS}(?:{sep}\d{{4}}){{3}}|3[47]\d{{2}}{sep}\d{{6}}{sep}\d{{5}}" for sep in ("", "-", " "))
        + r")\b"
    ),
}
OPTIONAL = ("assertion", "bins", "columns", "values", "lower", "upper", "include_lower", "include_upper")
COMPARE = {
    "isLessThan": "<",
    "isLessThanOrEqualTo": "<=",
    "isGreaterThan": ">",
    "isGreaterThanOrEqualTo": ">=",
}


def constraint(method: str, /, *given: Any, where: str = "", **named: Any) -> Constraint:
    """A constraint by the name of its method and its arguments. Raises Invalid."""
    name = method if method in METHODS else SNAKE.get(method, "")
    if not name:
        raise Invalid(f"there is no check {method!r}; there are {', '.join(sorted(METHODS))}")
    known = METHODS[name]
    if len(given) > len(known.parameters):
        raise Invalid(f"{name} takes {', '.join(known.parameters)}; {len(given)} arguments were given")
    arguments = dict(zip(known.parameters, given, strict=False)) | named
    if unknown := [k for k in arguments if k not in known.parameters and k != "null_behavior"]:
        raise Invalid(f"{name} takes {', '.join(known.parameters)}, not {unknown[0]!r}")
    must = arguments.get("assertion", known.default)
    if must == "":
        raise Invalid(f"{name} needs an assertion, like '>= 0.9'")
    missing = [p for p in known.parameters if p not in arguments and p not in OPTIONAL]
    if missing or ("columns" in known.parameters and not arguments.get("columns") and name != "hasDuplicateRowCount"):
        raise Invalid(f"{name} needs {(missing or ['columns'])[0]!r}; it takes {', '.join(known.parameters)}")
    asserted = must if callable(must) else assertion(must)
    kept = tuple((k, tuple(v) if isinstance(v, list) else v) for k, v in arguments.items())
    return Constraint(name, _metric_of(name, known, arguments, where), asserted, kept)


def _metric_of(name: str, known: Method, arguments: Mapping[str, Any], where: str) -> Metric:
    options = {
        k: v
        for k, v in arguments.items()
        if k not in ("assertion", "column", "columns", "first", "second") and (k == "bins" or k not in OPTIONAL)
    }
    columns: tuple[str, ...] = ()
    if "column" in arguments:
        columns = (arguments["column"],)
    elif "first" in arguments:
        columns = (arguments["first"], arguments["second"])
    elif arguments.get("columns"):
        listed = arguments["columns"]
        columns = (listed,) if isinstance(listed, str) else tuple(listed)
    if bad := [c for c in columns if not isinstance(c, str)]:
        raise Invalid(f"{name}: a column is named by text, got {bad[0]!r}")
    if known.analyzer == "Histogram" and (name == "hasNumberOfDistinctValues" or not callable(arguments["assertion"])):
        options["of"] = "bins"  # null is a value among them
    if name in PATTERNS:
        options["pattern"] = PATTERNS[name]
    if known.analyzer == "Compliance" and "predicate" not in options:
        options["predicate"] = _predicate(name, columns, arguments)
    return metric(known.analyzer, *columns, where=where, **options)


def _predicate(name: str, columns: Sequence[str], arguments: Mapping[str, Any]) -> str:
    quoted = ['"' + c.replace('"', '""') + '"' for c in columns]
    if name in ("areComplete", "haveCompleteness"):
        return " AND ".join(f"{c} IS NOT NULL" for c in quoted)
    if name in ("areAnyComplete", "haveAnyCompleteness"):
        return " OR ".join(f"{c} IS NOT NULL" for c in quoted)
    if name == "isNonNegative":  # text is read as a number; null, and what is no number, passes
        return f"coalesce(try_cast({quoted[0]} AS DOUBLE), 0) >= 0"
    if name == "isPositive":
        return f"coalesce(try_cast({quoted[0]} AS DOUBLE), 1) > 0"
    if name in COMPARE:
        return f"{quoted[0]} {COMPARE[name]} {quoted[1]}"
    if "lower" in arguments or "upper" in arguments:
        return _range_predicate(quoted[0], arguments)
    values = arguments.get("values") or ()
    if isinstance(values, str) or not values:
        raise Invalid("isContainedIn needs 'values', a list, or 'lower' and 'upper'")
    listed = ", ".join(_literal(v) for v in values)
    return f"{quoted[0]} IS NULL OR {quoted[0]} IN ({listed})"


def _range_predicate(column: str, arguments: Mapping[str, Any]) -> str:
    low, high = arguments.get("lower"), arguments.get("upper")
    if arguments.get("values") or not isinstance(low, int | float) or not isinstance(high, int | float) or low > high:
        raise Invalid("isContainedIn takes 'values', or two numbers 'lower' and 'upper', the smaller first")
    above = ">=" if arguments.get("include_lower", True) else ">"
    below = "<=" if arguments.get("include_upper", True) else "<"
    return f"{column} IS NULL OR ({column} {above} {low!r} AND {column} {below} {high!r})"


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        return repr(value)
    return "'" + str(value).replace("'", "''") + "'"


@dataclass(frozen=True, slots=True)
class Check:
    """A named list of rules of one level. Every method of `METHODS` adds a constraint and returns a new Check:

        Check("orders").is_complete("id").is_unique("id").has_mean("price", "between 5 and 50").where("country = 'KR'")

    `where` filters the rows of the constraint before it.
    """

    name: str
    level: Literal["error", "warning"] = "error"
    rules: tuple[Rule, ...] = ()

    def add(self, rule: Rule) -> Check:
        return replace(self, rules=(*self.rules, rule))

    def where(self, condition: str) -> Check:
        """Only rows for which the SQL condition is true count for the last constraint."""
        if not self.rules or not isinstance(self.rules[-1], Constraint):
            raise Invalid("where() follows the constraint whose rows it filters")
        last = self.rules[-1]
        narrowed = replace(last, metric=replace(last.metric, where=condition))
        return replace(self, rules=(*self.rules[:-1], narrowed))

    def __getattr__(self, name: str) -> Callable[..., Check]:
        if name in METHODS or name in SNAKE:
            return partial(self._with, name)
        raise AttributeError(f"Check has no method {name!r}")

    def _with(self, method: str, *given: Any, **named: Any) -> Check:
        return self.add(constraint(method, *given, **named))

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *SNAKE})
